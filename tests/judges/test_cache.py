"""The cache of verdicts, equal questions in flight, merging in batches, and recordings."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.ask import ModelReply
from graders.endpoints.contract import Reply
from graders.errors import GradeError, ModelExceededMaxTokens, ModelParseError, ModelRefusal, ModelServerError
from graders.judges.scripted import ReceivedRequest, Step, completion, say
from graders.models import Client, Config, ConfigError, Recorded, ScriptedJudge, connect, load_config
from graders.usage import Usage
from tests.judges.support import (
    FakeTransport,
    ask,
    config_of,
    in_virtual_time,
    judge_spec,
    ok,
    virtual_client,
)

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def cached(fake: FakeTransport, path: Path, **judge: Any) -> Client:
    endpoint = {
        "base_url": "http://judge.invalid/v1",
        "headers": {"x-secret": "h-secret"},
        "api_key_env": "K",
    }
    config = Config({"endpoints": {"e": endpoint}, "models": {"*": "e"}, "judge": judge})
    return Client(config, transport=fake, cache=str(path), clock=lambda: asyncio.get_running_loop().time())


def test_a_second_run_sends_nothing(tmp_path: Path) -> None:
    """400 rows again, in a new client: no request, the same rewards, nothing used; the results say so."""
    rows = [{"id": str(n), "sample": f"text {n}"} for n in range(400)]
    with ScriptedJudge() as judge:

        def run() -> list[graders.RunResult]:
            with graders.Backends(config=config_of(judge), cache=str(tmp_path / "verdicts.db")) as backends:
                return list(graders.compile(judge_spec(), backends=backends).run_batch(rows))

        first = run()
        sent = len(judge.received)
        second = run()
        assert len(judge.received) == sent == 400

    assert [r.reward for r in second] == [r.reward for r in first]
    assert all(r.provenance["judge"]["cached"] for r in second)
    assert all("attempts" not in r.provenance["judge"] for r in second)
    assert {r.metadata.token_usage for r in second} == {Usage(0, 0, 0, 0, 0)}


def test_requests_that_differ_have_different_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache key has everything that could change the verdict, and not the API key."""
    fake = FakeTransport(lambda body, n: ok(), latency_s=0.0)
    base = {"text": "q", "model": "m", "seed": 1}
    others: list[dict[str, Any]] = [
        {"text": "Q"},
        {"model": "n"},
        {"seed": 2},
        {"temperature": 0.0},
        {"range": (0.0, 2.0)},
        {"labels": ("0.5", "b")},
        {"steps": False},
        {"max_completions_tokens": 5},
        {"reasoning_effort": "low"},
    ]

    async def asked(changes: dict[str, Any], **judge: Any) -> int:
        client = cached(fake, tmp_path / "c.db", **judge)
        before = len(fake.bodies)
        await asyncio.gather(client.answer(ask(**{**base, **changes})), return_exceptions=True)
        await client.aclose()
        return len(fake.bodies) - before

    assert in_virtual_time(asked({})) == 1
    for changes in others:
        assert in_virtual_time(asked(changes)) >= 1, changes
    for judge in ({"out_of_range": "error"}, {"api": "responses"}, {"model": "other"}):
        assert in_virtual_time(asked({}, **judge)) >= 1, judge
    # the first vote is the question as it was
    assert in_virtual_time(asked({}, votes=3)) == 2
    monkeypatch.setenv("K", "another")
    for same in ({}, {"max_attempts": 2, "timeout_s": 9}):
        assert in_virtual_time(asked({}, **same)) == 0, same


