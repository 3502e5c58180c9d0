"""Graders behind addresses: asked only where the configuration allows the host; every failure has its flag."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import graders
from graders.ask import EndpointAsk, EndpointReply
from graders.endpoints.endpoint import Timing
from graders.endpoints.grader import EndpointGraders
from graders.errors import GradeError
from graders.judges.scripted import ScriptedJudge, Step
from graders.models import Config, ConfigError
from tests.judges.support import Clock

SAMPLE = {"output_text": "4"}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedJudge]:
    with ScriptedJudge(Step(200, {"score": 0.5})) as server:
        yield server


def host_of(server: ScriptedJudge) -> str:
    return server.base_url.removeprefix("http://").removesuffix("/v1")


def asked(
    server: ScriptedJudge, *steps: Step, url: str = "", headers: dict[str, str] | None = None, **table: Any
) -> EndpointReply | GradeError:
    """The reply, or the failure."""
    clock = Clock()
    server.clear()
    server.queue(*steps)
    config = Config({"endpoint_graders": {host_of(server): {"max_attempts": 3, **table}}})
    client = EndpointGraders(config, timing=Timing(clock.now, clock.sleep, lambda: 0.5))
    ask = EndpointAsk(url or f"http://{host_of(server)}/grade", SAMPLE, {"answer": 4}, headers or {})

    async def run() -> EndpointReply:
        try:
            return await client.answer(ask)
        finally:
            await client.aclose()

    try:
        return asyncio.run(run())
    except GradeError as error:
        return error


def test_the_row_is_posted_and_the_score_comes_back(
    server: ScriptedJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request has the spec's headers and those that the configuration takes from variables."""
    monkeypatch.setenv("GRADER_TOKEN", "Bearer t-1")
    reply = asked(
        server,
        Step(200, {"score": 2, "why": "right"}),
        headers={"X-Team": "a"},
        headers_env={"authorization": "GRADER_TOKEN"},
    )

    assert isinstance(reply, EndpointReply), reply
    assert (reply.score, reply.body["why"]) == (2.0, "right")
    (received,) = server.received
    assert received.path == "/grade"
    assert received.json == {"sample": SAMPLE, "item": {"answer": 4}}
    assert (received.headers["x-team"], received.headers["authorization"]) == ("a", "Bearer t-1")


SERVER, INTERNAL = "endpoint_grader_server_error", "endpoint_grader_internal_error"


@pytest.mark.parametrize(
    ("steps", "flag", "says", "requests"),
    [
        pytest.param([Step(503), Step(drop=True)], "", "", 3, id="failures that pass"),
        pytest.param([Step(429, headers={"retry-after": "2"})], "", "", 2, id="a pause"),
        pytest.param([Step(500, b"oops")] * 3, SERVER, "status 500: oops; gave up after 3 attempts", 3, id="500 for ever"),
        pytest.param([Step(401, b"who?")], SERVER, "status 401: who?", 1, id="401"),
        pytest.param([Step(404, b"Not Found")], SERVER, "status 404: Not Found", 1, id="404"),
        pytest.param([Step(302, headers={"location": "http://127.0.0.1:9/"})], SERVER, "status 302", 1, id="a redirect is not followed"),
        pytest.param([Step(200, b"<html>")], INTERNAL, "the body is not JSON: '<html>'", 1, id="a page"),
        pytest.param([Step(200, {"reward": 1})], INTERNAL, '"score": {"reward": 1}', 1, id="no score"),
        pytest.param([Step(200, [1])], INTERNAL, "finite number", 1, id="a list"),
        pytest.param([Step(200, {"score": True})], INTERNAL, "finite number", 1, id="true"),
        pytest.param([Step(200, {"score": "1"})], INTERNAL, "finite number", 1, id="a text"),
        pytest.param([Step(200, b'{"score": NaN}')], INTERNAL, "finite number", 1, id="NaN"),
        pytest.param([Step(200, b'{"score": 1' + b"0" * 400 + b"}")], INTERNAL, "finite number", 1, id="beyond every float"),
    ],
)  # fmt: skip
def test_every_failure_has_its_flag(
    server: ScriptedJudge, steps: list[Step], flag: str, says: str, requests: int
) -> None:
    got = asked(server, *steps)

    assert len(server.received) == requests
    if flag:
        assert isinstance(got, GradeError)
        assert got.flag == flag
        assert says in str(got)
        assert says in got.details
    else:
        assert isinstance(got, EndpointReply)
        assert got.score == 0.5


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/grade",
        "http://{host}@example.com/grade",
        "http://example.com@{host}/grade",
        "http://localhost.{host}/grade",
        "http://{host}0/grade",
        "http://127.0.0.1/grade",
        "file:///etc/passwd",
        "http://{host}\\@example.com/",
        "http://[::1",
        "",
    ],
)
def test_no_other_host_is_asked(server: ScriptedJudge, url: str) -> None:
    """Only the host and port that the configuration names, however the address is spelled."""
    got = asked(server, url=url.format(host=host_of(server)) or "nowhere")

    assert isinstance(got, GradeError)
    assert got.flag == "endpoint_grader_safety_check_error"
    assert "add [endpoint_graders." in str(got)
    assert not server.received


def test_a_variable_that_is_not_set_is_named(server: ScriptedJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADER_TOKEN", raising=False)
    got = asked(server, headers_env={"authorization": "GRADER_TOKEN"})
    assert "takes a header from GRADER_TOKEN" in str(got)
    assert not server.received


def test_backends_ask_it_beside_everything_else(server: ScriptedJudge) -> None:
    """Two headers for one address are two questions; without a table for its host none is asked."""
    server.clear()
    config = Config({"endpoint_graders": {host_of(server): {}}})
    url = f"http://{host_of(server)}/grade"
    asks = [EndpointAsk(url, SAMPLE, {}, {"x-key": key}) for key in ("a", "b")]
    with graders.Backends(config=config) as backends:
        replies = backends.fetch(asks)
    with graders.Backends(config=Config()) as backends:
        (refused,) = backends.fetch(asks[:1])

    assert [reply.score for reply in replies if isinstance(reply, EndpointReply)] == [0.5, 0.5]
    assert sorted(received.headers["x-key"] for received in server.received) == ["a", "b"]
    assert isinstance(refused, GradeError)
    assert refused.flag == "endpoint_grader_safety_check_error"


def test_a_wrong_table_is_reported() -> None:
    with pytest.raises(ConfigError, match=r'endpoint_graders\."h"\.timeout: unknown key'):
        Config({"endpoint_graders": {"h": {"timeout": 1}}})
    with pytest.raises(ConfigError, match="expected a table, found True"):
        Config({"endpoint_graders": {"h": True}})
