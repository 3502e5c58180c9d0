"""The sampler: what is sent over both APIs, what comes back, and that no fault of a server is ever a sample."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.ask import SampleAsk, SampleReply
from graders.endpoints.endpoint import Endpoints, Timing
from graders.errors import GradeError, ModelParseError, ModelRefusal, ModelServerError
from graders.judges.scripted import ReceivedRequest, Step, completion, fail
from graders.models import Config, ConfigError, ScriptedJudge
from graders.sampling import RecordedSampler, Sampler, ScriptedSampler
from graders.usage import Usage
from tests.judges.fault_server import BEHAVIOURS, PARSE, SCORE, Behaviour
from tests.judges.support import Clock, ImpatientTransport, config_of, judge_spec

PIXEL = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"name": "weather", "description": "Of a city.", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"name": "capital", "strict": True, "schema": {"type": "object", "properties": {}}}
USER = {"role": "user", "content": "Hello"}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedJudge]:
    with ScriptedJudge(said("Hi")) as server:
        yield server


def said(text: Any, **more: Any) -> Any:
    return lambda received: Step(body=completion(received, text, **more))


def sampled(server: ScriptedJudge, ask: SampleAsk, *answers: Any, n_stalls: int = 0, **route: Any) -> Any:
    """The reply, or the failure."""
    clock = Clock()
    config = config_of(server, **{"max_attempts": 3, **route})
    timing = Timing(clock.now, clock.sleep, lambda: 0.5)
    transport = ImpatientTransport(server, n_stalls)
    sampler = Sampler(config, Endpoints(config, transport=transport, timing=timing))
    server.clear()
    server.queue(*answers)

    async def run() -> SampleReply:
        try:
            return await sampler.answer(ask)
        finally:
            await sampler.aclose()

    try:
        return asyncio.run(run())
    except GradeError as error:
        return error


def sent(server: ScriptedJudge, api: str, *messages: Any, **params: Any) -> dict[str, Any]:
    """The body of a request, without what is always there."""
    reply = sampled(server, SampleAsk("m", messages, params, api))
    assert isinstance(reply, SampleReply), reply
    body = dict(server.received[0].json)
    assert body.pop("model") == "m"
    assert body.pop("stream") is False
    if api == "responses":
        assert body.pop("store") is False
    return body


CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALL_ITEM = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}

MESSAGES = [
    # about, messages as a run has them, chat's messages, the input of /responses (None: it cannot carry them)
    pytest.param([USER], [USER], [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}], id="text"),
    pytest.param(
        [{"type": "message", "role": "user", "content": {"type": "input_text", "text": "Hello"}}],
        [USER],
        [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
        id="one part, as the service normalises it",
    ),
    pytest.param(
        [{"role": "user", "content": ["See", {"type": "input_image", "image_url": PIXEL, "detail": "low"}]}],
        [{"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]}],
        [{"role": "user", "content": [{"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": PIXEL, "detail": "low"}]}],
        id="an image",
    ),
    pytest.param(
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL, "detail": "auto"}]}],
        id="an image in chat's form",
    ),
    pytest.param(
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}]}],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}]}],
        None,
        id="audio",
    ),
    pytest.param(
        [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "mild"}],
        [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "mild"}],
        [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}, CALL_ITEM, {"type": "function_call_output", "call_id": "call_1", "output": "mild"}],
        id="a tool's call and its result",
    ),
    pytest.param(
        [USER, {"type": "reasoning", "summary": []}, CALL_ITEM, {"type": "function_call_output", "call_id": "call_1", "output": "mild"}],
        [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "mild"}],
        [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}, {"type": "reasoning", "summary": []}, CALL_ITEM, {"type": "function_call_output", "call_id": "call_1", "output": "mild"}],
        id="the same as a response's items",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "chat", "responses"), MESSAGES)
def test_messages_of_either_form_go_out_over_both_apis(
    server: ScriptedJudge, messages: list[Any], chat: list[Any], responses: list[Any] | None
) -> None:
    assert sent(server, "chat", *messages)["messages"] == chat
    if responses is None:
        failed = sampled(server, SampleAsk("m", tuple(messages), {}, "responses"))
        assert "audio cannot be sent to /responses" in str(failed)
        assert not server.received
    else:
        assert sent(server, "responses", *messages)["input"] == responses


@pytest.mark.parametrize(
    "limit", ["max_completions_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens"]
)
@pytest.mark.parametrize("form", ["chat", "responses"])
def test_parameters_of_either_form_go_out_over_both_apis(
    server: ScriptedJudge, form: str, limit: str
) -> None:
    """Formats, tools, efforts and limits in the words of the API that is asked; what is null or unset is not sent."""
    chat = {
        "response_format": {"type": "json_schema", "json_schema": SCHEMA},
        "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "reasoning_effort": "low",
    }
    responses = {
        "text": {"format": {"type": "json_schema", **SCHEMA}},
        "tools": [{"type": "function", **TOOL}],
        "tool_choice": {"type": "function", "name": "weather"},
        "reasoning": {"effort": "low"},
    }
    shared = {"temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": False}
    given = {**(chat if form == "chat" else responses), **shared, "seed": None, limit: 7}

    body = sent(server, "chat", USER, **given)
    assert body == {**chat, **shared, "max_completion_tokens": 7, "messages": [USER]}
    body = sent(server, "responses", USER, **given)
    body.pop("input")
    assert body == {**responses, **shared, "max_output_tokens": 7}


def test_a_tool_of_responses_alone_is_reported(server: ScriptedJudge) -> None:
    ask = SampleAsk("m", (USER,), {"tools": [{"type": "web_search"}]})
    assert 'api = "responses"' in str(sampled(server, ask))
    assert sent(server, "responses", USER, tools=[{"type": "web_search"}])["tools"] == [
        {"type": "web_search"}
    ]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_reply_is_a_sample(server: ScriptedJudge, api: str) -> None:
    """The body as it came can be graded as it is; usage, model and how it was asked stand beside it."""
    reply = sampled(server, SampleAsk("m", (USER,), {"seed": 1}, api), said("Paris", model="m-2026"))

    assert (reply.text, reply.finish_reason, reply.model) == ("Paris", "stop", "m-2026")
    assert reply.usage == Usage(10, 5, 15)
    assert reply.provenance["attempts"] == 1
    assert reply.provenance.get("dropped", []) == (["seed"] if api == "responses" else [])
    check = {
        "type": "string_check",
        "name": "c",
        "operation": "eq",
        "input": "{{sample.output_text}}",
        "reference": "Paris",
    }
    assert graders.run(check, reply.completion).reward == 1.0


def test_calls_of_tools_need_no_text(server: ScriptedJudge) -> None:
    def calls(received: ReceivedRequest) -> Step:
        body = completion(received, None, finish="tool_calls")
        body["choices"][0]["message"]["tool_calls"] = [CALL]
        return Step(body=body)

    reply = sampled(server, SampleAsk("m", (USER,)), calls)
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")


def test_a_truncated_answer_is_a_sample(server: ScriptedJudge) -> None:
    """The limit is the eval's own; that it was reached stands in the sample."""
    reply = sampled(server, SampleAsk("m", (USER,)), said("Par", finish="length"))
    assert (reply.text, reply.finish_reason) == ("Par", "length")


