"""Runs that ask a model: what is asked, what is kept of the answer, and what becomes of failures."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openai
import pytest

from graders.ask import SampleAsk
from graders.engine.backends import Backends
from graders.errors import ModelParseError, ModelRefusal, ModelServerError, ModelStop
from graders.evals import foreground
from graders.evals.runner import Runner
from graders.evals.service import Evals
from graders.judges.scripted import ScriptedJudge, Step, completion
from graders.sampling import ScriptedSampler
from graders.sampling.scripted import chat_completion
from graders.server import Limits
from graders.store import RunRecord, Store
from tests.evals.support import (
    client_of,
    counts,
    custom,
    ended,
    equals,
    eval_server,
    items,
    rows,
    run_of,
    sampled,
)
from tests.server.support import load_config_of, wait_until

ROW = {"item": {"question": "Capital of France?", "answer": "Paris"}}


def test_a_sampled_item_has_messages_answer_and_usage() -> None:
    """The messages that were asked, the answer, the server's model, tokens, and the parameters as they were given."""
    asked: list[SampleAsk] = []

    def answer(ask: SampleAsk) -> Any:
        asked.append(ask)
        return {**chat_completion("m-2026", "Paris"), "model": "m-2026"}

    sampling = {"temperature": 0.5, "seed": 7, "max_completion_tokens": 99}
    with eval_server(script=answer) as server, client_of(server) as client:
        run = run_of(client, [equals()], sampled(ROW, sampling_params=sampling))
        item = items(client, run)[0]

    assert asked == [
        SampleAsk(
            "m",
            (
                {
                    "type": "message",
                    "role": "user",
                    "content": {"type": "input_text", "text": "Capital of France?"},
                },
            ),
            sampling,
        )
    ]
    assert counts(run) == (1, 1, 0, 0)
    assert run.model == "m"
    assert run.per_model_usage[0].model_dump(by_alias=True, exclude={"model_name"}) == {
        "model_name": "m-2026",
        "invocation_count": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "cached_tokens": 0,
    }
    sample = item.sample.model_dump()
    assert sample["input"] == [
        {
            "role": "user",
            "content": "Capital of France?",
            "tool_call_id": None,
            "tool_calls": None,
            "function_call": None,
        }
    ]
    assert sample["output"] == [
        {
            "role": "assistant",
            "content": "Paris",
            "tool_call_id": None,
            "tool_calls": None,
            "function_call": None,
        }
    ]
    assert (sample["model"], sample["finish_reason"], sample["error"]) == ("m-2026", "stop", None)
    assert (sample["temperature"], sample["seed"], sample["top_p"]) == (0.5, 7, None)
    assert sample["max_completion_tokens"] == sample["max_completions_tokens"] == 99
    assert sample["usage"]["total_tokens"] == 15


PROMPTS = [
    # input_messages, item, the messages asked, the messages shown
    pytest.param(
        {"type": "item_reference", "item_reference": "item.input"},
        {"input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        [("system", "Be brief."), ("user", "Hi")],
        id="messages of the item",
    ),
    pytest.param(
        {"type": "item_reference", "item_reference": "item.a.b"}, {"a": {"b": "Hi"}}, [{"role": "user", "content": "Hi"}],
        [("user", "Hi")], id="a text of the item",
    ),
    pytest.param(
        {"type": "template", "template": [
            {"role": "developer", "content": "Be {{ item.how }}."},
            {"role": "user", "type": "message", "content": {"type": "input_text", "text": "{{item.q}}?"}},
            {"role": "user", "content": [
                {"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": "{{item.url}}", "detail": "auto"},
            ]},
        ]},
        {"how": "brief", "q": ["x", 1], "url": "http://i/1.png"},
        [
            {"type": "message", "role": "developer", "content": {"type": "input_text", "text": "Be brief."}},
            {"type": "message", "role": "user", "content": {"type": "input_text", "text": '["x", 1]?'}},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": "http://i/1.png", "detail": "auto"},
            ]},
        ],
        [("developer", "Be brief."), ("user", '["x", 1]?'), ("user", "See <image>http://i/1.png</image>")],
        id="a template with parts",
    ),
    pytest.param(
        {"type": "template", "template": [{"role": "user", "content": "{{item.q} and {item.q}"}]}, {"q": "x"},
        [{"type": "message", "role": "user", "content": {"type": "input_text", "text": "{{item.q} and {item.q}"}}],
        [("user", "{{item.q} and {item.q}")], id="a brace that is missing is text, as in an official notebook",
    ),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["completions", "responses"])
