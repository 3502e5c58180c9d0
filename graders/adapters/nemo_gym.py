"""NeMo Gym: a resources server whose `/verify` is a grader.

    app = graders.adapters.nemo_gym.app("spec.json", item={"answer": "expected_answer"})

`POST /verify` gets `responses_create_params`, `response` (a Responses API object) and the other fields of the dataset
row. It answers with the same body, `reward`, and `reward_components` for a multi. `POST /seed_session` answers {}. A
failed row is a 422 with the reason, since the model would learn from any number.
"""

from __future__ import annotations

from typing import Any

import graders
from graders.adapters import ItemMap, RowFailed, item_of, reward_of
from graders.engine.backends import Backends
from graders.jsontext import parse


def app(spec: object, *, item: ItemMap = None, backends: Backends | None = None) -> Any:
    """The ASGI app."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    grader = graders.compile(spec, backends=backends)

    async def verify(request: Request) -> JSONResponse:
        try:
            body = parse((await request.body()).decode())
            sample = {"object": "response", **body["response"]}
            fields = item_of({key: value for key, value in body.items() if key != "response"}, item)
        except (ValueError, KeyError, TypeError) as error:
            message = f"expected a JSON object with 'response' and the fields of the item: {error!r}"
            return JSONResponse({"error": message}, 400)
        result = await grader.arun(sample, fields)
        try:
            graded = {**body, "reward": reward_of(result)}
        except RowFailed as error:
            return JSONResponse({"error": str(error)}, 422)
        if result.sub_rewards:
            graded["reward_components"] = result.sub_rewards
        return JSONResponse(graded)

    async def seed_session(request: Request) -> JSONResponse:
        return JSONResponse({})

    routes = [
        Route("/verify", verify, methods=["POST"]),
        Route("/seed_session", seed_session, methods=["POST"]),
    ]
    return Starlette(routes=routes)
