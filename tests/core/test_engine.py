"""The engine: one way for a row, three callers, failures as flags, equal questions asked once where allowed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graders
from graders import Backends, errors
from graders.ask import ModelAsk, ModelReply
from graders.errors import GradeError, ModelServerError, ModelStop
from graders.messages import TextPart
from graders.result import FLAGS, NO_ERRORS
from graders.usage import Usage
from tests.specs import label_model, multi, python, score_model, string_check, text_similarity


class ScriptedClient:
    """A model client: answers with what the sample says, counts questions, fails on demand."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.asked: list[ModelAsk] = []
        self.cancelled = 0
        self.delay_s = delay_s

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        self.asked.append(ask)
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        part = ask.messages[0].parts[0]
        assert isinstance(part, TextPart)
        said = part.text.rpartition(" ")[2]
        if said == "fail":
            raise ModelServerError("status 503: busy")
        if said == "stop":
            raise ModelStop("status 401: no key")
        verdict = ask.verdict.read({"result": "good" if ask.verdict.labels else float(said)})
        return ModelReply(verdict, said, "scripted-1", Usage(7, 3, 10, 2))

    async def aclose(self) -> None:
        return None


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def backends(client: ScriptedClient) -> Iterator[Backends]:
    with Backends(models=client) as backends:
        yield backends


def test_the_wire_has_every_field(backends: Backends) -> None:
    """to_wire has exactly the documented keys, also for a judge and a multi."""
    spec = multi("s + a", {"s": score_model(), "a": string_check()})

    wire = graders.run(spec, "0.5", {"answer": "0.5"}, backends=backends).to_wire()

    assert list(wire) == ["reward", "metadata", "sub_rewards", "model_grader_token_usage_per_model"]
    assert set(wire["metadata"]) == {
        "name",
        "type",
        "errors",
        "execution_time",
        "scores",
        "token_usage",
        "sampled_model_name",
    }
    assert set(wire["metadata"]["errors"]) == set(NO_ERRORS)
    usage = {"prompt_tokens": 7, "total_tokens": 10, "completion_tokens": 3, "cached_tokens": 2}
    assert wire["metadata"]["token_usage"] == usage
    assert wire["model_grader_token_usage_per_model"] == {"scripted-1": usage}
    assert wire["metadata"]["sampled_model_name"] == "scripted-1"
    assert (wire["reward"], wire["sub_rewards"]) == (1.5, {"s": 0.5, "a": 1.0})
    json.dumps(wire, allow_nan=False)


@pytest.mark.parametrize("flag", FLAGS)
def test_one_error_a_flag(flag: str) -> None:
    """Every flag of the wire has exactly one class of error that stands for it, and its details field exists."""
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type)
        and issubclass(value, GradeError)
        and flag in (vars(value).get("flag"), vars(value).get("exact_flag"))
    ]

    assert len(classes) == 1
    assert classes[0].details_field in {"", *NO_ERRORS}


def test_details_of_a_failure(backends: Backends) -> None:
    """A failed judge sets its flag and says why; the reward is 0 and not ok."""
    result = graders.run(score_model(), "fail", backends=backends)

    assert (result.reward, result.ok, result.flags) == (0.0, False, ("model_grader_server_error",))
    assert result.errors["model_grader_server_error_details"] == "status 503: busy"


@pytest.mark.parametrize("sample", [5, None, object(), [], {"object": "chat.completion"}])
def test_run_never_raises_for_a_row(sample: Any) -> None:
    """Any sample and any item give a result, with a flag if the row cannot be graded."""
    result = graders.run(string_check(), sample, {"answer": "x"})

    assert not result.ok
    assert graders.run(string_check(), "x", [1]).flags == ("sample_parse_error",)  # type: ignore[arg-type]  # a wrong value, or a stand-in, is the point


def test_a_failed_question_is_asked_again() -> None:
    """Rows merge with an answer that came or is under way, never with a failure of rows before them."""

    class FirstFails(ScriptedClient):
        async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
            if not self.asked:
                self.asked.append(ask)
                raise ModelServerError("status 503: busy")
            return await super().answer(ask, deadline=deadline)

    client = FirstFails()
    with Backends(models=client) as backends:
        grader = graders.compile(score_model(), backends=backends)
        results = list(grader.run_batch([{"sample": "0.5"}] * 30, merge=True, window=8))

    assert not results[0].ok
    assert all(result.ok and result.reward == 0.5 for result in results[9:])
    assert len(client.asked) == 2


