"""What one does with a run on its page, and what an item of it shows, in a real browser."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from graders.sampling.scripted import chat_completion
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
from tests.server.chromium import BINARY, Page, chromium
from tests.specs import python

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BINARY, reason="there is no chromium")]


def press(page: Page, name: str, place: int = 0) -> None:
    """Click the button with this text."""
    page.look(
        f"[...document.querySelectorAll('button')].filter(one => one.textContent === '{name}')[{place}].click()"
    )


def test_a_run_is_watched_and_canceled() -> None:
    """Progress while it is under way; canceled from the page, which then says so."""
    go_on = threading.Event()

    def slowly(ask: Any) -> str:
        if "wait" in str(ask.messages):
            go_on.wait(30)
        return "Paris"

    data = [{"item": {"question": "wait" if n else "now", "answer": "Paris"}} for n in range(3)]
    with eval_server(script=slowly) as server, client_of(server) as client:
        made = client.evals.create(data_source_config=custom("question"), testing_criteria=[equals()])
        client.evals.runs.create(made.id, data_source=sampled(*data))
        with chromium(f"{server.url}/evals/{made.id}") as page:
            page.wait("/in progress/.test(document.querySelector('tbody')?.innerText)")
            press(page, "Cancel")
            page.wait("/canceled/.test(document.querySelector('tbody')?.innerText)")
        go_on.set()


def test_a_run_is_run_again_and_deleted() -> None:
    """Rerun makes a second run of the same data; Delete asks first, and leaves the run where the answer is no."""
    n_rows = "document.querySelectorAll('tbody tr[data-ended=true]').length"
    data = [{"item": {"answer": "a"}, "sample": {"output_text": text}} for text in "ab"]
    with eval_server() as server, client_of(server) as client:
        made = client.evals.create(data_source_config=custom("answer"), testing_criteria=[equals()])
        first = ended(client, client.evals.runs.create(made.id, name="first", data_source=rows(*data)))
        with chromium(f"{server.url}/evals/{made.id}") as page:
            page.wait(f"{n_rows} === 1")
            press(page, "Rerun")
            page.wait(f"{n_rows} === 2")
            again, _ = client.evals.runs.list(made.id, order="desc")
            page.look("window.confirm = text => { window.asked = text; return false; }")
            press(page, "Delete", 1)
            page.wait("window.asked && !document.querySelector('button:disabled[aria-label^=Delete]')")
            assert page.look("window.asked") == "Delete first with its items?"
            assert page.look(n_rows) == 2
            page.look("window.confirm = () => true")
            press(page, "Delete", 1)
            page.wait(f"{n_rows} === 1")
        left = [one.id for one in client.evals.runs.list(made.id)]

        assert again.id != first.id
        assert (again.name, counts(again)) == ("first", counts(first))
        assert left == [again.id]
        assert [one.status for one in items(client, again)] == ["pass", "fail"]


PROGRAM = """
def grade(sample, item):
    print("looked at", sample["output_text"])
    if item["answer"] == "none":
        raise LookupError("there is no answer")
    return 1.0
"""


def test_an_item_shows_what_a_program_printed() -> None:
    """Its output, and where it raised: the line of the source and the error."""
    data = [{"item": {"answer": text}, "sample": {"output_text": "Paris <b>"}} for text in ("Paris", "none")]
    with eval_server() as server, client_of(server) as client:
        run = run_of(client, [python(PROGRAM)], rows(*data))
        texts = []
        for item in items(client, run):
            with chromium(f"{server.url}/evals/{run.eval_id}?run_id={run.id}&item={item.id}") as page:
                page.wait("document.querySelector('.verdict-of')")
                texts.append(page.look("document.querySelector('.verdict-of').innerText"))

    graded, raised = texts
    assert "score 1" in graded
    assert "Printed by the program" in graded
    assert "looked at Paris <b>" in graded
    assert "python_grader_runtime_error" in raised
    assert "line 5, in grade" in raised
    assert "LookupError: there is no answer" in raised
    assert "looked at Paris <b>" in raised


def test_an_item_shows_the_tools_that_were_called() -> None:
    """The function's name, and its arguments laid out."""
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Paris", "days": 2}'},
    }
    answer = chat_completion("m", "")
    answer["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
    criteria = [equals("Paris", input="{{sample.output_tools[0].function.arguments.city}}")]
    with eval_server(script=lambda ask: answer) as server, client_of(server) as client:
        run = run_of(client, criteria, sampled({"item": {"question": "q", "answer": ""}}))
        (item,) = items(client, run)
        with chromium(f"{server.url}/evals/{run.eval_id}?run_id={run.id}&item={item.id}") as page:
            page.wait("document.querySelector('.item')")
            messages = page.look("[...document.querySelectorAll('.item .message')].map(one => one.innerText)")

    assert item.status == "pass"
    assert "Calls weather" in messages[-1]
    assert '"city": "Paris",\n  "days": 2' in messages[-1]
