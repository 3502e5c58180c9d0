"""Servers as public bug reports describe them: a judge behind each grades every row, or each row has the right flag.

A server is a function from a request to a response; the report it re-enacts stands beside it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

import graders
from graders.judges.scripted import ReceivedRequest, Step, completion, fail, result_key
from graders.models import Client, ScriptedJudge
from graders.result import RunResult
from tests.judges.support import Clock, config_of, judge_spec

ROWS = 6
Server = Callable[[ReceivedRequest], Step]


def verdict(received: ReceivedRequest, result: Any = 0.7) -> str:
    """A valid answer, as the request wants it."""
    return json.dumps({"steps": [], result_key(received): result})


def good(received: ReceivedRequest) -> Step:
    return Step(body=completion(received, verdict(received)))


def format_of(received: ReceivedRequest) -> str:
    return str(received.json.get("response_format", {}).get("type", "none"))


def roles(received: ReceivedRequest) -> list[str]:
    return [message["role"] for message in received.json["messages"]]


def graded(server: Server, rows: int = ROWS, **judge: Any) -> tuple[list[RunResult], ScriptedJudge, Clock]:
    """The rows' results, the server with what it received, and what was slept."""
    clock = Clock()
    with ScriptedJudge(server) as scripted:
        config = config_of(scripted, **judge)
        client = Client(config, clock=clock.now, sleep=clock.sleep, jitter=lambda: 0.1)
        with graders.Backends(models=client, config=config) as backends:
            grader = graders.compile(judge_spec(range=[0, 1]), backends=backends)
            results = list(grader.run_batch([{"sample": f"row {n}"} for n in range(rows)]))
    return results, scripted, clock


# --- the ladder and the lessons -----------------------------------------------------------------------------------


def lm_studio(received: ReceivedRequest) -> Step:
    if format_of(received) == "json_object":
        return Step(400, {"error": "'response_format.type' must be 'json_schema' or 'text'"})
    return good(received) if format_of(received) == "none" else Step(body=completion(received, "Fine."))


def text_generation_inference(received: ReceivedRequest) -> Step:
    errors = {
        "json_schema": "response_format: unknown variant `json_schema`, expected `json_object` or `regex`",
        "json_object": "response_format: missing field `value` at line 1 column 300",
    }
    message = errors.get(format_of(received))
    return Step(422, {"error": message, "error_type": "validation"}) if message else good(received)


def gemini_schema(received: ReceivedRequest) -> Step:
    if format_of(received) != "json_schema":
        return good(received)
    message = (
        'Invalid JSON payload received. Unknown name "additionalProperties" at '
        "'generation_config.response_schema': Cannot find field."
    )
    return Step(400, [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}])


def vllm_qwen_role(received: ReceivedRequest) -> Step:
    return fail(400, "Unexpected message role.") if "developer" in roles(received) else good(received)


def glm_role(received: ReceivedRequest) -> Step:
    refused = "developer" in roles(received)
    return fail(400, "[1214] Incorrect role information") if refused else good(received)


def gemma_no_system(received: ReceivedRequest) -> Step:
    refused = {"developer", "system"} & set(roles(received))
    return fail(400, "System role not supported") if refused else good(received)


def o1_mini(received: ReceivedRequest) -> Step:
    for role in ("developer", "system"):
        if role in roles(received):
            message = f"Unsupported value: 'messages[0].role' does not support '{role}' with this model."
            return Step(
                400, {"error": {"message": message, "param": "messages[0].role", "code": "unsupported_value"}}
            )
    return good(received)


def xai_effort(received: ReceivedRequest) -> Step:
    if "reasoning_effort" in received.json:
        return Step(400, {"error": "Model grok-4-0709 does not support parameter reasoningEffort."})
    return good(received)


def vllm_logprobs(received: ReceivedRequest) -> Step:
    if "top_logprobs" in received.json:
        return fail(400, "Requested sample logprobs of 20, which is greater than max allowed: 5")
    return good(received)


def no_stream(received: ReceivedRequest) -> Step:
    if "stream" in received.json:
        return fail(400, "Unrecognized request argument supplied: stream")
    return good(received)


def mistral_template(received: ReceivedRequest) -> Step:
    alternate = all(a != b for a, b in itertools.pairwise(roles(received)))
    if not alternate or "user" not in roles(received)[:1]:
        return fail(400, "Conversation roles must alternate user/assistant/user/assistant/...")
    return good(received)


LADDER = [
    pytest.param(lm_studio, {}, id="lmstudio-bug-tracker#189: json_object refused"),
    pytest.param(
        text_generation_inference, {}, id="text-generation-inference#2899: json_object wants a value"
    ),
    pytest.param(gemini_schema, {}, id="ag2#2348: a key of the schema refused, in an array"),
    pytest.param(vllm_qwen_role, {}, id="ogx#6069: unexpected role"),
    pytest.param(glm_role, {}, id="PI-Desktop#30: incorrect role information"),
    pytest.param(gemma_no_system, {}, id="chat-ui#1386: no system role"),
    pytest.param(o1_mini, {}, id="forgecode#1177: neither developer nor system"),
    pytest.param(xai_effort, {}, id="hermes-agent#23088: a parameter in camel case"),
    pytest.param(vllm_logprobs, {"expected_score": "auto"}, id="vLLM: too many log-probabilities"),
    pytest.param(no_stream, {}, id="an argument that the client adds"),
    pytest.param(mistral_template, {}, id="roles must alternate"),
]


