"""Every metric equals its reference library, to the last bit, one by one and in batches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graders.metrics import METRICS, Metric, bind
from tests.metrics.pairs import GRID, REPEATS, Pair, fragments, grid, prose, repeats

SPEED = ["rouge-score-rs", "without it"]
#: Pairs by name: some of each for every run, and more than 20,000 for the slow one.
PAIRS = {
    "some": lambda: (
        grid()[::3] + repeats(200) + fragments(300) + prose(150, 8) + prose(80, 30) + prose(3, 300)
    ),
    "many": lambda: (
        grid()
        + repeats(5000, 1)
        + fragments(7000, 1)
        + prose(4500, 8, 1)
        + prose(2000, 30, 1)
        + prose(60, 300, 1)
    ),
}


@cache
def pairs(which: str) -> list[Pair]:
    return PAIRS[which]()


@cache
def expected(name: str, which: str) -> list[float]:
    """What the reference library says."""
    score = bind(name, implementation="reference").score
    return [score(*pair) for pair in pairs(which)]


def assert_same(metric: Metric, rows: Sequence[Pair], wanted: Sequence[float]) -> None:
    got = [metric.score(*pair) for pair in rows]
    assert [found for found in zip(rows, got, wanted, strict=True) if found[1] != found[2]][:3] == []
    batches = [metric.scores(*zip(*rows[at : at + 512], strict=True)) for at in range(0, len(rows), 512)]
    assert [value for batch in batches for value in batch] == list(wanted)


@pytest.fixture(params=SPEED)
def speed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with the [speed] extra, and without it."""
    if request.param == "rouge-score-rs":
        pytest.importorskip("rouge_score_rs")
    else:
        monkeypatch.setitem(sys.modules, "rouge_score_rs", None)
    return str(request.param)


@pytest.mark.parametrize("which", ["some", pytest.param("many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_equals_its_reference(
    name: str, which: str, speed: str, request: pytest.FixtureRequest
) -> None:
    """On scripts and punctuation, repeated words, fragments and prose."""
    if name == "meteor":
        request.getfixturevalue("wordnet_corpus")
    metric = bind(name)
    uses_it = "rouge-score-rs" in metric.provenance["implementation"]
    assert uses_it == (speed == "rouge-score-rs" and name not in ("fuzzy_match", "meteor"))

    assert_same(metric, pairs(which), expected(name, which))


def test_the_slow_run_has_more_than_20_000_pairs() -> None:
    """docs/metrics.md promises more than 20,000 pairs."""
    assert len(set(pairs("many"))) > 20_000


texts = st.one_of(
    st.text(max_size=60),
    # texts with surrogates
    st.text(alphabet=st.characters(codec=None), max_size=20),
    st.lists(st.sampled_from(REPEATS), max_size=12).map(" ".join),
    st.lists(st.sampled_from(GRID), max_size=5).map("".join),
)


@pytest.mark.parametrize("examples", [40, pytest.param(1500, marks=pytest.mark.slow)])
def test_hypothesis_finds_no_difference(examples: int, wordnet_corpus: None) -> None:
    """Every metric equals its reference for random texts, with [speed] and without, and stays within 0 to 1."""
    reference = {name: bind(name, implementation="reference").score for name in METRICS}
    with pytest.MonkeyPatch.context() as without:
        without.setitem(sys.modules, "rouge_score_rs", None)
        ours = {name: [bind(name).score] for name in METRICS}
    for name in METRICS:
        ours[name].append(bind(name).score)

    @settings(max_examples=examples, deadline=None, database=None)
    @given(hypothesis=texts, reference_text=texts)
    @example(hypothesis="", reference_text="")
    def check(hypothesis: str, reference_text: str) -> None:
        for name, scores in ours.items():
            want = reference[name](hypothesis, reference_text)
            assert [score(hypothesis, reference_text) for score in scores] == [want, want], name
            # sacrebleu's rounding can end just above 1
            assert 0.0 <= want <= 1.0 + 1e-9

    check()
