"""Long and hostile texts: a number, or an error that says the sizes; never a hang."""

from __future__ import annotations

import random
import sys
import threading
import time
from typing import Any

import pytest

import graders
from graders.errors import GradeError
from graders.metrics import METRICS, bind
from graders.metrics.limits import MAX_CHARS, TextTooLong
from tests.specs import text_similarity

MEGABYTE = 1_000_000
HOSTILE = {
    "one letter": "a",
    "no spaces": "abcdefghij",
    "only punctuation": "!?.,",
    "lone surrogates": "\ud800",
    "NUL": "\x00",
    "emoji": "😀",
    "right to left": "שלום עולם ",
    "only spaces": " ",
    "one word, often": "a ",
    "entities": "&amp;",
    "line ends": "-\n",
    "numbers": "3.14,",
    "combining": "e\u0301",
}
# processor time, six times as much as on a machine that does nothing else
ENOUGH_S = 60


def hostile(name: str, chars: int) -> str:
    return (HOSTILE[name] * (chars // len(HOSTILE[name]) + 1))[:chars]


@pytest.mark.parametrize("chars", [4_000, pytest.param(MEGABYTE, marks=pytest.mark.slow)])
@pytest.mark.parametrize("text", HOSTILE)
def test_every_metric_ends(text: str, chars: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time, with and without the [speed] extra, with the same outcome."""
    given = hostile(text, chars)
    others = (given, given[1:] + "x", "a short text", hostile("one word, often", chars))
    with_speed = {name: bind(name) for name in METRICS}
    monkeypatch.setitem(sys.modules, "rouge_score_rs", None)
    started = time.process_time()

    for name in METRICS if chars < MEGABYTE else ("fuzzy_match", "bleu", "meteor", "rouge_1", "rouge_l"):
        pure = bind(name)
        for other in others if chars < MEGABYTE else others[1:2]:
            outcome = outcome_of(pure, given, other)
            assert outcome == outcome_of(with_speed[name], given, other)
            assert isinstance(outcome, str) or 0 <= outcome <= 1 + 1e-9

    assert time.process_time() - started < ENOUGH_S


def outcome_of(metric, hypothesis: str, reference: str):  # type: ignore[no-untyped-def]  # metrics of every kind
    try:
        return metric.score(hypothesis, reference)
    except TextTooLong as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("name", "got", "want", "says"),
    [
        pytest.param(
            "fuzzy_match", "a" * MEGABYTE, "b" * MEGABYTE,
            "fuzzy_match: texts of 1,000,000 and 1,000,000 characters are too long to compare "
            "(the product of the lengths may be 10,000,000,000 at most)", id="fuzzy_match",
        ),
        pytest.param(
            "rouge_l", "a " * 500_000, "b " * 500_000,
            "rouge_l: texts of 500,000 and 500,000 words are too long", id="rouge_l",
        ),
        *(
            pytest.param(name, "a", "b" * (MAX_CHARS + 1), f"{name}: a text of 1,048,577 characters is too long", id=name)
            for name in METRICS if name != "fuzzy_match"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("speed", [True, False])
def test_beyond_the_bound_there_is_an_error(
    name: str, got: str, want: str, says: str, speed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts beyond the bound are refused at once with sizes and remedy; the row is flagged, alone or in a window."""
    if not speed:
        monkeypatch.setitem(sys.modules, "rouge_score_rs", None)
    grader = graders.compile(text_similarity(evaluation_metric=name))
    started = time.process_time()

    alone = grader.run(got, {"answer": want})
    fine, row = grader.run_batch(
        [{"sample": "a b", "item": {"answer": "a b"}}, {"sample": got, "item": {"answer": want}}]
    )

    assert time.process_time() - started < 10
    assert fine.ok
    for result in (alone, row):
        assert result.flags == ("other_error",)
        assert result.reward == 0.0
        assert says in str(result.failures[0])
        assert "cut them before" in str(result.failures[0]) or "cut it before" in str(result.failures[0])


def test_a_window_of_long_texts_is_no_single_call() -> None:
    """Each pair may take its 0.3 s, but then an interrupt gets its turn: the window's product is bounded, too."""
    import rapidfuzz.process

    metric = bind("fuzzy_match")
    long = ["a" * 60_000] * 3
    pairs: list[int] = []
    real = rapidfuzz.process.cpdist

    def counted(hypotheses: list[str], references: list[str], **options: Any) -> object:
        pairs.append(len(hypotheses))
        return real(hypotheses, references, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rapidfuzz.process, "cpdist", counted)

        assert metric.scores(long, long) == [1.0] * 3
        assert metric.scores(["a"] * 3, ["b"] * 3) == [0.0] * 3
    assert pairs == [1, 1, 1, 3]


def test_a_long_pair_lets_other_threads_run() -> None:
    """The same number as the plain call's, and other threads get their turns while it is computed."""
    from rapidfuzz import fuzz

    text = "".join(random.Random(0).choices("abcdefgh ", k=90_000))
    got: list[float] = []
    metric, turns = bind("fuzzy_match"), 0
    # numpy's and rapidfuzz's imports are not what is looked at
    metric.score("a", "b")
    worker = threading.Thread(target=lambda: got.extend(metric.score(text, text[::-1]) for _ in range(5)))
    worker.start()
    while worker.is_alive():
        time.sleep(0.001)
        turns += 1

    assert got == [fuzz.ratio(text, text[::-1]) / 100] * 5
    # held up, it would be about one for each of the five
    assert turns > 10


def test_the_reference_implementation_of_rouge_l_is_bounded() -> None:
    """rouge-score fills a table of Python lists: 100 s and gigabytes at 100 kB."""
    metric = bind("rouge_l", implementation="reference")

    with pytest.raises(GradeError, match="10,000 and 10,000 words"):
        metric.score("a " * 10_000, "b " * 10_000)