@pytest.mark.parametrize(("server", "judge"), LADDER)
def test_missing_capabilities_are_learned(server: Server, judge: dict[str, Any]) -> None:
    """Every row is graded; a lesson is asked for once by each row at most, and not again in a second batch."""
    results, scripted, _ = graded(server, **judge)

    assert [result.reward for result in results] == [0.7] * ROWS, [r.failures for r in results]
    last = scripted.received[-1]
    assert server(last).status == 200
    assert "Grade this: row" in "".join(last.texts)
    assert "You grade answers." in "".join(last.texts)


def test_a_missing_system_role_is_named() -> None:
    """Provenance says that the system message went into the user's."""
    results, _, _ = graded(gemma_no_system)
    assert all(result.provenance["judge"]["dropped"] == ["system role"] for result in results)


# --- valid verdicts in strict JSON's shadow -----------------------------------------------------------------------


def now_and_then(odd: Callable[[ReceivedRequest], Step]) -> Callable[[], Server]:
    """A server that answers `odd` to the first request of every second row."""

    def make() -> Server:
        asked: set[str] = set()

        def server(received: ReceivedRequest) -> Step:
            row = "".join(received.texts)
            first = row not in asked
            asked.add(row)
            return odd(received) if first and int(row[-1]) % 2 else good(received)

        return server

    return make


def always(text: Callable[[ReceivedRequest], str], **more: Any) -> Callable[[], Server]:
    return lambda: lambda received: Step(body=completion(received, text(received), **more))


def described(received: ReceivedRequest, description: str) -> str:
    """A verdict whose one step is spelled as given, escapes and all."""
    return '{"steps": [{"description": "%s", "conclusion": "."}], "%s": 0.7}' % (  # noqa: UP031  # a template with braces in it
        description,
        result_key(received),
    )


def groq(received: ReceivedRequest) -> Step:
    message = "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."
    error = {"message": message, "type": "invalid_request_error", "code": "json_validate_failed"}
    return Step(400, {"error": {**error, "failed_generation": '{"steps": [], "result'}})


FORMS = [
    pytest.param(
        now_and_then(lambda r: Step(body=completion(r, f"```json\n{verdict(r)}\n```"))),
        id="tau2-bench#555: fenced now and then",
    ),
    pytest.param(always(lambda r: f"\n```\n{verdict(r)}\n```\n"), id="always fenced"),
    pytest.param(
        always(lambda r: described(r, r"\( x \) is C:\users\new")), id="gandalf-the-grader#21: backslashes"
    ),
    pytest.param(always(lambda r: described(r, "first\nsecond\tthird")), id="xaibo#36: raw line breaks"),
    pytest.param(
        always(lambda r: verdict(r) + "\n" * 500, finish="length"), id="vllm#38696: blanks up to the limit"
    ),
    pytest.param(now_and_then(groq), id="amurex-backend#38: json_validate_failed now and then"),
]


@pytest.mark.parametrize("make", FORMS)
def test_a_whole_verdict_is_taken(make: Callable[[], Server]) -> None:
    """One whole object that passes the schema is a verdict, whatever stands around it."""
    results, scripted, _ = graded(make())

    assert [result.reward for result in results] == [0.7] * ROWS, [r.failures for r in results]
    assert {format_of(received) for received in scripted.received} == {"json_schema"}


def test_an_answer_beside_the_content_is_named() -> None:
    """vllm#48863: the failure says where the text was; an empty content is no sign that the schema is ignored."""

    def reasoning(received: ReceivedRequest) -> Step:
        body = completion(received, None)
        body["choices"][0]["message"]["reasoning_content"] = verdict(received)
        return Step(body=body)

    results, scripted, _ = graded(reasoning)

    assert {result.flags for result in results} == {("model_grader_parse_error",)}
    assert all("`reasoning_content` holds 28 characters" in str(r.failures[0]) for r in results)
    assert {format_of(received) for received in scripted.received} == {"json_schema"}
    assert len(scripted.received) == 2 * ROWS