def test_no_secret_and_no_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file holds verdicts alone: no key, no header, no question, no refusal, no answer that was cut off."""
    monkeypatch.setenv("K", "sk-key-secret")
    answers = iter(
        [
            ok(),
            ok("", choices=[{"message": {"refusal": "no"}}]),
            ok("", choices=[{"message": {"content": '{"result": 1'}, "finish_reason": "length"}]),
            ok('{"result": 1'),
            ok('{"result": 1'),
            Reply(400, {}, b'{"error": {"message": "bad"}}'),
        ]
    )
    fake = FakeTransport(lambda body, n: next(answers), latency_s=0.0)
    path = tmp_path / "c.db"

    async def run() -> list[Any]:
        client = cached(fake, path)
        got = [await asyncio.gather(client.answer(ask(f"q{n}")), return_exceptions=True) for n in range(5)]
        await client.aclose()
        return [answer for (answer,) in got]

    answers_got = in_virtual_time(run())

    assert [type(a) for a in answers_got] == [
        ModelReply,
        ModelRefusal,
        ModelExceededMaxTokens,
        ModelParseError,
        ModelServerError,
    ]
    rows = sqlite3.connect(path).execute("SELECT key, reply FROM verdicts").fetchall()
    assert [json.loads(reply)["verdict"] for _, reply in rows] == [0.5]
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"secret" not in everything
    assert b"x-secret" not in everything


@pytest.mark.parametrize(
    "reply",
    [
        "no json",
        "{}",
        '{"verdict": "high"}',
        '{"verdict": true, "text": "", "model": "", "usage": {}, "provenance": {}}',
        "[]",
    ],
)
def test_cached_verdicts_are_validated_again(tmp_path: Path, reply: str) -> None:
    """An entry that is not a valid verdict counts as none: the question is asked."""
    fake = FakeTransport(lambda body, n: ok(), latency_s=0.0)
    path = tmp_path / "c.db"

    async def once() -> ModelReply:
        client = cached(fake, path)
        try:
            return await client.answer(ask())
        finally:
            await client.aclose()

    in_virtual_time(once())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE verdicts SET reply = ?", (reply,))
    db.close()

    assert in_virtual_time(once()).verdict == 0.5
    assert len(fake.bodies) == 2
    # the bad entry has been replaced
    assert in_virtual_time(once()).provenance["cached"]


def test_a_file_that_is_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "graders.toml"
    path.write_text("not a database" * 100)
    with pytest.raises(ConfigError, match="cannot be used as a cache"):
        cached(FakeTransport(lambda body, n: ok()), path)


def test_equal_questions_in_flight_are_asked_once(tmp_path: Path) -> None:
    """Twenty at once make one request; where it fails, all fail alike and the next one asks again."""
    replies = [ok(), Reply(400, {}, b'{"error": {"message": "bad"}}'), ok()]
    fake = FakeTransport(lambda body, n: replies[n])

    async def run() -> tuple[list[Any], list[Any], ModelReply]:
        client = cached(fake, tmp_path / "c.db")
        fine = await asyncio.gather(*(client.answer(ask("a")) for _ in range(20)))
        bad = await asyncio.gather(*(client.answer(ask("b")) for _ in range(20)), return_exceptions=True)
        return fine, bad, await client.answer(ask("b"))

    fine, bad, again = in_virtual_time(run())

    assert len(fake.bodies) == 3
    assert {reply.verdict for reply in fine} == {0.5}
    assert sum(reply.provenance.get("merged", False) for reply in fine) == 19
    assert {str(error) for error in bad} == {"status 400: bad"}
    assert again.verdict == 0.5


def test_a_cancelled_question_cancels_no_other(tmp_path: Path) -> None:
    """When the first to ask is cancelled, or has less time, the others still get their verdict."""
    fake = FakeTransport(lambda body, n: ok(), latency_s=5.0)

    async def run() -> tuple[Any, Any, ModelReply, ModelReply]:
        client = cached(fake, tmp_path / "c.db")
        first = asyncio.create_task(client.answer(ask("a")))
        await asyncio.sleep(1)
        second = asyncio.create_task(client.answer(ask("a")))
        await asyncio.sleep(1)
        first.cancel()
        hurried = asyncio.create_task(client.answer(ask("b"), deadline=asyncio.get_running_loop().time() + 3))
        await asyncio.sleep(1)
        patient = asyncio.create_task(client.answer(ask("b")))
        gone, late = await asyncio.gather(first, hurried, return_exceptions=True)
        return gone, late, await second, await patient

    gone, late, second, patient = in_virtual_time(run())

    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(late, GradeError)
    assert second.verdict == patient.verdict == 0.5


@pytest.mark.parametrize(
    ("seed", "merge", "requests"), [(1, None, 200), (None, None, 800), (1, False, 800), (None, True, 200)]
)
def test_a_multi_of_two_judges_over_repeated_samples(
    seed: int | None, merge: bool | None, requests: int
) -> None:
    """400 rows of 100 distinct samples: 200 requests where equal questions may be merged, else 800; usage once."""
    judges = {
        name: judge_spec(kind, sampling_params={"seed": seed}, model=name)
        for name, kind in (("a", "score_model"), ("b", "label_model"))
    }
    spec = {"type": "multi", "name": "two", "graders": judges, "calculate_output": "a + b"}

    def answer(received: ReceivedRequest) -> Step:
        return say({"result": 0.25 if received.model == "a" else "good"})(received)

    with (
        ScriptedJudge(answer) as judge,
        graders.Backends(config=config_of(judge, max_in_flight=100)) as backends,
    ):
        grader = graders.compile(spec, backends=backends)
        rows = [{"id": str(n), "sample": f"text {n % 100}"} for n in range(400)]
        results = list(grader.run_batch(rows, merge=merge))

        assert len(judge.received) == requests
        assert [r.reward for r in results] == [1.25] * 400
        assert [r.id for r in results] == [str(n) for n in range(400)]


# --- one answer is billed once ------------------------------------------------------------------------------------


def billed(results: list[graders.RunResult]) -> list[int | None]:
    """The prompt tokens that each row reports."""
    usages = [result.metadata.token_usage for result in results]
    return [None if usage is None else usage.prompt_tokens for usage in usages]


def failing(received: ReceivedRequest) -> Step:
    return Step(body=completion(received, None, refusal="no", usage=USAGE))


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    ("answer", "ok"),
    [(say({"result": 0.5}, usage=USAGE), True), (failing, False)],
    ids=["verdict", "failure"],
)
def test_rows_that_share_an_answer_bill_it_once(
    tmp_path: Path, answer: Any, ok: bool, cached: bool, in_order: bool
) -> None:
    """D1: three equal rows of one request reported the cost of three; also where the answer is a failure."""
    cache = str(tmp_path / "c.db") if cached else None
    rows = [{"id": str(n), "sample": "equal"} for n in range(3)]
    with (
        ScriptedJudge(answer) as judge,
        graders.Backends(config=config_of(judge), cache=cache) as backends,
    ):
        spec = judge_spec(sampling_params={"temperature": 0})
        results = list(graders.compile(spec, backends=backends).run_batch(rows, in_order=in_order))
        assert len(judge.received) == 1

    assert [result.ok for result in results] == [ok] * 3
    assert sorted(billed(results), key=str) == [0, 0, 10]
    told = [r.provenance["judge"] if ok else r.failures[0].provenance for r in results]
    assert [provenance.get("merged", False) for provenance in told].count(True) == 2
    if not ok:
        assert len({id(result.failures[0]) for result in results}) == 3


@pytest.mark.parametrize("refusal", [None, "no"])
def test_equal_questions_of_one_row_bill_once(refusal: str | None) -> None:
    """Two members of a multi that ask the same share one request and its cost."""
    members = {key: judge_spec(name=key, sampling_params={"temperature": 0}) for key in ("a", "b")}
    spec = {"type": "multi", "name": "two", "graders": members, "calculate_output": "a + b"}
    with (
        ScriptedJudge(say({"result": 0.5}, usage=USAGE, refusal=refusal)) as judge,
        graders.Backends(config=config_of(judge)) as backends,
    ):
        results = list(graders.compile(spec, backends=backends).run_batch([{"sample": "x"}]))
        assert len(judge.received) == 1
    assert billed(results) == [10]


def test_an_equal_question_that_fails_in_flight_is_billed_once(tmp_path: Path) -> None:
    """The path of the cache: one asks, the others wait, and the failure costs what the one request did."""
    fake = FakeTransport(lambda body, n: ok("", choices=[{"message": {"refusal": "no"}}], usage=USAGE))

    async def run() -> list[Any]:
        client = cached(fake, tmp_path / "c.db")
        return await asyncio.gather(*(client.answer(ask("a")) for _ in range(3)), return_exceptions=True)

    errors = in_virtual_time(run())

    assert [error.usage.prompt_tokens for error in errors] == [10, 0, 0]
    assert [error.provenance.get("merged", False) for error in errors] == [False, True, True]
    assert len(fake.bodies) == 1


# --- recordings -------------------------------------------------------------------------------------------------


def test_a_recording_is_replayed_and_filled(tmp_path: Path) -> None:
    """Missing answers are asked for and added; recorded ones, refusals included, come from the file."""
    path = tmp_path / "judge.jsonl"
    replies = {
        "good": ok(usage=USAGE),
        "no": ok("", choices=[{"message": {"refusal": "never"}}]),
        "bad": ok("hm", usage=USAGE),
    }
    fake = FakeTransport(
        lambda body, n: replies[body["messages"][0]["content"].split("\n")[0]], latency_s=0.0
    )

    async def run(client: Any) -> list[Any]:
        got = [await asyncio.gather(client.answer(ask(text)), return_exceptions=True) for text in replies]
        await client.aclose()
        return [answer for (answer,) in got]

    live = in_virtual_time(run(Recorded(path, virtual_client(fake))))
    sent = len(fake.bodies)
    again = in_virtual_time(run(Recorded(path, virtual_client(fake))))
    alone = in_virtual_time(run(Recorded(path)))

    assert len(fake.bodies) == sent
    for first, *replayed in zip(live, again, alone, strict=True):
        for later in replayed:
            assert type(later) is type(first)
            assert getattr(later, "verdict", str(later)) == getattr(first, "verdict", str(first))
            assert later.usage == first.usage or (first.usage is None and later.usage == Usage())
            assert later.provenance == {"recorded": True}
    assert len(path.read_text().splitlines()) == 3
    with pytest.raises(ModelServerError, match="has no answer to this question to 'm'"):
        in_virtual_time(Recorded(path).answer(ask("new")))


def test_a_server_failure_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "judge.jsonl"
    fake = FakeTransport(lambda body, n: Reply(400, {}, b""))
    with pytest.raises(ModelServerError):
        in_virtual_time(Recorded(path, virtual_client(fake)).answer(ask()))
    assert not path.exists()


def test_a_torn_recording_is_mended_and_a_strange_one_refused(tmp_path: Path) -> None:
    """A last line that an interrupt tore is dropped and made anew; anything else is refused with its line."""
    path = tmp_path / "judge.jsonl"
    fake = FakeTransport(lambda body, n: ok(), latency_s=0.0)

    async def two(client: Recorded) -> None:
        for text in ("a", "b"):
            await client.answer(ask(text))
        await client.aclose()

    in_virtual_time(two(Recorded(path, virtual_client(fake))))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ConfigError, match=r"judge\.jsonl:2: not a line of a recording"):
        Recorded(path)
    in_virtual_time(two(Recorded(path, virtual_client(fake))))
    assert len(fake.bodies) == 3
    assert {json.loads(line)["key"] for line in path.read_text().splitlines()} == {
        json.loads(line)["key"] for line in whole.splitlines()
    }

    path.write_bytes(whole.replace(b'"verdict": 0.5', b'"verdict": "high"'))
    with pytest.raises(ModelServerError, match="cannot be used"):
        in_virtual_time(Recorded(path).answer(ask("a")))
    with pytest.raises(ConfigError, match="there is no such recording"):
        Recorded(tmp_path / "none.jsonl")


def test_connect_makes_a_recorded_client(tmp_path: Path) -> None:
    """A recorded client is made by an argument or by [judge] recording in graders.toml."""
    path = str(tmp_path / "r.jsonl")
    assert isinstance(connect(Config(), recording=path), Recorded)
    assert isinstance(connect(Config({"judge": {"recording": path}})), Recorded)
    assert isinstance(connect(Config()), Client)


def test_a_recording_lies_beside_the_configuration_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording's path is relative to the configuration that names it."""
    (tmp_path / "graders.toml").write_text('[judge]\nrecording = "judge.jsonl"\n')
    (tmp_path / "judge.jsonl").write_text("no recording\nline 2\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    with pytest.raises(ConfigError, match="not a line of a recording"):
        connect(load_config(tmp_path / "graders.toml"))


def test_a_cache_that_cannot_be_written_costs_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that cannot be written any more is a warning."""
    fake = FakeTransport(lambda body, n: ok(), latency_s=0.0)
    client = cached(fake, tmp_path / "c.db")
    with sqlite3.connect(tmp_path / "c.db") as db:
        db.execute("DROP TABLE verdicts")
    db.close()
    with pytest.warns(RuntimeWarning, match="the cache of verdicts was not used"):
        assert in_virtual_time(client.answer(ask())).verdict == 0.5


def test_the_completion_helper_has_the_documented_form() -> None:
    """The double speaks the form that the official client parses."""
    chat = pytest.importorskip("openai.types.chat")

    body = completion(ReceivedRequest(0.0, "/v1/chat/completions", {}, {"model": "m"}), "x")
    assert chat.ChatCompletion.model_validate(body).choices[0].message.content == "x"