class Trap(dict[str, Any]):
    """An item whose every look-up fails in a way that nobody foresees."""

    def __getitem__(self, key: str) -> Any:
        raise ZeroDivisionError("a trap")


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("spec", [string_check(), multi("a + s", {"a": string_check(), "s": score_model()})])
def test_rows_that_raise_cost_no_result(spec: dict[str, Any], in_order: bool, backends: Backends) -> None:
    """An error of the rows' iterator is raised after the results of the rows before it."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from ({"sample": "0.5", "item": {"answer": "a"}, "id": str(n)} for n in range(700))
        raise OSError("the connection is gone")

    results = graders.compile(spec, backends=backends).run_batch(rows(), in_order=in_order)
    graded = list(islice(results, 700))

    assert {result.id for result in graded} == set(map(str, range(700)))
    assert all(result.ok for result in graded)
    with pytest.raises(OSError, match="the connection is gone"):
        next(results)


def test_an_arrow_table_is_no_iterable_of_rows() -> None:
    """An Arrow table iterates over columns, so it is refused with a message that says what to pass."""
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(TypeError, match=r"pass its rows: table.to_pylist"):
        graders.compile(string_check()).run_batch(pa.table({"sample": ["a"]}))


@pytest.mark.parametrize("spec", [string_check(), multi("a", {"a": string_check(), "s": score_model()})])
def test_a_batch_survives_odd_rows(spec: dict[str, Any], backends: Backends) -> None:
    """A row without a sample and an exception of unknown kind are flags of their rows; the others are graded."""
    grader = graders.compile(spec, backends=backends)
    good = {"sample": "0.5", "item": {"answer": "0.5"}}

    results = list(grader.run_batch([good, {"item": {}}, {"sample": "x", "item": Trap()}, good]))

    assert [result.ok for result in results] == [True, False, False, True]
    assert results[1].flags == ("sample_parse_error",)
    assert "the row has no sample" in str(results[1].failures[0])
    assert "other_error" in results[2].flags
    assert str(results[2].failures[0]) == "ZeroDivisionError: a trap"


@given(st.lists(st.tuples(st.sampled_from(["x", "y", ""]), st.sampled_from(["x", None, 1])), max_size=40))
def test_batch_equals_run(rows: list[tuple[str, Any]]) -> None:
    """run_batch gives what run gives, in order, whatever fails between."""
    spec = multi("a + 2 * b", {"a": string_check(), "b": text_similarity(reference="{{item.answer}}")})
    grader = graders.compile(spec)
    items = [{} if want is None else {"answer": want} for _, want in rows]

    batch = list(
        grader.run_batch([{"sample": got, "item": item} for (got, _), item in zip(rows, items, strict=True)])
    )

    alone = [grader.run(got, item) for (got, _), item in zip(rows, items, strict=True)]
    assert [(r.reward, r.flags, r.sub_rewards) for r in batch] == [
        (r.reward, r.flags, r.sub_rewards) for r in alone
    ]


def test_sync_and_async_agree(backends: Backends) -> None:
    """arun differs from run in nothing but the waiting, for all types."""
    for spec in (string_check(), text_similarity(), python(), score_model(), label_model(), multi()):
        grader = graders.compile(spec, backends=backends)

        one = grader.run("0.5", {"answer": "0.5"}, id="r")
        other = asyncio.run(grader.arun("0.5", {"answer": "0.5"}, id="r"))

        assert (one.reward, one.flags, one.id) == (other.reward, other.flags, other.id)
        assert one.ok


@pytest.mark.parametrize(
    ("sampling", "merge", "questions"),
    [
        pytest.param({}, None, 800, id="not repeatable"),
        pytest.param({"temperature": 0}, None, 200, id="temperature 0"),
        pytest.param({"seed": 1}, None, 200, id="a seed"),
        pytest.param({}, True, 200, id="the caller says so"),
        pytest.param({"seed": 1}, False, 800, id="the caller says no"),
    ],
)
def test_equal_questions_are_merged_where_allowed(
    sampling: dict[str, Any], merge: bool | None, questions: int, client: ScriptedClient, backends: Backends
) -> None:
    """400 rows of a multi with two judges over 100 distinct samples."""
    judges = {
        "s": score_model(sampling_params=sampling, range=[0, 1000]),
        "l": label_model(sampling_params=sampling),
    }
    grader = graders.compile(multi("s + l", judges), backends=backends)

    rewards = [
        r.reward for r in grader.run_batch(({"sample": str(n % 100)} for n in range(400)), merge=merge)
    ]

    assert rewards == [n % 100 + 1.0 for n in range(400)]
    assert len(client.asked) == questions


def test_order_is_kept_with_slow_rows(backends: Backends, client: ScriptedClient) -> None:
    """Results come in the order of the rows, each with its id, failures in their place."""
    client.delay_s = 0.01
    grader = graders.compile(score_model(range=[0, 1000]), backends=backends)
    rows = [{"id": f"r{n}", "sample": "fail" if n % 7 == 3 else str(n)} for n in range(300)]

    results = list(grader.run_batch(rows, window=50))

    assert [result.id for result in results] == [row["id"] for row in rows]
    assert [result.ok for result in results] == [row["sample"] != "fail" for row in rows]
    assert [r.reward for r in results if r.ok] == [
        float(row["sample"]) for row in rows if row["sample"] != "fail"
    ]

    rewards = grader.rewards(rows, window=50)

    assert rewards == [None if row["sample"] == "fail" else float(row["sample"]) for row in rows]


def test_a_bad_key_stops_a_batch(backends: Backends, client: ScriptedClient) -> None:
    """No later row can be graded, so they are not asked for one by one; what came before has been yielded."""
    grader = graders.compile(score_model(), backends=backends)
    rows = ({"sample": "stop" if n == 20 else "1"} for n in range(10_000))
    done: list[graders.RunResult] = []

    with pytest.raises(ModelStop, match="401"):
        done.extend(grader.run_batch(rows, window=64))
    assert len(done) == 20
    assert len(client.asked) < 200


def test_a_slow_row_does_not_delay_others_out_of_order(backends: Backends, client: ScriptedClient) -> None:
    """Without in_order every row comes once, the slow one last, with the time that it took."""

    others_done = threading.Event()
    waited_s = 0.0

    async def answer(ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        nonlocal waited_s
        started = time.monotonic()
        while ask.messages[0].parts[0] == TextPart("Rate this: 7") and not others_done.is_set():
            await asyncio.sleep(0.01)
            waited_s = time.monotonic() - started
        return await ScriptedClient.answer(client, ask)

    client.answer = answer  # type: ignore[method-assign]  # a wrong value, or a stand-in, is the point
    grader = graders.compile(score_model(range=[0, 1000]), backends=backends)
    rows = [{"id": str(n), "sample": "fail" if n % 10 == 3 else str(n)} for n in range(200)]
    results = []

    for result in grader.run_batch(rows, window=16, in_order=False):
        results.append(result)
        if len(results) == len(rows) - 1:
            others_done.set()

    assert sorted(int(result.id) for result in results) == list(range(200))
    assert results[-1].id == "7"
    assert results[-1].execution_time >= waited_s > 0
    assert all(result.reward == float(result.id) for result in results if result.ok)


def test_an_exhausted_budget_keeps_complete_answers(backends: Backends, client: ScriptedClient) -> None:
    """Without in_order every answered row is yielded before the stop is raised."""
    grader = graders.compile(score_model(), backends=backends)
    rows = ({"id": str(n), "sample": "stop" if n % 50 == 20 else "1"} for n in range(10_000))
    done: list[graders.RunResult] = []

    with pytest.raises(ModelStop, match="401"):
        done.extend(grader.run_batch(rows, window=64, in_order=False))
    assert len(done) == len(client.asked) - sum(
        ask.messages[0].parts[0] == TextPart("Rate this: stop") for ask in client.asked
    )
    assert len(client.asked) < 200


def test_a_batch_is_lazy(backends: Backends, client: ScriptedClient) -> None:
    """No more rows are taken than the window holds, and leaving early cancels the rest."""
    client.delay_s = 5.0
    taken = []

    def rows() -> Iterator[dict[str, str]]:
        for n in range(1_000_000):
            taken.append(n)
            yield {"sample": "0.5"}

    batch = graders.compile(score_model(), backends=backends).run_batch(rows(), window=100)
    client.delay_s = 0.0
    next(batch)
    client.delay_s = 5.0
    next(batch)
    batch.close()  # type: ignore[attr-defined]  # a generator

    assert len(taken) <= 400


def test_a_cancelled_row_cancels_its_question(backends: Backends, client: ScriptedClient) -> None:
    """Cancelling arun ends what is under way."""
    client.delay_s = 30.0
    grader = graders.compile(score_model(), backends=backends)

    async def impatient() -> None:
        row = asyncio.create_task(grader.arun("1"))
        while not client.asked:
            await asyncio.sleep(0.01)
        row.cancel()
        with pytest.raises(asyncio.CancelledError):
            await row
        while not client.cancelled:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(impatient(), client.delay_s))

    assert client.cancelled == 1


def test_a_missing_variable_fails_one_member_only(backends: Backends, client: ScriptedClient) -> None:
    """The child that cannot ask fails alone; the other judge is asked and counts."""
    blind = score_model(input=[{"role": "user", "content": "{{item.none}} 1"}])
    grader = graders.compile(multi("s + t", {"s": blind, "t": score_model()}), backends=backends)

    for result in (grader.run("0.5"), *grader.run_batch([{"sample": "0.5"}])):
        assert (result.reward, result.sub_rewards) == (0.5, {"s": 0.0, "t": 0.5})
        assert result.flags == ("invalid_variable_error",)


def test_provenance_names_engine_metric_and_tier(backends: Backends) -> None:
    """Engine, metric with versions and options, sandbox tier, judge: beside the wire, not on it."""
    spec = multi("p + f", {"p": python(), "f": text_similarity()})
    result = graders.run(spec, "a", {"answer": "a"}, backends=backends)

    assert result.provenance["engine"] == f"local-graders {graders.__version__}"
    assert result.provenance["graders"]["p"]["sandbox"] in (
        "linux-full",
        "linux-landlock",
        "linux-ns",
        "linux-strict",
    )
    metric = result.provenance["graders"]["f"]["metric"]
    assert metric["metric"] == "fuzzy_match"
    assert metric["reference"].startswith("rapidfuzz 3.")


def test_programs_are_reproducible() -> None:
    """The same id gives the same random numbers, another id others."""
    source = "import random\ndef grade(sample, item):\n    return random.random()\n"
    grader = graders.compile(python(source))

    first, again, other = (grader.run("", id=row_id).reward for row_id in ("a", "a", "b"))

    assert first == again != other
