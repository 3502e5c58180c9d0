"""`grader serve --record`: requests go on to their model, answers come back unchanged, and evals read what was kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest

from graders.evals.logs import StreamedAnswer
from graders.judges.scripted import ReceivedRequest, ScriptedJudge, Step, completion, say
from graders.server.forwarding import passed_on
from graders.server.service import Recording
from graders.store import LoggedCompletion, Store
from graders.store.tables.completions import CompletionFilter
from tests.evals.support import client_of, counts, ended, equals, eval_server, items, run_of
from tests.server.support import RunningServer

EVENTS = (
    b"".join(
        b"data: "
        + json.dumps(
            {"id": "chatcmpl-s", "object": "chat.completion.chunk", "created": 5, "model": "m-1", **more}
        ).encode()
        + b"\n\n"
        for more in (
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {"content": "Par"}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {"content": "is"}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
        )
    )
    + b"data: [DONE]\n\n"
)


@contextmanager
def recording(days: float | None = 30) -> Iterator[tuple[RunningServer, ScriptedJudge, openai.OpenAI]]:
    with ScriptedJudge() as model:
        model.default = say("Paris")
        config = f'[models]\n"gpt-4o" = {{base_url = "{model.base_url}", model = "local", api_key_env = "MODEL_KEY"}}\n'
        with eval_server(config, recording=Recording(days)) as server, client_of(server) as client:
            yield server, model, client


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    message = {"role": "user", "content": "Capital of France?"}
    return client.chat.completions.create(model="gpt-4o", messages=[message], **fields)  # type: ignore[list-item]  # the client's types are narrower than what it sends


def test_a_request_is_forwarded_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the model's name and the key, which is the model's own, are changed; no key is kept."""
    monkeypatch.setenv("MODEL_KEY", "sk-upstream")
    with recording() as (server, model, client):
        answer = ask(client, store=True, metadata={"use": "bot"}, temperature=0.5, extra_body={"top_k": 3})
        received = model.received[0]
        kept = server.ask("GET", "/v1/chat/completions").body

    assert answer.choices[0].message.content == "Paris"
    assert received.json == {
        "messages": [{"role": "user", "content": "Capital of France?"}],
        "model": "local",
        "store": True,
        "metadata": {"use": "bot"},
        "temperature": 0.5,
        "top_k": 3,
    }
    assert received.headers["authorization"] == "Bearer sk-upstream"
    assert b"sk-upstream" not in kept
    assert b"none" not in json.dumps(dict(received.headers)).encode(), "the client's key is for this server"


STORES = [
    # API, store, kept
    ("chat", None, 0),
    ("chat", False, 0),
    ("chat", True, 1),
    ("responses", None, 1),
    ("responses", False, 0),
]


@pytest.mark.parametrize(("kind", "store", "kept"), STORES)
def test_requests_with_store_are_logged(kind: str, store: bool | None, kept: int) -> None:
    """Responses are logged by default and chat completions are not, as at the service."""
    fields: dict[str, Any] = {} if store is None else {"store": store}
    with recording() as (server, _, client):
        if kind == "chat":
            ask(client, **fields)
            assert len(list(client.chat.completions.list())) == kept
        else:
            made = client.responses.create(model="gpt-4o", input="Capital of France?", **fields)
            assert made.output_text == "Paris"
            assert server.ask("GET", f"/v1/responses/{made.id}").status == (200 if kept else 404)


@pytest.mark.parametrize(("days", "kept"), [(30, 0), (None, 1)])
def test_logged_completions_expire(monkeypatch: pytest.MonkeyPatch, days: float | None, kept: int) -> None:
    """A completion is deleted after the given days; without a number of days it stays."""
    with recording(days) as (server, _, client), Store(server.home) as store:
        made = ask(client, store=True)
        assert len(list(client.chat.completions.list())) == 1
        later = time.time() + 31 * 86400
        monkeypatch.setattr(time, "time", lambda: later)

        assert len(list(client.chat.completions.list())) == kept
        assert server.ask("GET", f"/v1/chat/completions/{made.id}").status == (200 if kept else 404)
        store.sweep()
        assert count_of(store, "completions") == kept


