"""What goes over the wire: every message form, both APIs, addresses, keys and headers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import graders
from graders.endpoints.contract import Reply
from graders.messages import Message, TextPart, with_text
from graders.models import Client, Config, ConfigError, Route, ScriptedJudge, load_config
from tests.judges.support import (
    FakeTransport,
    ask,
    config_of,
    in_virtual_time,
    judge_spec,
    ok,
    virtual_client,
)

PIXEL = "data:image/png;base64,iVBORw0KGgo="

FORMS = [
    # about, content as in the spec, chat's content, the content of /responses
    pytest.param("Rate {{item.a}}", "Rate 1", [{"type": "input_text", "text": "Rate 1"}], id="a string"),
    pytest.param({"type": "input_text", "text": "Rate {{item.a}}"}, "Rate 1", [{"type": "input_text", "text": "Rate 1"}], id="one part"),
    pytest.param([{"type": "input_text", "text": "x"}], "x", [{"type": "input_text", "text": "x"}], id="an array of one"),
    pytest.param(
        ["x {{item.a}}", {"type": "input_text", "text": "y"}],
        [{"type": "text", "text": "x 1"}, {"type": "text", "text": "y"}],
        [{"type": "input_text", "text": "x 1"}, {"type": "input_text", "text": "y"}],
        id="strings and parts mixed",
    ),
    pytest.param({"type": "output_text", "text": "z"}, "z", [{"type": "input_text", "text": "z"}], id="output_text of a user"),
    pytest.param(
        [{"type": "input_text", "text": "see", "prompt_cache_breakpoint": {"x": 1}}, {"type": "input_image", "image_url": "{{item.picture}}", "file_id": None}],
        [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
        [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PIXEL, "detail": "auto"}],
        id="an image, file_id null and an unknown key ignored",
    ),
    pytest.param(
        [{"type": "input_image", "image_url": "{{item.picture}}", "detail": "low"}],
        [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}],
        [{"type": "input_image", "image_url": PIXEL, "detail": "low"}],
        id="an image alone, with detail",
    ),
    pytest.param(
        [{"type": "input_audio", "input_audio": {"data": "{{item.sound}}", "format": "wav"}}],
        [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}],
        None,
        id="audio",
    ),
]  # fmt: skip
ITEM = {"a": 1, "picture": PIXEL, "sound": "UklGRg=="}


def sent(spec: dict[str, Any], item: dict[str, Any], **judge: Any) -> tuple[FakeTransport, graders.RunResult]:
    """What one row makes a judge be asked, over a transport that answers."""

    def respond(body: dict[str, Any], number: int) -> Reply:
        if "input" in body:
            content = [{"type": "output_text", "text": '{"steps": [], "result": 0.5}'}]
            return Reply(200, {}, json.dumps({"output": [{"type": "message", "content": content}]}).encode())
        return ok()

    fake = FakeTransport(respond, latency_s=0.0)
    config = Config({"models": {"*": {"base_url": "http://judge.invalid/v1"}}, "judge": judge})
    with graders.Backends(models=Client(config, transport=fake), config=config) as backends:
        return fake, graders.compile(spec, backends=backends).run("the sample", item)


@pytest.mark.parametrize(("content", "chat", "responses"), FORMS)
def test_every_message_form_is_sent_as_the_api_has_it(content: Any, chat: Any, responses: Any) -> None:
    """Every form that specs use arrives as the API has it, and nothing is added."""
    spec = judge_spec(input=[{"role": "user", "content": content, "type": "message"}], sampling_params={})

    fake, result = sent(spec, ITEM)
    assert result.ok, result.failures
    assert fake.bodies[0]["messages"] == [{"role": "user", "content": chat}]

    fake, result = sent(spec, ITEM, api="responses")
    if responses is None:
        assert result.flags == ("model_grader_server_error",)
        assert "audio cannot be sent to /responses" in str(result.failures[0])
        assert not fake.bodies
    else:
        assert result.ok, result.failures
        assert fake.bodies[0]["input"] == [{"role": "user", "content": responses}]


def test_roles_go_out_verbatim() -> None:
    """All roles, in order, every text as it stands; an assistant's text is output_text for /responses."""
    said = [(role, f"I am {role}  \n") for role in ("developer", "system", "user", "assistant", "user")]
    spec = judge_spec(input=[{"role": role, "content": text} for role, text in said])

    fake, _ = sent(spec, {})
    assert [(m["role"], m["content"]) for m in fake.bodies[0]["messages"]] == said

    fake, _ = sent(spec, {}, api="responses")
    kinds = [(m["role"], m["content"][0]["type"], m["content"][0]["text"]) for m in fake.bodies[0]["input"]]
    assert kinds == [(r, "output_text" if r == "assistant" else "input_text", t) for r, t in said]