@pytest.mark.parametrize(("prompt", "item", "asked", "shown"), PROMPTS)
def test_both_prompt_forms_are_sent(prompt: Any, item: Any, asked: Any, shown: Any, kind: str) -> None:
    """Both forms of input_messages, whatever their content's form."""
    found: list[SampleAsk] = []

    def answer(ask: SampleAsk) -> str:
        found.append(ask)
        return "ok"

    with eval_server(script=answer) as server, client_of(server) as client:
        run = run_of(
            client, [equals("ok")], sampled({"item": item}, kind=kind, input_messages=prompt), custom()
        )
        messages = items(client, run)[0].sample.input

    assert list(found[0].messages) == asked
    assert [(one.role, one.content) for one in messages] == shown


FAILURES = [
    # the sampler's error, code of the item's error, status of the run
    (ModelServerError("503"), "model_grader_server_error", "completed"),
    (ModelRefusal("no"), "model_grader_refusal_error", "completed"),
    (ModelParseError("empty"), "model_grader_parse_error", "completed"),
    (ModelStop("401: bad key"), "model_grader_server_error", "failed"),
]


@pytest.mark.parametrize(("error", "code", "status"), FAILURES)
def test_a_failed_sample_is_an_errored_item(error: Any, code: str, status: str) -> None:
    """A failed sample is errored by every criterion, with the reason; a refused key fails the run."""
    with eval_server(script=lambda ask: error) as server, client_of(server) as client:
        run = run_of(client, [equals(), equals(name="other")], sampled(ROW))
        item = items(client, run)[0]

    assert (run.status, counts(run)) == (status, (1, 0, 0, 1))
    assert item.sample.error.code == code
    assert str(error) in item.sample.error.message
    assert item.sample.input[0].content == "Capital of France?"
    assert [one.error["code"] for one in item.results] == [code, code]
    assert [one.errored for one in run.per_testing_criteria_results] == [1, 1]
    if status == "failed":
        assert str(error) in run.error.message


def test_a_missing_variable_of_a_prompt_sends_no_request() -> None:
    def never(ask: SampleAsk) -> Any:
        raise AssertionError("asked")

    with eval_server(script=never) as server, client_of(server) as client:
        run = run_of(client, [equals()], sampled({"item": {"answer": "x"}}))

        assert items(client, run)[0].sample.error.code == "invalid_variable_error"


def test_rows_that_bring_their_sample_are_not_asked() -> None:
    """Rows with a sample are not asked for, also if the data source has a prompt."""
    with eval_server(script=lambda ask: "Rome") as server, client_of(server) as client:
        run = run_of(client, [equals()], sampled({**ROW, "sample": {"output_text": "Paris"}}, ROW))

        assert counts(run) == (2, 1, 1, 0)


def test_tools_and_formats_of_the_answer() -> None:
    """Reached by templates: tool calls of the message, fields of JSON in its text."""
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"symbols": [{"name": "x"}]}'},
    }
    answer = chat_completion("m", '{"a": [1]}')
    answer["choices"][0]["message"]["tool_calls"] = [call]
    criteria = [
        equals("x", input="{{sample.output_tools[0].function.arguments.symbols[0].name}}"),
        equals("[1]", input="{{ sample.output_json.a }}"),
    ]

    with eval_server(script=lambda ask: answer) as server, client_of(server) as client:
        run = run_of(client, criteria, sampled(ROW))
        item = items(client, run)[0]

    assert counts(run) == (1, 1, 0, 0)
    assert item.sample.output[0].model_extra["tool_calls"] == [call]


