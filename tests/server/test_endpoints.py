"""The two endpoints as CONTRACT has them: what is answered to whom, and every way to be refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from graders.result import NO_ERRORS
from graders.server import Limits
from graders.server.request import Call
from tests.server.support import BATCH, PROBLEMS, RUN, VALIDATE, RunningServer, serving
from tests.specs import multi, python, string_check, text_similarity

LIMITS = Limits(body_bytes=200_000)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(limits=LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[RunningServer]:
    with serving(token="a secret") as running:
        yield running


USAGE_FIELDS = ["prompt_tokens", "total_tokens", "completion_tokens", "cached_tokens"]


def test_a_run_has_every_field(server: RunningServer) -> None:
    """CONTRACT 5: every key of the response is there, with the types that the specification gives them."""
    answer = server.run(string_check(), "Paris", {"answer": "Paris"})

    result = answer.json()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
    assert int(answer.headers["openai-processing-ms"]) >= 0
    assert list(result) == ["reward", "metadata", "sub_rewards", "model_grader_token_usage_per_model"]
    assert list(result["metadata"]) == [
        "name",
        "type",
        "errors",
        "execution_time",
        "scores",
        "token_usage",
        "sampled_model_name",
    ]
    assert result["metadata"]["errors"] == dict(NO_ERRORS)
    assert (result["reward"], result["metadata"]["name"], result["metadata"]["type"]) == (
        1.0,
        "check",
        "string_check",
    )
    assert result["sub_rewards"] == result["metadata"]["scores"] == {}
    assert result["metadata"]["execution_time"] > 0


RESULTS = [
    pytest.param(string_check(operation="ilike"), "in PARIS!", {"answer": "paris"}, 1.0, [], id="a reward"),
    pytest.param(string_check(), "Paris", None, 0.0, ["invalid_variable_error"], id="no item"),
    pytest.param(
        string_check(input="{{sample.output_json.a}}"), '{"a": "x"}', {"answer": "x"}, 1.0, [], id="output_json"
    ),
    pytest.param(python("def grade(s, i): return s['output_json']['a'] / 2"), '{"a": 1}', {}, 0.5, [], id="python"),
    pytest.param(
        python("def grade(s, i): return 1 / 0"), "x", {}, 0.0, ["python_grader_runtime_error"], id="python raises"
    ),
    pytest.param(python("def grade("), "x", {}, 0.0, ["python_grader_runtime_error"], id="python does not compile"),
    pytest.param(
        multi("a - 2 * b", {"a": text_similarity(), "b": string_check(operation="ne")}), "x", {"answer": "x"}, 1.0, [],
        id="multi",
    ),
    pytest.param(
        multi("1 / (a - 1)", {"a": string_check()}), "x", {"answer": "x"}, 0.0, ["formula_parse_error"], id="formula"
    ),
    pytest.param(string_check(), "x\ud800", {"answer": "x\ud800"}, 1.0, [], id="half a surrogate pair"),
]  # fmt: skip


@pytest.mark.parametrize(("grader", "sample", "item", "reward", "flags"), RESULTS)
def test_a_failed_row_is_an_answer(
    server: RunningServer, grader: dict[str, Any], sample: str, item: Any, reward: float, flags: list[str]
) -> None:
    """A failed row is answered with 200 and a flag."""
    answer = server.run(grader, sample, item)

    result = answer.json()
    assert answer.status == 200, result
    assert result["reward"] == reward
    assert [flag for flag, value in result["metadata"]["errors"].items() if value is True] == flags


CHECK = string_check()
REFUSALS = [
    # method, path, body, headers, status, param, code, a word of the message
    pytest.param("POST", RUN, b"{", {}, 400, None, "invalid_json", "JSON", id="not JSON"),
    pytest.param("POST", RUN, b"\xff", {}, 400, None, "invalid_json", "JSON", id="not UTF-8"),
    pytest.param("POST", RUN, b'{"grader": NaN}', {}, 400, None, "invalid_json", "NaN", id="NaN"),
    pytest.param("POST", RUN, b"[" * 100_000, {}, 400, None, "invalid_json", "deep", id="nested too deeply"),
    pytest.param("POST", RUN, b"[]", {}, 400, None, "invalid_type", "an array", id="an array"),
    pytest.param("POST", RUN, {}, {}, 400, "grader", "missing_required_parameter", "'grader'", id="nothing"),
    pytest.param(
        "POST", RUN, {"grader": CHECK}, {}, 400, "model_sample", "missing_required_parameter", "'model_sample'",
        id="no sample",
    ),
    pytest.param(
        "POST", RUN, {"grader": CHECK, "model_sample": {}}, {}, 400, "model_sample", "invalid_type",
        "expected a string, but got an object", id="sample is no text",
    ),
    pytest.param(
        "POST", RUN, {"grader": CHECK, "model_sample": "", "item": []}, {}, 400, "item", "invalid_type", "an array",
        id="item is no object",
    ),
    pytest.param(
        "POST", RUN, {"grader": CHECK, "model_sample": "", "itme": {}}, {}, 400, "itme", "unknown_parameter",
        "Did you mean 'item'?", id="unknown parameter",
    ),
    pytest.param(
        "POST", RUN, {"grader": "/etc/passwd", "model_sample": ""}, {}, 400, "grader", "invalid_type", "an object",
        id="a path is not opened",
    ),
    pytest.param("POST", VALIDATE, {"grader": {}}, {}, 400, "grader.type", "missing_required_parameter", "type", id="no type"),
    pytest.param(
        "POST", VALIDATE, {"grader": string_check(operation="contains")}, {}, 400, "grader.operation", "invalid_value",
        "Invalid value: 'contains'. Supported values are: 'eq', 'ne', 'like', and 'ilike'.", id="a bad value",
    ),
    pytest.param(
        "POST", VALIDATE, {"grader": multi("a", string_check())}, {}, 400, "grader.graders", "invalid_type",
        "Invalid type for 'graders.input': expected an object, but got a string instead.", id="one grader in a multi",
    ),
    pytest.param(
        "POST", VALIDATE, {"grader": multi("a", {"a": {**CHECK, "input": 1}})}, {}, 400, "grader.graders.a.input",
        "invalid_type", "an integer", id="deep inside",
    ),
    pytest.param(
        "POST", RUN, {"grader": text_similarity(evaluation_metric="cosine"), "model_sample": ""}, {}, 400,
        "grader.evaluation_metric", "no_embedder", "embedder", id="cosine",
    ),
    pytest.param(
        "POST", RUN, b"grader=1", {"content-type": "application/x-www-form-urlencoded"}, 415, None,
        "unsupported_content_type", "application/json", id="a form",
    ),
    pytest.param("POST", RUN, b"{}", {"content-type": "text/plain"}, 415, None, "unsupported_content_type", "text/plain", id="text"),
    pytest.param("POST", RUN, b"{}", {"content-encoding": "gzip"}, 415, None, "unsupported_encoding", "ompress", id="compressed"),
    pytest.param("POST", RUN, b" " * 200_001, {}, 413, None, "request_too_large", "200000", id="too large"),
    pytest.param("GET", RUN, None, {}, 405, None, "method_not_supported", "POST", id="wrong method"),
    pytest.param("DELETE", "/", None, {}, 405, None, "method_not_supported", "GET", id="wrong method on the page"),
    pytest.param("POST", "/v1/fine_tuning/alpha/graders", {}, {}, 404, None, "unknown_url", "Invalid URL", id="unknown path"),
    pytest.param("GET", "/v1/models", None, {}, 404, None, "unknown_url", "/v1/models", id="another endpoint"),
    pytest.param("POST", PROBLEMS, {"spec": 1}, {}, 400, "spec", "invalid_type", "a string", id="problems of a number"),
    pytest.param("POST", BATCH, {"grader": CHECK, "rows": {}}, {}, 400, "rows", "invalid_type", "an array", id="rows"),
    pytest.param(
        "POST", BATCH, {"grader": {}, "rows": []}, {}, 400, "grader.type", "missing_required_parameter", "type",
        id="a batch's spec",
    ),
    pytest.param("GET", "/healthz", None, {"host": "evil.example"}, 403, None, "unknown_host", "loopback", id="rebound name"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "param", "code", "word"), REFUSALS)
def test_every_refusal_has_the_services_error_body(
    server: RunningServer,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    param: str | None,
    code: str | None,
    word: str,
) -> None:
    """Every refusal is the service's error body, with a status that its clients do not retry."""
    answer = server.ask(method, path, body, headers)

    error = answer.error
    assert (answer.status, error["param"], error["code"]) == (status, param, code), error
    assert word in error["message"]
    assert error["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"].startswith("req_")
    if status == 405:
        assert answer.headers["allow"]