def test_whole_chat_body() -> None:
    """The body of a full spec, field by field: nothing that is not set, and no null."""
    fake, _ = sent(judge_spec(), {})
    body = fake.bodies[0]
    schema = body.pop("response_format")["json_schema"]
    body.pop("messages")
    assert body == {
        "model": "m",
        "stream": False,
        "max_completion_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 1,
        "reasoning_effort": "low",
    }
    assert schema["name"] == "float_score_classification"
    assert schema["strict"] is True
    assert list(schema["schema"]["properties"]) == ["steps", "result"] == schema["schema"]["required"]
    assert "in inclusive range 0 to 1" in schema["schema"]["properties"]["result"]["description"]

    fake, _ = sent(judge_spec(sampling_params=None), {}, steps=False)
    assert set(fake.bodies[0]) == {"model", "messages", "stream", "response_format"}
    assert list(fake.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]) == ["result"]


def test_whole_responses_body() -> None:
    """`store` is off, the limit has its other name, and a seed, which this API lacks, is named as dropped."""
    fake, result = sent(judge_spec("score_model"), {}, api="responses")
    body = fake.bodies[0]
    assert body.pop("text")["format"]["name"] == "float_score_classification"
    body.pop("input")
    assert body == {
        "model": "m",
        "store": False,
        "stream": False,
        "max_output_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning": {"effort": "low"},
    }
    assert fake.urls == ["http://judge.invalid/v1/responses"]
    assert result.provenance["judge"]["dropped"] == ["seed"]


@pytest.mark.parametrize("spelling", ["max_completions_tokens", "max_completion_tokens", "max_tokens"])
def test_token_limit_in_every_spelling(spelling: str) -> None:
    fake, _ = sent(judge_spec(sampling_params={spelling: 7}), {})
    assert fake.bodies[0]["max_completion_tokens"] == 7
    assert "max_tokens" not in fake.bodies[0]


AZURE = {"base_url": "https://x.openai.azure.com", "api_version": "2025-04-01-preview", "azure": True}
ADDRESSES = [
    # what the table says, the address, the header with the key
    pytest.param({"base_url": "http://h:1/v1/"}, "http://h:1/v1/chat/completions", None, id="a local server gets no key"),
    pytest.param({"base_url": "http://h/v1", "api_key_env": "K"}, "http://h/v1/chat/completions", ("authorization", "Bearer k-1"), id="a key that is named for it"),
    pytest.param({"base_url": "https://api.openai.com/v1"}, "https://api.openai.com/v1/chat/completions", ("authorization", "Bearer o-1"), id="OpenAI"),
    pytest.param({"base_url": "https://api.openai.com/v1", "api": "responses"}, "https://api.openai.com/v1/responses", ("authorization", "Bearer o-1"), id="responses by choice"),
    pytest.param(AZURE, "https://x.openai.azure.com/openai/deployments/m/chat/completions?api-version=2025-04-01-preview", ("api-key", "a-1"), id="Azure deployment"),
    pytest.param({**AZURE, "model": "prod judge"}, "https://x.openai.azure.com/openai/deployments/prod%20judge/chat/completions?api-version=2025-04-01-preview", ("api-key", "a-1"), id="Azure deployment of another name"),
    pytest.param({**AZURE, "base_url": "https://x.openai.azure.com/openai/deployments/d"}, "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2025-04-01-preview", ("api-key", "a-1"), id="Azure deployment in the address"),
    pytest.param({"base_url": "https://x.openai.azure.com/openai/v1", "azure": True, "api_key_env": "K"}, "https://x.openai.azure.com/openai/v1/chat/completions", ("api-key", "k-1"), id="Azure v1"),
    pytest.param({"base_url": "http://h/v1", "query": {"team": "a b"}}, "http://h/v1/chat/completions?team=a+b", None, id="query"),
    pytest.param({"base_url": "http://h/{model}/v1"}, "http://h/m/v1/chat/completions", None, id="the model in the address"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "url", "key"), ADDRESSES)