EMPTY = [
    pytest.param(said(None), "is empty; it ended for 'stop' after 5 tokens", id="null"),
    pytest.param(said("  \n", finish="length"), "it ended for 'length'", id="blanks up to the limit"),
]


@pytest.mark.parametrize(("answer", "says"), EMPTY)
def test_an_empty_answer_is_an_error(server: ScriptedJudge, answer: Any, says: str) -> None:
    """An empty answer is an error without another try, which would change what is measured."""
    failed = sampled(server, SampleAsk("m", (USER,)), answer)
    assert isinstance(failed, ModelParseError)
    assert says in str(failed)
    assert failed.usage == Usage(10, 5, 15)
    assert len(server.received) == 1


#: Every parameter that servers refuse, in spellings of either API.
PARAMS = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 1,
    "max_completion_tokens": 5,
    "reasoning_effort": "low",
    "logprobs": True,
    "top_logprobs": 2,
}
REFUSED = [
    # API, names that the server complains of as long as they are there, params, what counts as dropped
    pytest.param("chat", ("temperature", "max_completion_tokens"), PARAMS, ["temperature"], id="the limit's older name"),
    pytest.param("chat", ("max_completion_tokens", "max_tokens"), {"max_completions_tokens": 5}, ["max_completions_tokens"],
                 id="no limit, in the service's spelling"),
    pytest.param("chat", ("reasoning_effort",), {"reasoning": {"effort": "low"}}, ["reasoning"], id="effort of responses"),
    pytest.param("chat", ("seed", "top_p", "logprobs", "top_logprobs"), PARAMS, ["logprobs", "seed", "top_logprobs", "top_p"],
                 id="one after the other"),
    pytest.param("responses", ("temperature", "top_p"), PARAMS, ["seed", "temperature", "top_p"], id="responses: sampling"),
    pytest.param("responses", ("max_output_tokens",), PARAMS, ["max_completion_tokens", "seed"], id="responses: the limit"),
    pytest.param("responses", ("reasoning",), {"reasoning_effort": "low"}, ["reasoning_effort"], id="responses: effort"),
    pytest.param("responses", ("store", "stream"), {}, [], id="responses: what only we add"),
    pytest.param("responses", ("top_logprobs", "reasoning", "max_output_tokens", "temperature", "top_p"), PARAMS,
                 ["max_completion_tokens", "reasoning_effort", "seed", "temperature", "top_logprobs", "top_p"],
                 id="responses: one after the other"),
]  # fmt: skip