def test_all_problems_at_once(server: RunningServer) -> None:
    """One answer names everything that is wrong with a spec."""
    error = server.post(VALIDATE, {"grader": {"type": "string_check", "operation": "x", "inputt": "a"}}).error

    assert len(error["message"].splitlines()) == 4, error["message"]


def test_validate_gives_the_normalised_grader(server: RunningServer) -> None:
    """Canonical words: nothing is added but a name where there is none."""
    source = "def grade(sample, item):\n    return 1.0\n"
    answer = server.post(VALIDATE, {"grader": multi("a + b", {"a": python(source), "b": string_check()})})

    grader = answer.json()["grader"]
    assert grader == multi("a + b", {"a": python(source), "b": string_check()})


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/openai"])
def test_endpoints_answer_under_azures_paths(server: RunningServer, prefix: str) -> None:
    """The same endpoints under Azure's prefixes, with or without an api-version."""
    path = f"{prefix}/fine_tuning/alpha/graders/run?api-version=2025-04-01-preview"
    answer = server.post(path, {"grader": string_check(), "model_sample": "a", "item": {"answer": "a"}})

    assert answer.json()["reward"] == 1.0


KEYS = [
    pytest.param({}, 401, None, id="no key"),
    pytest.param({"authorization": "Bearer a secret"}, 200, None, id="bearer"),
    pytest.param({"authorization": "bearer a secret"}, 200, None, id="the scheme's case does not count"),
    pytest.param({"api-key": "a secret"}, 200, None, id="api-key"),
    pytest.param({"authorization": "Bearer x", "api-key": "a secret"}, 200, None, id="one of both"),
    pytest.param({"authorization": "Bearer a secre"}, 401, "invalid_api_key", id="shorter"),
    pytest.param({"authorization": "Bearer a secret2"}, 401, "invalid_api_key", id="longer"),
    pytest.param({"authorization": "Basic a secret"}, 401, None, id="another scheme"),
    pytest.param({"authorization": "Bearer "}, 401, None, id="empty"),
    pytest.param({"authorization": "Bearer \xe9"}, 401, "invalid_api_key", id="not ASCII"),
]