def test_addresses_and_keys(
    monkeypatch: pytest.MonkeyPatch, table: dict[str, Any], url: str, key: tuple[str, str] | None
) -> None:
    """A question carries only the key that is meant for its address."""
    for name, value in {"K": "k-1", "OPENAI_API_KEY": "o-1", "AZURE_OPENAI_API_KEY": "a-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    fake = FakeTransport(
        lambda body, n: ok() if "messages" in body else Reply(200, {}, b'{"output": []}'), latency_s=0.0
    )
    client = Client(Config({"models": {"*": {**table, "headers": {"X-Team": "red"}}}}), transport=fake)

    async def one() -> None:
        await asyncio.gather(client.answer(ask()), return_exceptions=True)

    asyncio.run(one())

    assert fake.urls[0] == url
    headers = dict(fake.headers[0])
    assert headers.pop("x-team") == "red"
    assert [(n, v) for n, v in headers.items() if "key" in n or n == "authorization"] == (
        [key] if key else []
    )


def test_the_route_of_a_model_without_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_BASE_URL and its key, as OpenAI's own clients take them; a file's endpoint is not given that key."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "o-1")
    config = Config({"models": {"mine": {"base_url": "http://other/v1"}}})

    assert (config.route("any").base_url, config.route("any").key()) == ("http://proxy/v1", "o-1")
    assert (config.route("mine").base_url, config.route("mine").key()) == ("http://other/v1", "")


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_token_callback_is_called_for_each_attempt(kind: str) -> None:
    """A token is made anew for every attempt, and goes before the route's key."""
    made: list[Route] = []

    def token(route: Route) -> str:
        made.append(route)
        return f"t-{len(made)}"

    async def later(route: Route) -> str:
        return token(route)

    fake = FakeTransport(lambda body, n: ok() if n else Reply(503, {}, b""))
    config = Config({"endpoints": {"fake": {"base_url": "http://judge.invalid/v1"}}, "models": {"*": "fake"}})
    maker = token if kind == "plain" else later
    client = Client(config, transport=fake, token=maker, clock=lambda: asyncio.get_running_loop().time())

    in_virtual_time(client.answer(ask()))

    assert [headers["authorization"] for headers in fake.headers] == ["Bearer t-1", "Bearer t-2"]
    assert made[0].endpoint == "fake"


def test_request_ids_are_unique_and_the_servers_own_is_in_the_result() -> None:
    fake = FakeTransport(lambda body, n: Reply(200, {"x-request-id": f"req-{n}"}, ok().body))
    client = virtual_client(fake)

    async def two() -> list[Any]:
        return [await client.answer(ask()), await client.answer(ask())]

    replies = in_virtual_time(two())

    assert len({headers["x-client-request-id"] for headers in fake.headers}) == 2
    assert [reply.provenance["request_id"] for reply in replies] == ["req-0", "req-1"]


def test_an_added_text_joins_the_users_last() -> None:
    """Chat templates that want roles to alternate are not broken by what a missing schema makes us add."""
    user, judge = Message("user", (TextPart("a"),)), Message("assistant", (TextPart("b"),))
    assert with_text((user,), "c") == (Message("user", (TextPart("a\n\nc"),)),)
    assert with_text((user, judge), "c") == (user, judge, Message("user", (TextPart("c"),)))


def test_the_structured_mode_is_remembered_for_each_model() -> None:
    """A model that lacks json_schema is not asked for it again; another model of the endpoint is."""
    unsupported = Reply(400, {}, b'{"error": {"message": "response_format json_schema is not supported"}}')

    def respond(body: dict[str, Any], number: int) -> Reply:
        if body["response_format"]["type"] == "json_schema":
            return unsupported
        key = body["messages"][-1]["content"].split('"required": ["')[1].split('"')[0]
        return ok(json.dumps({key: 0.5}))

    fake = FakeTransport(respond)
    client = virtual_client(fake, steps=False)

    async def run() -> list[Any]:
        return [await client.answer(ask(model=model)) for model in ("a", "a", "b", "a")]

    replies = in_virtual_time(run())

    assert [reply.provenance["structured"] for reply in replies] == ["json_object"] * 4
    assert [body["response_format"]["type"] for body in fake.bodies] == [
        "json_schema",
        "json_object",
        "json_object",
        "json_schema",
        "json_object",
        "json_object",
    ]


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[judge]\nmax_inflight = 3", "judge.max_inflight: unknown key; the keys are"),
        ("[judge]\nmax_inflight = 3", "Did you mean 'max_in_flight'?"),
        ("[judges]", "judges: unknown table; the tables are"),
        ("[models]\nm = 'x'", 'models."m": there is no [endpoints.x]; there are: none'),
        ("[judge]\nvotes = 2", "judge.votes: expected an odd number, found 2"),
        ("[judge]\nmax_attempts = 0", "expected a whole number of at least 1, found 0"),
        ("[judge]\ntimeout_s = true", "judge.timeout_s: expected a number of at least 0.001, found True"),
        ("[judge]\napi = 'completions'", "expected one of chat, responses, found 'completions'"),
        ("[judge]\nharden = 1", "judge.harden: expected true or false, found 1"),
        ("[endpoints.a]\nbase_url = 'localhost:8000'", "expected an address with http:// or https://"),
        ("[endpoints.a]\nbase_url = 'http://me:secret@host/v1'", "a user or password in an address"),
        ("[endpoints.a]\nheaders = {X = 1}", "endpoints.a.headers: expected a table of texts"),
        ("[prices.m]\ninput = 1", "expected at least input and output"),
        ("[prices.m]\ninput = 1\noutput = 1\nper = 2", "unknown key; the keys are input, output, cached"),
        ("judge = ", "not TOML: "),
    ],
)
def test_config_mistakes_name_file_key_and_expectation(tmp_path: Any, toml: str, says: str) -> None:
    """Mistakes in graders.toml name the file, the key and what was expected."""
    path = tmp_path / "graders.toml"
    path.write_text(toml)

    with pytest.raises(ConfigError) as wrong:
        load_config(path)

    assert str(path) in str(wrong.value)
    assert says in str(wrong.value)


