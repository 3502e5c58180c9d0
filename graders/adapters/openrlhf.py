"""OpenRLHF: a remote reward model over HTTP, or a file with `reward_func`.

    # my_reward.py, for --reward.remote_url my_reward.py
    from graders.adapters.openrlhf import reward_func_of
    reward_func = reward_func_of("spec.json")

    # or a server, for --reward.remote_url http://127.0.0.1:5000/get_reward
    app = graders.adapters.openrlhf.app("spec.json")        # uvicorn my_server:app --port 5000

Queries hold prompt and response as decoded text, special tokens included; the sample is the text after the prompt. A
query that does not begin with its prompt fails, and so does one that ends in a likely special token, unless
`special_tokens=` has the known ones: their texts, or the tokenizer. The label becomes item["label"]. A failed row
raises RowFailed, over HTTP it is a 422, since OpenRLHF cannot exclude a row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import graders
from graders.adapters import ItemMap, RowFailed, decoded, reward_of, rows_of
from graders.adapters.decoded import SpecialTokens
from graders.engine.backends import Backends
from graders.engine.grader import Grader
from graders.jsontext import parse


def _grading(spec: object, item: ItemMap, backends: Backends | None, tokens: Any) -> Callable[..., Any]:
    """(queries, prompts, labels) -> OpenRLHF's result, in plain numbers."""
    return partial(_graded, graders.compile(spec, backends=backends), item, SpecialTokens(tokens))


def _graded(
    grader: Grader, item: ItemMap, special: SpecialTokens, queries: Any, prompts: Any, labels: Any
) -> Any:
    samples = [decoded(special, query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    results = list(grader.run_batch(rows_of(samples, {"prompt": list(prompts), "label": labels}, item)))
    rewards = [reward_of(result) for result in results]
    keys = results[0].sub_rewards if results else ()
    logs = {key: [result.sub_rewards[key] for result in results] for key in keys}
    return {"rewards": rewards, "scores": rewards, "extra_logs": logs}


def reward_func_of(
    spec: object, *, item: ItemMap = None, backends: Backends | None = None, special_tokens: Any = None
) -> Callable[..., dict[str, Any]]:
    """OpenRLHF's reward_func(queries, prompts, labels) -> dict of tensors. It can be pickled and imports torch when
    called.

    Args:
        special_tokens: As for SpecialTokens: tokens that OpenRLHF's decoding leaves around prompt and answer.
    """
    return partial(_tensors, _grading(spec, item, backends, special_tokens))


def _tensors(
    grading: Callable[..., Any], /, queries: Any, prompts: Any, labels: Any, **more: Any
) -> dict[str, Any]:
    import torch

    graded = grading(queries, prompts, labels)
    logs = {key: torch.tensor(values) for key, values in graded.pop("extra_logs").items()}
    return {**{key: torch.tensor(values) for key, values in graded.items()}, "extra_logs": logs}


def app(
    spec: object, *, item: ItemMap = None, backends: Backends | None = None, special_tokens: Any = None
) -> Any:
    """An ASGI app for POST / and /get_reward, which answer {rewards, scores, extra_logs}. Arguments: see reward_func_of."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    grading = _grading(spec, item, backends, special_tokens)

    async def get_reward(request: Request) -> JSONResponse:
        try:
            body = parse((await request.body()).decode())
            queries, prompts = body["query"], body["prompts"]
            labels = body.get("labels") or [None] * len(queries)
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse({"error": "expected {query: [...], prompts: [...], labels: [...]}"}, 400)
        try:
            return JSONResponse(await run_in_threadpool(grading, queries, prompts, labels))
        except RowFailed as error:
            return JSONResponse({"error": str(error)}, 422)

    return Starlette(routes=[Route(path, get_reward, methods=["POST"]) for path in ("/", "/get_reward")])