def test_judges_are_asked_together_and_shown() -> None:
    """Three judges of a row wait for each other's questions; each shows what it was asked and answered."""
    together = threading.Barrier(3, timeout=60)

    async def judge(ask: Any) -> Any:
        await asyncio.to_thread(together.wait)
        return '{"steps": [], "result": 0.75}'

    criteria = [
        {
            "type": "score_model",
            "name": f"j{n}",
            "model": "o3",
            "range": [0, 2],
            "input": [{"role": "user", "content": "Grade {{sample.output_text}}"}],
            **({"pass_threshold": 0.5} if n else {}),
        }
        for n in range(3)
    ]
    with eval_server(script=lambda ask: "Rome", judge=judge) as server, client_of(server) as client:
        run = run_of(client, criteria, sampled(ROW))
        results = items(client, run)[0].results

    assert [one.score for one in results] == [0.75] * 3
    # without a threshold the middle of the range passes
    assert [one.passed for one in results] == [False, True, True]
    judged = results[0].sample
    assert judged["input"][0]["content"] == "Grade Rome"
    assert judged["output"] == [{"role": "assistant", "content": '{"steps": [], "result": 0.75}'}]


def test_cancel_stops_asking() -> None:
    """After the answer to the cancel no further question is asked, and the run stays canceled."""
    asked = 0
    begun = threading.Event()

    async def slow(ask: SampleAsk) -> str:
        nonlocal asked
        asked += 1
        begun.set()
        await asyncio.sleep(0.05)
        return "Paris"

    with eval_server("[evals]\nin_flight = 8\n", script=slow) as server, client_of(server) as client:
        made = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])
        run = client.evals.runs.create(made.id, data_source=sampled(*[ROW] * 2000))
        assert begun.wait(30)
        canceled = client.evals.runs.cancel(run.id, eval_id=made.id)
        server.wait_for("graders_runs_under_way", 0)
        after = asked
        time.sleep(0.3)

        assert canceled.status == "canceled"
        assert asked == after
        assert after < 2000
        assert client.evals.runs.retrieve(run.id, eval_id=made.id).status == "canceled"
        assert client.evals.runs.delete(run.id, eval_id=made.id).deleted


WITHOUT_ANSWER = [
    # the model that takes an hour, how many requests there have been when all rows under way wait for it
    pytest.param("m", 8, id="sampler"),
    pytest.param("judge", 16, id="judge"),
]


@pytest.mark.parametrize(("slow", "n_asked"), WITHOUT_ANSWER)
def test_cancel_waits_for_no_answer(slow: str, n_asked: int) -> None:
    """Once a cancel is answered nothing more is asked, and the connections of what was under way are closed."""
    judge: Any = {
        "type": "score_model",
        "name": "judged",
        "model": "judge",
        "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    }
    with ScriptedJudge() as model:
        model.default = lambda received: Step(
            body=completion(received, "Paris"), delay_s=3600.0 if received.model == slow else 0.0
        )
        config = f'[models."*"]\nbase_url = "{model.base_url}"\napi_key_env = ""\ntimeout_s = 3600\nattempt_timeout_s = 3600\n[evals]\nin_flight = 8\n'
        with eval_server(config, limits=Limits(timeout_s=3600)) as server, client_of(server) as client:
            made = client.evals.create(data_source_config=custom(), testing_criteria=[judge])
            run = client.evals.runs.create(made.id, data_source=sampled(*[ROW] * 100))
            wait_until(lambda: len(model.received) == n_asked)
            canceled = client.evals.runs.cancel(run.id, eval_id=made.id)
            server.wait_for("graders_runs_under_way", 0)
            wait_until(lambda: model.aborted == 8)

            assert (canceled.status, counts(canceled)) == ("canceled", (0, 0, 0, 0))
            assert len(model.received) == n_asked
            assert client.evals.runs.retrieve(run.id, eval_id=made.id).status == "canceled"


def test_runs_share_the_rows_under_way() -> None:
    """A run of few rows does not wait for one of many."""
    release = threading.Event()

    async def answer(ask: SampleAsk) -> str:
        if ask.model == "slow":
            while not release.is_set():
                await asyncio.sleep(0.01)
        return "Paris"

    with eval_server("[evals]\nin_flight = 8\n", script=answer) as server, client_of(server) as client:
        made = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])
        large = client.evals.runs.create(made.id, data_source=sampled(*[ROW] * 100, model="slow"))
        small = client.evals.runs.create(made.id, data_source=sampled(*[ROW] * 20))

        assert counts(ended(client, small)) == (20, 20, 0, 0)
        release.set()
        assert counts(ended(client, large)) == (100, 100, 0, 0)