def test_configuration_files_have_a_precedence(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config goes before GRADERS_CONFIG, that before the first graders.toml found upward."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for number, path in enumerate(
        (tmp_path / "graders.toml", tmp_path / "env.toml", tmp_path / "named.toml")
    ):
        path.write_text(f"[judge]\nmax_attempts = {number + 1}")
    monkeypatch.chdir(inner)
    monkeypatch.delenv("GRADERS_CONFIG", raising=False)

    assert load_config().route("m").max_attempts == 1
    monkeypatch.setenv("GRADERS_CONFIG", str(tmp_path / "env.toml"))
    assert load_config().route("m").max_attempts == 2
    assert load_config(tmp_path / "named.toml").route("m").max_attempts == 3
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")


def test_settings_of_a_model_override_its_endpoint_and_judge() -> None:
    config = Config(
        {
            "judge": {"max_attempts": 1, "votes": 3, "attempt_timeout_s": 5},
            "endpoints": {"e": {"base_url": "http://e/v1", "max_attempts": 2, "votes": 5}},
            "models": {"m": {"endpoint": "e", "max_attempts": 3}},
        }
    )
    route = config.route("m")
    assert (route.max_attempts, route.votes, route.attempt_timeout_s) == (3, 5, 5)


def test_openai_without_a_key_gets_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key nothing is sent, and the message names the variable and the file."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with graders.Backends(config=Config()) as backends:
        result = graders.compile(judge_spec(), backends=backends).run("x")

    assert result.flags == ("model_grader_server_error",)
    assert "OPENAI_API_KEY holds no key" in str(result.failures[0])
    assert "graders.toml" in str(result.failures[0])


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that quotes the key, in any answer, does not get it into a result."""
    monkeypatch.setenv("K", "sk-very-secret")
    with ScriptedJudge(lambda received: json_error(received.headers["authorization"])) as judge:
        config = config_of(judge, api_key_env="K")
        with graders.Backends(config=config) as backends:
            result = graders.compile(judge_spec(), backends=backends).run("x")

    assert "Bearer ***" in str(result.failures[0])
    assert "sk-very-secret" not in json.dumps(result.to_wire()) + repr(result.failures)


def json_error(message: str) -> Any:
    from graders.judges.scripted import fail

    return fail(401, message)


@pytest.mark.parametrize("how", ["refused", "ignored"])
def test_concurrent_refusals_step_down_one_mode(how: str) -> None:
    """Fifty questions that find out at the same time leave the ladder where one would: none steps past what works."""

    def respond(body: dict[str, Any], number: int) -> Reply:
        if body["response_format"]["type"] == "json_schema":
            refused = Reply(400, {}, b'{"error": {"message": "response_format is not supported"}}')
            return refused if how == "refused" else ok("I like it.")
        key = body["messages"][-1]["content"].split('"required": ["')[1].split('"')[0]
        return ok(json.dumps({key: 0.5}))

    fake = FakeTransport(respond)
    client = virtual_client(fake, steps=False, max_in_flight=50)

    async def run() -> list[Any]:
        return await asyncio.gather(*(client.answer(ask(f"q{n}")) for n in range(50)))

    replies = in_virtual_time(run())

    assert {reply.provenance["structured"] for reply in replies} == {"json_object"}
    # the first ignored question is asked once more in vain
    assert len(fake.bodies) <= 50 * 2 + 1