@pytest.mark.parametrize(("headers", "status", "code"), KEYS)
def test_every_grading_endpoint_asks_for_the_token(
    guarded: RunningServer, headers: dict[str, str], status: int, code: str | None
) -> None:
    """A server with a token asks for it at every endpoint that grades, and accepts any host name."""
    body = {"grader": string_check(), "model_sample": "a", "item": {"answer": "a"}}
    answer = guarded.post(RUN, body, {"host": "graders.example", **headers})

    assert answer.status == status
    if status == 401:
        assert answer.error["code"] == code
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/healthz", 200), ("/openapi.json", 200), ("/metrics", 401), ("/state", 401), ("/x", 401)],
)
def test_only_pages_and_health_need_no_token(guarded: RunningServer, path: str, status: int) -> None:
    """Without the token only paths that hold no data are answered."""
    assert guarded.ask("GET", path).status == status


def test_a_strict_server_refuses_what_the_service_would() -> None:
    """A strict server refuses what the service would."""
    with serving(strict=True) as running:
        answer = running.run(string_check(operation="neq"))

    assert (answer.status, answer.error["param"]) == (400, "grader.operation")


def test_problems_have_lines(server: RunningServer) -> None:
    """Editors get everything that validate says, with its place in the text; warnings as well."""
    text = json.dumps(multi("a + b", {"a": string_check(operation="neq")}), indent=1)
    found = server.post(PROBLEMS, {"spec": text}).json()

    lines = text.splitlines()
    assert found["grader"] is None
    assert [(p["severity"], p["path"]) for p in found["problems"]] == [
        ("warning", "graders.a.operation"),
        ("error", "calculate_output"),
    ]
    assert [lines[p["line"] - 1].split('"')[1] for p in found["problems"]] == [
        "operation",
        "calculate_output",
    ]