@pytest.mark.parametrize(("api", "refused", "params", "dropped"), REFUSED)
def test_refused_parameters_are_learned_and_reported(
    server: ScriptedJudge, api: str, refused: Any, params: Any, dropped: Any
) -> None:
    """Refused parameters are learned over both APIs: a parameter, the limit's newer name, the system role."""

    def picky(received: ReceivedRequest) -> Step:
        for name in refused:
            if name in received.json:
                return fail(400, f"Unsupported parameter: '{name}'")
        if any(
            message["role"] == "system" for message in received.json.get("messages") or received.json["input"]
        ):
            return fail(400, "System role not supported")
        return Step(body=completion(received, "ok"))

    server.default, default = picky, server.default
    try:
        messages = ({"role": "system", "content": "Be brief."}, USER)
        reply = sampled(server, SampleAsk("m", messages, params, api), max_attempts=1)
    finally:
        server.default = default

    assert isinstance(reply, SampleReply), reply
    assert reply.provenance["dropped"] == sorted([*dropped, "system role"])
    body = server.received[-1].json
    # one message, of two parts where the API has parts
    assert [text.replace("\n", "") for text in server.received[-1].texts] == ["Be brief.Hello"]
    assert not set(refused) & body.keys()
    assert body.get("max_tokens") == (
        5 if "max_completion_tokens" in refused and "max_tokens" not in refused else None
    )


def test_an_answers_format_is_passed_through_or_an_error(server: ScriptedJudge) -> None:
    """A format that the server does not take is an error, since the eval asked for it."""
    ask = SampleAsk("m", (USER,), {"response_format": {"type": "json_object"}})
    failed = sampled(server, ask, fail(400, "response_format is not supported"))
    assert isinstance(failed, ModelServerError)
    assert "response_format is not supported" in str(failed)
    assert len(server.received) == 1


def outcome_of(behaviour: Behaviour) -> str:
    """What a fault of the judges' table is to a sampler: "sample", or the flag of the errored row."""
    if any(word in behaviour.name for word in ("400, no json_schema", "neither form", "prompt only")):
        return "model_grader_server_error"
    if "null, then" in behaviour.name or "empty" in behaviour.name:
        return PARSE
    # a text that is no verdict is a sample like any other
    return "sample" if behaviour.flag in ("", PARSE) else behaviour.flag


#: Servers that complain of a parameter that only chat completions have: over responses it is not sent, so that nothing
#: is learned of it, and the row is an error with the server's words.
NOT_SENT = (
    "400, no max_completion_tokens",
    "400, no token limit at all",
    "422, no seed",
    "one parameter after the other",
)
FAULTS = [
    *(pytest.param("chat", one, id=one.name) for one in BEHAVIOURS),
    *(
        pytest.param("responses", one, id=f"responses: {one.name}", marks=pytest.mark.slow)
        for one in BEHAVIOURS
        # choices, and contents in parts, are chat's alone
        if "choice" not in one.name and "in parts" not in one.name
    ),
]


@pytest.mark.parametrize(("api", "behaviour"), FAULTS)
def test_every_fault_of_judges_servers(server: ScriptedJudge, api: str, behaviour: Behaviour) -> None:
    """A sample or an errored row with its reason, never something to be graded as a fail."""
    params = {
        "seed": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 50,
        "reasoning_effort": "low",
    }
    ask = SampleAsk("m", ({"role": "developer", "content": "Be brief."}, USER), params, api)

    got = sampled(server, ask, *behaviour.answers(SCORE), n_stalls=behaviour.n_stalls)

    not_sent = api == "responses" and behaviour.name in NOT_SENT
    outcome = ModelServerError.flag if not_sent else outcome_of(behaviour)
    if outcome == "sample":
        assert isinstance(got, SampleReply), got
        assert got.text
    else:
        assert isinstance(got, GradeError)
        assert got.flag == outcome
        assert str(got)
        assert got.model == "m"