def count_of(store: Store, table: str) -> int:
    count: int = store.database.read().execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def test_a_running_server_deletes_expired_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again: recorded completions, and contents of files. What does not expire, and uploads under way, stay."""
    monkeypatch.setattr("graders.server.service.SWEEP_S", 0.01)
    with recording() as (server, _, client), Store(server.home) as store:
        ask(client, store=True)
        store.completions.add([LoggedCompletion("stays", "chat", 1, None, "m", "{}", "{}", "{}")])
        for content, lifetime_s in ((b"expires", 3600), (b"stays", None)):
            upload = store.files.upload()
            upload.write(content)
            store.files.add(upload, purpose="evals", filename="f", lifetime_s=lifetime_s)
        store.files.upload().write(b"half")
        assert count_of(store, "completions") == 2
        later = time.time() + 31 * 86400
        monkeypatch.setattr(time, "time", lambda: later)

        until = time.monotonic() + 60
        while count_of(store, "completions") > 1 or len(list((server.home / "files").iterdir())) > 1:
            assert time.monotonic() < until, "nothing was deleted"
            time.sleep(0.01)

        assert [one.id for one in store.completions.select(CompletionFilter("chat"))] == ["stays"]
        assert [path.read_bytes() for path in (server.home / "files").iterdir()] == [b"stays"]
        assert len(list((server.home / "incoming").iterdir())) == 1


def test_a_stream_is_passed_on_and_kept_whole() -> None:
    """The client sees the chunks, evals the completion that they amount to."""
    with recording() as (_, model, client):
        model.default = Step(body=EVENTS, headers={"content-type": "text/event-stream"}, trickle_s=0.001)
        text = "".join(
            chunk.choices[0].delta.content or ""
            for chunk in ask(client, store=True, stream=True)
            if chunk.choices
        )
        kept = client.chat.completions.retrieve("chatcmpl-s")

    assert text == "Paris"
    assert kept.choices[0].message.content == "Paris"
    assert (kept.model, kept.created, kept.choices[0].finish_reason) == ("m-1", 5, "stop")
    assert kept.usage is not None
    assert kept.usage.total_tokens == 3


def test_a_stream_is_kept_before_its_end_is_passed_on() -> None:
    """A client leaves with that event and asks for what was kept, whether the connection has ended or not."""
    events = EVENTS.splitlines(keepends=True)
    kept: list[Any] = []

    async def keep(answer: Mapping[str, Any]) -> None:
        kept.append(answer)

    async def sent() -> AsyncIterator[bytes]:
        for event in events:
            yield event

    async def read() -> list[tuple[Any, int]]:
        """Each part, and how many answers had been kept when it came."""
        answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=sent())
        return [(part, len(kept)) async for part in passed_on(answer, "chat", keep).body_iterator]

    seen = asyncio.run(read())

    assert [count for part, count in seen if b"[DONE]" in part] == [1]
    assert len(kept) == 1


@pytest.mark.parametrize(("most", "kept"), [(10**6, 1), (20, 0)])
def test_an_answer_that_is_too_long_to_be_kept_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, most: int, kept: int
) -> None:
    """A long answer is passed on in the order of its bytes, and not kept."""
    monkeypatch.setattr("graders.server.forwarding.KEPT_BYTES", most)
    text = "".join(map(str, range(50_000)))
    with recording() as (_, model, client):
        model.default = say(text)

        assert ask(client, store=True).choices[0].message.content == text
        assert len(list(client.chat.completions.list())) == kept


def test_a_stream_that_breaks_off_is_not_kept() -> None:
    with recording() as (server, model, client):
        model.default = Step(
            body=EVENTS, headers={"content-type": "text/event-stream"}, cut_at=len(EVENTS) // 2, close=True
        )
        with pytest.raises(openai.APIConnectionError):
            list(ask(client, store=True, stream=True))

        assert list(client.chat.completions.list()) == []
        assert server.ask("GET", "/healthz").status == 200


FAILURES = [
    # step, status
    (Step(429, {"error": {"message": "slow down"}}, {"retry-after": "7"}), 429),
    (Step(400, {"error": {"message": "bad"}}), 400),
    (Step(500, b"oops"), 500),
    (Step(drop=True), 502),
]


@pytest.mark.parametrize(("step", "status"), FAILURES)
def test_the_models_errors_are_passed_on(step: Step, status: int) -> None:
    """Errors of the model are passed on without another try, and nothing is kept."""
    body = {"model": "gpt-4o", "messages": [], "store": True}
    with recording() as (server, model, client):
        model.default = step
        answer = server.post("/v1/chat/completions", body)

        assert answer.status == status
        assert answer.headers.get("retry-after") == step.headers.get("retry-after")
        if status != 502:
            assert answer.body == step.data()
            assert len(model.received) == 1
        assert list(client.chat.completions.list()) == []


def test_logged_completions_are_listed_changed_and_deleted() -> None:
    """Completions are listed by model and metadata, their metadata can be replaced, and they can be deleted."""

    def numbered(received: ReceivedRequest) -> Step:
        return Step(body={**completion(received, "Paris"), "id": f"chatcmpl-{received.json['seed']}"})

    with recording() as (server, model, client):
        model.default = numbered
        for n in range(3):
            ask(client, store=True, seed=n, metadata={"n": str(n), "use": "bot"})

        completions = client.chat.completions
        assert [one.id for one in completions.list(limit=2)] == ["chatcmpl-0", "chatcmpl-1", "chatcmpl-2"]
        assert [one.id for one in completions.list(metadata={"n": "1"})] == ["chatcmpl-1"]
        assert [one.id for one in completions.list(model="other")] == []
        assert [one.content for one in completions.messages.list("chatcmpl-1")] == ["Capital of France?"]
        assert completions.update("chatcmpl-1", metadata={"n": "9"}).metadata == {"n": "9"}
        assert completions.delete("chatcmpl-1").deleted
        with pytest.raises(openai.NotFoundError):
            completions.retrieve("chatcmpl-1")
        assert server.post("/v1/chat/completions/chatcmpl-0", {"metadata": 5}).status == 400


@pytest.mark.parametrize("config", ["logs", "stored_completions"])
def test_an_eval_reads_logged_completions(config: str) -> None:
    """Completion monitoring: the logged answers are graded; then the same inputs go to another model."""
    with recording() as (_, model, client):
        ask(client, store=True, metadata={"use": "bot"})
        ask(client, store=True)
        source = {"type": "completions", "source": {"type": "stored_completions", "metadata": {"use": "bot"}}}
        criterion = equals("Paris")

        logged = run_of(client, [criterion], source, {"type": config})
        model.default = say("Rome")
        prompt = {"type": "item_reference", "item_reference": "item.input"}
        again = ended(
            client,
            client.evals.runs.create(
                logged.eval_id,
                data_source={**source, "input_messages": prompt, "model": "gpt-4o"},  # type: ignore[arg-type]  # the client's types are narrower than what it sends
            ),
        )

        assert counts(logged) == (1, 1, 0, 0)
        assert items(client, logged)[0].datasource_item == {
            "input": [{"role": "user", "content": "Capital of France?"}]
        }
        assert counts(again) == (1, 0, 1, 0)
        assert items(client, again)[0].sample.input[0].content == "Capital of France?"


def test_an_eval_reads_logged_responses() -> None:
    """`limit`, which official notebooks send and the schema does not know, is minded."""
    with recording() as (_, _, client):
        for _ in range(3):
            client.responses.create(model="gpt-4o", input="Hi", extra_body={"id": "x"})
        source = {"type": "responses", "source": {"type": "responses", "limit": 2}}

        run = run_of(client, [equals("Paris")], source, {"type": "logs"})

        # the scripted model gives every response the same id, which is kept once
        assert counts(run) == (1, 1, 0, 0)


def test_without_record_nothing_is_forwarded() -> None:
    """Without --record nothing is forwarded; without a model or a key the caller is told."""
    with eval_server() as server:
        body = {"model": "gpt-4o", "messages": []}
        assert server.post("/v1/chat/completions", body).error["code"] == "not_recording"
        assert server.ask("GET", "/v1/chat/completions").json()["data"] == []
    with eval_server(recording=Recording()) as server:
        assert server.post("/v1/chat/completions", {"messages": []}).error["param"] == "model"
        assert server.post("/v1/responses", []).status == 400


CUTS = [1, 2, 3, 7, 50, len(EVENTS)]


@pytest.mark.parametrize("size", CUTS)
def test_streams_are_read_wherever_they_are_cut(size: int) -> None:
    answer = StreamedAnswer("chat")
    for start in range(0, len(EVENTS), size):
        answer.feed(EVENTS[start : start + size])

    found = answer.whole()

    assert found is not None
    assert found["choices"][0]["message"]["content"] == "Paris"


def test_streamed_tool_calls_are_put_together() -> None:
    """Their arguments come in parts; a hostile index makes no list of millions."""
    answer = StreamedAnswer("chat")
    for delta in (
        {
            "tool_calls": [
                {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}, {"index": 10**9, "function": {}}]},
    ):
        chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        answer.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    answer.feed(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}\n\n')

    found = answer.whole()

    assert found is not None
    assert found["choices"][0]["message"]["tool_calls"][0]["function"] == {
        "name": "f",
        "arguments": '{"x": 1}',
    }