@pytest.mark.parametrize(
    "text", ["", "[", "null", "[]", '"/etc/passwd"', "{}", '{"type": "string_check"}', "\x00"]
)
def test_problems_of_any_text(server: RunningServer, text: str) -> None:
    """Any text gets a list of problems, and no refusal."""
    answer = server.post(PROBLEMS, {"spec": text})

    assert answer.status == 200
    assert answer.json()["problems"]


def test_a_repeated_spec_is_compiled_once(server: RunningServer) -> None:
    """The same grader with each row costs one compilation; another one costs another."""
    before = server.metric("graders_compiled_misses_total")
    for n in range(5):
        server.run(string_check(name="repeated"), str(n), {"answer": "3"})
    server.run(string_check(name="another"), "x", {"answer": "3"})

    assert server.metric("graders_compiled_misses_total") == before + 2


def test_sub_rewards_keep_the_order_of_the_spec(server: RunningServer) -> None:
    """Two specs that differ in the order of their keys are two graders."""
    one, two = {"a": string_check(), "b": text_similarity()}, {"b": text_similarity(), "a": string_check()}

    for graders in (one, two, one):
        answer = server.run(multi("a + b", graders), "x", {"answer": "x"})
        assert list(answer.json()["sub_rewards"]) == list(graders)


def test_health_and_readiness(server: RunningServer) -> None:
    """Ready means that a program has run in the sandbox."""
    assert server.ask("GET", "/healthz").json() == {"status": "ok"}
    ready = server.ask("GET", "/readyz")
    assert ready.status == 200, ready.body
    assert ready.json() == {"status": "ready", "checks": {"config": True, "sandbox": True}}
    assert server.ask("HEAD", "/healthz").body == b""


def test_not_ready_has_a_reason() -> None:
    """A broken configuration is not ready, and lives."""
    from graders.engine.backends import Backends

    with serving(Backends(config="/nonexistent/graders.toml")) as running:
        ready = running.ask("GET", "/readyz")
        assert ready.status == 503
        assert ready.json()["checks"]["config"] is False
        assert "graders.toml" in running.ask("GET", "/state").json()["checks"]["config"]["text"]
        assert running.ask("GET", "/readyz?exclude=config&exclude=sandbox").status == 200
        assert running.ask("GET", "/healthz").status == 200
        refused = running.run(string_check())
        assert (refused.status, refused.error["code"]) == (400, "invalid_config")


TIMEOUTS = [
    # headers, seconds for the row
    pytest.param({}, 300.0, id="the server's own"),
    pytest.param({b"x-stainless-read-timeout": b"600.0"}, 300.0, id="a longer one does not count"),
    pytest.param({b"x-stainless-read-timeout": b"100"}, 98.0, id="the Python client's"),
    pytest.param({b"x-stainless-timeout": b"5"}, 4.0, id="the Node client's"),
    pytest.param(
        {b"x-stainless-read-timeout": b"None", b"x-stainless-timeout": b"5"}, 4.0, id="one that is none"
    ),
    pytest.param({b"x-stainless-timeout": b"-1"}, 300.0, id="negative"),
    pytest.param({b"x-stainless-timeout": b"nan"}, 300.0, id="not a number"),
]


@pytest.mark.parametrize(("headers", "seconds"), TIMEOUTS)
def test_a_row_ends_before_its_client_gives_up(headers: dict[bytes, bytes], seconds: float) -> None:
    """The row's deadline is earlier than the client's, so that the client reads the flag and does not ask again."""
    before = time.monotonic()
    call = Call({"headers": list(headers.items())}, 300.0)

    assert before <= call.deadline - seconds <= time.monotonic()