def test_backends_answer_samples_beside_everything_else(server: ScriptedJudge) -> None:
    """In order, each with its reply or its failure; the budget is the judges'."""
    server.clear()
    server.queue(said("one"), model="a")
    server.queue(fail(400, "no"), model="b")
    config = config_of(server, tables={"judge": {"max_calls": 2}})
    with graders.Backends(config=config) as backends:
        first, second = backends.fetch([SampleAsk("a", (USER,)), SampleAsk("b", (USER,))])
        (third,) = backends.fetch([SampleAsk("a", (USER,))])
        assert backends.asked["a"].calls == 1

    assert isinstance(first, SampleReply)
    assert isinstance(second, ModelServerError)
    assert "the limit of 2" in str(third)


def test_a_scripted_sampler_needs_no_server() -> None:
    script: dict[str, str | GradeError] = {"hi": "Hello!", "no": ModelRefusal("the model refused: no")}
    sampler = ScriptedSampler(lambda ask: script[ask.messages[0]["content"]])
    with graders.Backends(config=Config(), sampler=sampler) as backends:
        asks = [SampleAsk("m", ({"role": "user", "content": text},)) for text in script]
        hello, refused = backends.fetch(asks)
    assert isinstance(hello, SampleReply)
    assert (hello.text, hello.usage) == ("Hello!", Usage(10, 5, 15))
    assert refused is script["no"]
    assert sampler.asked == asks


def test_sampler_settings_go_before_those_of_judges() -> None:
    """[sampler] before [judge], [sampler.models] before [models]; judges keep theirs."""
    tables = {
        "endpoints": {"a": {"base_url": "http://a/v1"}, "b": {"base_url": "http://b/v1"}},
        "models": {"*": "a", "kept": {"endpoint": "a", "max_attempts": 9}},
        "judge": {"max_attempts": 2},
        "sampler": {"max_attempts": 4, "models": {"m": "b"}},
    }
    config = Config(tables)
    sampler = config.for_sampler()
    assert [(c.route("m").origin, c.route("m").max_attempts) for c in (config, sampler)] == [
        ("http://a/v1", 2),
        ("http://b/v1", 4),
    ]
    assert sampler.route("kept").max_attempts == 9
    with pytest.raises(ConfigError, match=r"sampler\.max_attempt: unknown key"):
        Config({"sampler": {"max_attempt": 1}})


def test_the_request_is_json_of_its_own(server: ScriptedJudge) -> None:
    """Asking does not change what was given."""
    params = {"tools": [{"type": "function", "function": TOOL}]}
    before = json.dumps(params)
    sent(server, "responses", USER, **params)
    assert json.dumps(params) == before


def test_a_recording_is_replayed_and_filled(server: ScriptedJudge, tmp_path: Path) -> None:
    """Missing answers are asked for and added, failures are not; without a client a missing answer is an error."""
    path = tmp_path / "samples.jsonl"
    server.clear()
    server.queue(said("one"), model="a")
    server.queue(fail(400, "no"), model="b")
    asks = [SampleAsk("a", (USER,)), SampleAsk("b", (USER,))]
    config = config_of(server, tables={"sampler": {"recording": str(path)}})
    for _ in range(2):
        with graders.Backends(config=config) as backends:
            first, failed = backends.fetch(asks)
        server.queue(fail(400, "no"), model="b")
        assert isinstance(first, SampleReply)
        assert (first.text, first.usage) == ("one", Usage(10, 5, 15))
        assert isinstance(failed, ModelServerError)

    assert [received.model for received in server.received] == ["a", "b", "b"]
    assert isinstance(first, SampleReply)
    assert first.provenance == {"recorded": True}
    with pytest.raises(ModelServerError, match="has no answer to this question to 'b'"):
        asyncio.run(RecordedSampler(path).answer(asks[1]))


def test_a_function_that_judges_does_not_sample(server: ScriptedJudge) -> None:
    """Samples go where the configuration says, whoever the judges are."""
    server.clear()
    server.queue(said("a sample"))
    with graders.Backends(models=lambda body: 0.5, config=config_of(server)) as backends:
        (reply,) = backends.fetch([SampleAsk("m", (USER,))])
    assert isinstance(reply, SampleReply)
    assert reply.text == "a sample"


def test_recorded_judges_share_their_budget_with_the_sampler(server: ScriptedJudge, tmp_path: Path) -> None:
    config = config_of(server, tables={"judge": {"max_calls": 1, "recording": str(tmp_path / "judge.jsonl")}})
    with graders.Backends(config=config) as backends:
        backends.fetch([SampleAsk("m", (USER,))])
        result = graders.compile(judge_spec(), backends=backends).run("x")
    assert "the limit of 1" in str(result.failures[0])
