"""OpenRLHF: a remote reward model over HTTP, or a file with `reward_func`.

    # my_reward.py, for --reward.remote_url my_reward.py
    from graders.adapters.openrlhf import reward_func_of
    reward_func = reward_func_of("spec.json")

    # or a server, for --reward.remote_url http://127.0.0.1:5000/get_reward
    app = graders.adapters.openrlhf.app("spec.json")        # uvicorn my_server:app --port 5000

Queries hold prompt and response; the sample is what follows the prompt. The label becomes item["label"]. A failed row
raises RowFailed, over HTTP it is a 422 that says so: OpenRLHF has no way to leave a row out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import graders
from graders.adapters import ItemMap, RowFailed, reward_of, rows_of
from graders.engine.backends import Backends
from graders.engine.grader import Grader


def _graded(
    grader: Grader, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], item: ItemMap
) -> dict[str, Any]:
    samples = [query.removeprefix(prompt) for query, prompt in zip(queries, prompts, strict=True)]
    results = list(grader.run_batch(rows_of(samples, {"prompt": list(prompts), "label": list(labels)}, item)))
    rewards = [reward_of(result) for result in results]
    keys = results[0].sub_rewards if results else ()
    logs = {key: [result.sub_rewards[key] for result in results] for key in keys}
    return {"rewards": rewards, "scores": rewards, "extra_logs": logs}


def reward_func_of(
    spec: object, *, item: ItemMap = None, backends: Backends | None = None
) -> Callable[..., dict[str, Any]]:
    """OpenRLHF's reward_func(queries, prompts, labels): a dict of tensors. torch is imported when it is called."""
    grader = graders.compile(spec, backends=backends)

    def reward_func(
        queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **more: Any
    ) -> dict[str, Any]:
        import torch

        graded = _graded(grader, queries, prompts, labels, item)
        logs = {key: torch.tensor(values) for key, values in graded["extra_logs"].items()}
        return {
            "rewards": torch.tensor(graded["rewards"]),
            "scores": torch.tensor(graded["scores"]),
            "extra_logs": logs,
        }

    return reward_func


def app(spec: object, *, item: ItemMap = None, backends: Backends | None = None) -> Any:
    """An ASGI app that answers POST / and /get_reward with {rewards, scores, extra_logs}."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    grader = graders.compile(spec, backends=backends)

    async def get_reward(request: Request) -> JSONResponse:
        try:
            body = await request.json()
            queries = body["query"]
            prompts = body.get("prompts") or [""] * len(queries)
            labels = body.get("labels") or [None] * len(queries)
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse(
                {"error": "expected {'query': [...], 'prompts': [...], 'labels': [...]}"}, 400
            )
        try:
            return JSONResponse(await run_in_threadpool(_graded, grader, queries, prompts, labels, item))
        except RowFailed as error:
            return JSONResponse({"error": str(error)}, 422)

    return Starlette(routes=[Route(path, get_reward, methods=["POST"]) for path in ("/", "/get_reward")])