def has_graded(store: Store, run_id: str, n_rows: int) -> bool:
    """Whether so many rows of a run are done; the run has ended where they are all of its rows."""
    found = store.runs.get(run_id)
    assert found is not None
    return found.done >= n_rows and (found.done < (found.n_rows or 0) or found.status == "completed")


def test_a_restarted_server_continues_a_run() -> None:
    """Samples that were answered are not asked for again; rows count once."""
    asked: list[str] = []
    stop_at = 30

    async def answer(ask: SampleAsk) -> str:
        question: str = ask.messages[0]["content"]["text"]
        asked.append(question)
        while len(asked) > stop_at:
            await asyncio.sleep(0.01)
        return question

    with TemporaryDirectory() as home, Store(Path(home)) as store:
        data = [{"item": {"question": str(n), "answer": str(n)}} for n in range(100)]
        for part in range(2):
            backends = Backends(config=load_config_of(""), sampler=ScriptedSampler(answer))
            evals = Evals(store, backends)
            if part == 0:
                made = evals.create({"data_source_config": custom(), "testing_criteria": [equals()]})
                run = evals.create_run(made.id, {"data_source": sampled(*data)})
            runner = Runner(store, backends, rows=4)
            wait_until(partial(has_graded, store, run.id, 20 if part == 0 else 100))
            runner.close()
            backends.close()
            stop_at = 10**6
        found = store.runs.get(run.id)

    assert found is not None
    assert (found.status, found.passed, found.failed, found.errored) == ("completed", 100, 0, 0)
    assert len(set(asked)) == 100
    assert len(asked) <= 104
    assert found.usage[0].calls == 100


@contextmanager
def executing(script: Any, n_rows: int, rows: int) -> Iterator[tuple[Store, RunRecord, Callable[[], Runner]]]:
    """A store with a queued run that samples, and what begins to execute it."""
    with (
        TemporaryDirectory() as home,
        Store(Path(home)) as store,
        Backends(config=load_config_of(""), sampler=ScriptedSampler(script)) as backends,
    ):
        evals = Evals(store, backends)
        data = [{"item": {"question": str(n), "answer": str(n)}} for n in range(n_rows)]
        made = evals.create({"data_source_config": custom(), "testing_criteria": [equals()]})
        run = evals.create_run(made.id, {"data_source": sampled(*data)})
        yield store, run, lambda: Runner(store, backends, rows=rows)


def test_rows_that_wait_for_a_commit_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill asks again about what is not committed, however fast the model answers: so no more than that is asked."""
    asked: list[str] = []
    free = threading.Event()

    def answer(ask: SampleAsk) -> str:
        asked.append(ask.messages[0]["content"]["text"])
        return asked[-1]

    with executing(answer, n_rows=100, rows=8) as (store, run, begin):
        keep = store.items.sampled

        def waits(*arguments: Any) -> None:
            assert free.wait(60)
            keep(*arguments)

        monkeypatch.setattr(store.items, "sampled", waits)
        runner = begin()
        try:
            until = time.monotonic() + 60
            while len(asked) < 8 and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.2)
            assert len(asked) == 8
            free.set()
            found = foreground.wait(store, run.id, lambda run: None, timeout_s=60)
        finally:
            free.set()
            runner.close()

    assert found is not None
    assert (found.status, found.passed, len(asked)) == ("completed", 100, 100)


def test_a_store_that_cannot_be_written_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run fails with the reason, no further question is asked, and unsaved rows do not count."""
    with executing(lambda ask: "x", n_rows=100, rows=8) as (store, run, begin):

        def full(*arguments: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(store.items, "finish", full)
        runner = begin()
        try:
            found = foreground.wait(store, run.id, lambda run: None, timeout_s=60)
        finally:
            runner.close()

    assert found is not None
    assert (found.status, found.done) == ("failed", 0)
    assert "disk is full" in (found.error or "")


def test_an_azure_client_is_served() -> None:
    """The paths, header and api-version of Azure's client; its evals header is not minded."""
    with eval_server(token="secret") as server:
        client = openai.AzureOpenAI(
            azure_endpoint=server.url,
            api_key="secret",
            api_version="2025-04-01-preview",
            default_headers={"aoai-evals": "preview"},
            max_retries=0,
        )
        with client:
            run = run_of(client, [equals()], rows({"item": {"answer": "a"}, "sample": {"output_text": "a"}}))

            assert counts(run) == (1, 1, 0, 0)
