"""text_similarity through the engine: single rows and windows agree, and results say what made them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graders
from graders.metrics import METRICS
from tests.specs import multi, string_check, text_similarity

BY_NAME = [text_similarity(evaluation_metric=name) for name in ("fuzzy_match", "bleu", "meteor", "rouge_l")]
SPECS = [
    *BY_NAME,
    text_similarity(input="{{item.answer}}", reference="the answer is {{sample.output_text}}, {{ item.n }}"),
    text_similarity(reference="a constant reference"),
    text_similarity(reference="{{item.deep.answer}}"),
    text_similarity(reference="{{item.list[0]}}"),
    text_similarity(reference="{{item}}"),
    string_check(),
    string_check(operation="ilike", reference="{{item.deep.answer}}"),
    multi("a - b / 2", {"a": BY_NAME[0], "b": string_check(operation="like")}),
    multi("a / b", {"a": string_check(), "b": string_check(operation="ne")}),
]
words = st.sampled_from(["", "a", "the answer", "The answer is 42.", "你好", "\ud800 x", '{"answer": "a"}'])
deep = st.one_of(st.fixed_dictionaries({"answer": words}), words, st.just(["a"]))
values = st.one_of(words, st.none(), st.integers(), st.lists(words, max_size=2))
items = st.fixed_dictionaries(
    {}, optional={"answer": values, "n": st.integers(), "deep": deep, "list": st.lists(words)}
)
samples = st.one_of(words, words, words, st.just({"output_text": "a"}), st.just({}), st.just(3))
rows = st.lists(
    st.fixed_dictionaries({"sample": samples}, optional={"item": st.one_of(items, st.none()), "id": words}),
    max_size=9,
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.get("evaluation_metric", spec["type"])))
def test_windows_equal_single_rows(spec: dict[str, Any]) -> None:
    """Plain windows go over columns, others row by row: nobody can tell which from the results."""
    grader = graders.compile(spec)

    @settings(max_examples=12, deadline=None, database=None)
    @given(rows=rows)
    def check(rows: list[dict[str, Any]]) -> None:
        # a row without an item is the item itself, as at every door
        alone = [grader.run(row["sample"], row.get("item", row), id=row.get("id", "")) for row in rows]

        for window in (2, 512):
            batch = list(grader.run_batch(rows, window=window))
            assert [facts(result) for result in batch] == [facts(result) for result in alone]
            assert all(type(result.reward) is float for result in batch)
            rewards = grader.rewards(rows, window=window)
            assert rewards == [result.reward if result.ok else None for result in alone]
            assert all(type(reward) is float for reward in rewards if reward is not None)

    check()


def facts(result: graders.RunResult) -> tuple[object, ...]:
    return (
        result.id,
        result.reward,
        result.sub_rewards,
        result.flags,
        [str(f) for f in result.failures],
        result.provenance,
    )


def test_rows_are_read_a_window_at_a_time() -> None:
    """Rows are read a window at a time, however long the input is and however late the caller reads."""
    read: list[None] = []

    def endless() -> Any:
        while True:
            read.append(None)
            yield {"sample": "a", "item": {"answer": "b"}}

    grader = graders.compile(text_similarity())
    results = grader.run_batch(endless(), window=10)
    assert not read

    taken = [next(results).reward for _ in range(11)]
    assert taken == [0.0] * 11
    assert len(read) == 20


def test_rewards_are_a_list() -> None:
    """A column of a data frame: as long as the rows, None where a row failed (M7 of the study of use)."""
    rows = [
        {"sample": "a", "item": {"answer": "a"}},
        {"sample": "a", "item": {}},
        {"sample": "a", "item": {"answer": "b"}},
    ]

    assert graders.compile(string_check()).rewards(rows) == [1.0, None, 0.0]


def test_results_travel_between_processes() -> None:
    """Results and the errors in them can be pickled, whatever their constructors take."""
    grader = graders.compile(
        multi("a + b", {"a": text_similarity(), "b": string_check(reference="{{item.none}}")})
    )
    long = graders.compile(text_similarity(evaluation_metric="bleu"))

    for result in (grader.run("x", {"answer": "x"}), long.run("x" * 5_000_000, {"answer": "x"})):
        other = pickle.loads(pickle.dumps(result))

        assert not other.ok
        assert other.to_wire() == result.to_wire()
        assert facts(other) == facts(result)


def test_results_name_their_implementation() -> None:
    """Metric, options with their defaults, implementation and version, and the reference version it equals."""
    for name in METRICS:
        result = graders.run(text_similarity(evaluation_metric=name), "a b", {"answer": "a b"})

        told = result.provenance["metric"]
        assert told["metric"] == name
        assert told["version"]
        assert told["reference"].split()[0] in (
            "rapidfuzz",
            "sacrebleu",
            "nltk",
            "rouge-score",
        )
        assert all("=" in option for option in told["options"].split())
