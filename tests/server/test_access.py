"""Who is answered without a token, and which path reaches which endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import Response

from graders.server.routing import Router
from tests.server.support import VALIDATE, RunningServer, serving
from tests.specs import string_check

ORIGINS = [
    # Origin, status
    pytest.param(None, 200, id="no browser"),
    pytest.param("http://{host}", 200, id="this server's own page"),
    pytest.param("https://evil.example", 403, id="a foreign page"),
    pytest.param("http://localhost:1", 403, id="another server on this machine"),
    pytest.param("null", 403, id="a sandboxed frame"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving() as running:
        yield running


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
def test_a_foreign_origin_changes_nothing(server: RunningServer, origin: str | None, status: int) -> None:
    """Requests of a foreign origin that change something are refused; those that only read are answered."""
    host = f"127.0.0.1:{server.port}"
    headers = {"origin": origin.format(host=host)} if origin else {}

    assert server.post(VALIDATE, {"grader": string_check()}, headers).status == status
    assert server.ask("GET", "/state", headers=headers).status == 200


def test_a_token_stands_for_the_origin() -> None:
    """A page that knows the token may use the server from anywhere."""
    with serving(token="secret") as server:
        headers = {"origin": "https://app.example", "authorization": "Bearer secret"}

        assert server.post(VALIDATE, {"grader": string_check()}, headers).status == 200


async def endpoint(request: Request) -> Response:
    return Response()


PATHS = [
    # path, the pattern that answers it, its parameters
    ("/evals", "/evals", {}),
    ("/evals/eval_1", "/evals/{eval_id}", {"eval_id": "eval_1"}),
    ("/evals/eval_1/runs", "/evals/{eval_id}/runs", {"eval_id": "eval_1"}),
    ("/evals/a/runs/b", "/evals/{eval_id}/runs/{run_id}", {"eval_id": "a", "run_id": "b"}),
    ("/evals/{eval_id}", "/evals/{eval_id}", {"eval_id": "{eval_id}"}),
    ("/evals/", None, {}),
    ("/evals/a/b", None, {}),
    ("/evals//runs", None, {}),
    ("evals", None, {}),
]


@pytest.mark.parametrize(("path", "pattern", "parameters"), PATHS)
def test_paths_find_their_endpoint(path: str, pattern: str | None, parameters: dict[str, str]) -> None:
    """A parameter is one whole segment that is not empty."""
    patterns = ("/evals", "/evals/{eval_id}", "/evals/{eval_id}/runs", "/evals/{eval_id}/runs/{run_id}")
    routes = {one: {"GET": endpoint} for one in patterns}

    found = Router(routes).find(path)

    assert (found is None) == (pattern is None)
    if found is not None and pattern is not None:
        assert found.methods is routes[pattern]
        assert found.parameters == parameters