@pytest.mark.parametrize("mode", ["json_schema", "json_object", "prompt"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("```json\n{good}\n```\n```json\n{other}\n```", id="two fences"),
        pytest.param("{good}\n{other}", id="two objects"),
        pytest.param(
            'The sample says:\n```json\n{{"result": 1}}\n```', id="the sample's own, fenced, in prose"
        ),
        pytest.param(
            '{{"steps": [{{"description": "it says \\" {{\\"result\\": 1}}"}}',
            id="within a string of a torn object",
        ),
    ],
)
def test_two_verdicts_and_quoted_ones_are_none(answer: str, mode: str) -> None:
    """What is taken in a fence or with odd escapes is never one of two, nor the sample's."""

    def server(received: ReceivedRequest) -> Step:
        texts = {"good": verdict(received), "other": verdict(received, 0.2)}
        return Step(body=completion(received, answer.format(**texts)))

    results, _, _ = graded(server, structured=mode)

    assert {result.flags for result in results} == {("model_grader_parse_error",)}
    assert {result.reward for result in results} == {0.0}


# --- pauses and refusals ------------------------------------------------------------------------------------------

QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits. Please retry in 1.2s."
)


@pytest.mark.parametrize(
    ("details", "message", "least_s"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}], QUOTA, 3.0),
        ([], QUOTA, 1.2),
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"}], "billing", 2.5),
    ],
)
def test_a_rate_limit_pauses_and_loses_no_row(details: list[Any], message: str, least_s: float) -> None:
    """smolagents#1134, continue#11926: forty rows of which the eleventh request is refused end with forty rewards."""
    count = itertools.count(1)

    def server(received: ReceivedRequest) -> Step:
        if next(count) != 11:
            return good(received)
        error = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
        return Step(429, [{"error": error}])

    results, scripted, clock = graded(server, rows=40)

    assert [result.reward for result in results] == [0.7] * 40
    assert len(scripted.received) == 41
    assert max(clock.slept) >= least_s


def test_a_403_about_one_rows_content_is_that_rows_refusal() -> None:
    """A gateway's moderation, on the first row already: the other rows are graded."""
    message = 'openai/gpt-4o requires moderation on OpenRouter. Your input was flagged for "violence".'

    def server(received: ReceivedRequest) -> Step:
        first = "row 0" in "".join(received.texts)
        return Step(403, {"error": {"code": 403, "message": message}}) if first else good(received)

    results, _, _ = graded(server)

    assert [result.flags for result in results] == [("model_grader_refusal_error",)] + [()] * (ROWS - 1)
    assert "flagged" in str(results[0].failures[0])


def test_an_error_within_a_choice_keeps_its_status() -> None:
    """A gateway's error inside a choice says 429, and is a pause."""
    count = itertools.count()

    def server(received: ReceivedRequest) -> Step:
        if next(count):
            return good(received)
        error = {"code": 429, "message": "slow down", "metadata": {}}
        return Step(
            body={"choices": [{"finish_reason": "error", "error": error, "message": {"content": ""}}]}
        )

    results, _, clock = graded(server, max_in_flight=1)
    assert all(result.ok for result in results)
    assert clock.slept


# --- time -------------------------------------------------------------------------------------------------------


def test_seconds_exclude_waiting() -> None:
    """One row at a time at a server that takes 30 ms: the wait grows from row to row, a row's own time does not count it."""

    def slow(received: ReceivedRequest) -> Step:
        return Step(body=completion(received, verdict(received)), delay_s=0.03)

    with (
        ScriptedJudge(slow) as scripted,
        graders.Backends(config=config_of(scripted, max_in_flight=1)) as backends,
    ):
        results = list(
            graders.compile(judge_spec(), backends=backends).run_batch(
                [{"sample": f"row {n}"} for n in range(ROWS)]
            )
        )

    waits = sorted(result.waited for result in results)
    assert all(wait >= 0.03 * place * 0.9 for place, wait in enumerate(waits))
    assert all(result.execution_time - result.waited >= 0.03 * 0.9 for result in results)
    # with the waits it would be half as many times the longest row as there are rows
    own = sum(result.execution_time - result.waited for result in results)
    assert own <= 2 * max(result.execution_time for result in results)


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("{origin}/v1/chat/completions", "/v1/chat/completions"),
        ("{origin}/v1/", "/v1/chat/completions"),
        ("{origin}/v1?team=a", "/v1/chat/completions?team=a"),
        ("HTTP{rest}/v1", "/v1/chat/completions"),
    ],
)
def test_an_address_pasted_whole_works(address: str, path: str) -> None:
    with ScriptedJudge(good) as scripted:
        origin = scripted.base_url.removesuffix("/v1")
        base_url = address.format(origin=origin, rest=origin.removeprefix("http"))
        config = graders.models.Config({"models": {"*": {"base_url": base_url}}})
        with graders.Backends(config=config) as backends:
            assert graders.compile(judge_spec(), backends=backends).run("x").reward == 0.7
        assert scripted.received[0].path == path


def test_an_address_without_a_version_is_named() -> None:
    with ScriptedJudge(Step(404, b"Not Found")) as scripted:
        origin = scripted.base_url.removesuffix("/v1")
        config = graders.models.Config({"models": {"*": {"base_url": origin}}})
        with graders.Backends(config=config) as backends:
            result = graders.compile(judge_spec(), backends=backends).run("x")
    assert f"under /v1: {origin}/v1" in str(result.failures[0])
