"""What makes an item: its question and its reference. Rows that merely share a reference are not repeats."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graders.batch import grade_dataset, read_results
from graders.datasets.ids import IdAssigner, has_question, question_of
from graders.datasets.rows import Chunk
from graders.fields import detect_fields
from graders.preflight.check import check
from graders.stats.compare import compare
from tests.specs import string_check


def ids_of(rows: list[dict[str, Any]], **fields: Any) -> list[str]:
    field_map = detect_fields(rows[0], **fields)
    return IdAssigner(field_map).names(Chunk(list(rows), None, range(len(rows))))


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, **more}


DIFFERENT = [
    pytest.param(
        chat("1+1?", "2", tools=[]), chat("2+2?", "5", tools=[]), id="F1: the question is in the messages"
    ),
    pytest.param(
        {"sample": chat("1+1?", "2")["messages"], "item": {"label": "right"}},
        {"sample": chat("2+2?", "2")["messages"], "item": {"label": "right"}},
        id="F1: a conversation as the sample",
    ),
    pytest.param(
        {"sample": "1", "item": {"n": 12345678901234567890123}},
        {"sample": "1", "item": {"n": 12345678901234567890124}},
        id="A2: numbers beyond 64 bits",
    ),
    pytest.param(
        {"completion": "a", "prompt": "x"}, {"completion": "a", "prompt": "y"}, id="a flat row's prompt"
    ),
    pytest.param(
        {"data_source_idx": 0, "sample": "a"}, {"data_source_idx": 1, "sample": "a"}, id="an export's index"
    ),
]
EQUAL = [
    pytest.param(chat("1+1?", "2"), chat("1+1?", "3"), id="two answers to one question"),
    pytest.param({"sample": "a", "item": {"q": "x"}}, {"sample": "b", "item": {"q": "x"}}, id="two samples"),
    pytest.param(
        {"output": "a", "q": "x", "r": 1}, {"r": 1, "q": "x", "output": "b"}, id="the order of keys"
    ),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_questions_have_different_ids(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Rows with different questions get ids of which neither is a repeat of the other."""
    first, second = ids_of([one, other])

    assert first.partition("#")[0] != second.partition("#")[0]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_items_have_one_id_with_a_number(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A second sample of an item is ID#2; alone, it has the item's id, so that two models' results pair."""
    first, second = ids_of([one, other])

    assert second == f"{first}#2"
    assert ids_of([other]) == [first]


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        (chat("1+1?", "2"), True),
        ({"sample": "7", "item": {"answer": "4"}}, False),
        ({"sample": "7", "item": {"question": "2+2?", "answer": "4"}}, True),
        ({"sample": "pos", "item": {"label": "pos"}}, False),
    ],
)
def test_a_question_is_known_by_its_field(row: dict[str, Any], asked: bool) -> None:
    """Messages before the answer, or a field that is named like a question (A3, S5)."""
    assert has_question(row, detect_fields(row)) == asked


def test_the_question_ends_at_the_last_answer() -> None:
    """Earlier turns of a conversation belong to the question, and messages after the answer do not."""
    turns = ["user", "assistant", "user", "assistant", "tool"]
    messages = [{"role": role, "content": str(n)} for n, role in enumerate(turns)]

    assert question_of(messages) == messages[:3]
    assert question_of(messages[1:2]) is None
    assert question_of("text") is None


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


CHATS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from(["x", "y"])),
    min_size=2,
    max_size=12,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(chats=CHATS, seed=st.integers(0, 9))
@pytest.mark.parametrize("form", ["messages", "flat", "item"])
def test_a_shuffled_file_equals_itself(tmp_path: Path, form: str, chats: list[Any], seed: int) -> None:
    """Shuffle a file, grade both, compare: nothing goes up and nothing goes down."""
    forms = {
        "messages": lambda question, answer, label: chat(question, answer, label=label),
        "flat": lambda question, answer, label: {"completion": answer, "label": label},
        "item": lambda question, answer, label: {"sample": answer, "item": {"label": label}},
    }
    rows = [forms[form](*one) for one in chats]
    shuffled = random.Random(seed).sample(rows, len(rows))
    spec = string_check(reference="a")
    for name, of in (("one", rows), ("other", shuffled)):
        grade_dataset(spec, str(write(tmp_path / f"{name}.jsonl", of)), str(tmp_path / name), force=True)

    comparison = compare(tmp_path / "one", tmp_path / "other")

    assert (comparison.up, comparison.down, comparison.same) == (0, 0, len(rows))
    assert comparison.delta is not None
    assert comparison.delta.value == 0


def test_an_old_file_resumes_with_its_id_scheme(tmp_path: Path) -> None:
    """A results file of 0.1, whose ids leave the messages out, resumes without a row graded twice."""
    rows = [chat("1+1?", "2", tools=[]), chat("2+2?", "5", tools=[])]
    data, out = write(tmp_path / "d.jsonl", rows), tmp_path / "r.jsonl"
    grade_dataset(string_check(reference="2"), str(data), str(out))
    header, *lines = out.read_text().splitlines()
    old = json.loads(header)
    del old["options"]["ids"], old["options"]["question"]
    whole = []
    for n, line in enumerate(lines, 1):
        content = IdAssigner(detect_fields(rows[0]), scheme=1).names(Chunk([rows[0]], None, [1]))[0]
        whole.append({**json.loads(line), "id": content if n == 1 else f"{content}#{n}"})
    out.write_text("".join(json.dumps(line) + "\n" for line in [old, whole[0]]))

    run = grade_dataset(string_check(reference="2"), str(data), str(out), resume=True)

    assert (run.graded, run.tally.rows, run.unmatched_rows) == (1, 2, 0)
    assert not any("of 0.1" in note for note in compare(out, out).notes)
    grade_dataset(string_check(reference="2"), str(data), str(tmp_path / "new"))
    assert any("one of the files is of 0.1" in note for note in compare(out, tmp_path / "new").notes)
    assert [row.id for row in read_results(out).rows] == [line["id"] for line in whole]


def test_rows_that_share_an_item_are_reported(tmp_path: Path) -> None:
    """Check and a run say how many rows have no id and the item of another row, and what that means (A3)."""
    rows = [{"sample": str(n), "item": {"answer": str(n % 3)}} for n in range(10)]

    run = grade_dataset(string_check(), rows, str(tmp_path / "r"))

    (note,) = run.notes
    assert "7 of 10 rows have no id and the same item" in note
    assert "--id-field" in note
    (finding,) = [found for found in check(string_check(), rows).findings if found.code == "shared_items"]
    assert note in finding.message
