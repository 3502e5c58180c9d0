"""Filters of a run's items, beside the same filters over a list: every page holds the next items in order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from graders.store import EvalRecord, FinishedItem, ItemFilter, ItemScore, NewItem, Store
from graders.store.tables import matches
from graders.store.tables.search import position

N_ITEMS = 150
RUN_ID, EVAL_ID = "evalrun_1", "eval_1"


@dataclass(frozen=True)
class PlainItem:
    n: int
    status: str
    words: frozenset[str]
    verdict: str
    score: float | None


def drawn_items() -> list[PlainItem]:
    draw = random.Random(7)
    items = []
    for n in range(N_ITEMS):
        verdict = draw.choice(("pass", "fail", "error"))
        words = frozenset({"always", *draw.sample(("red", "green", "blue"), k=draw.randrange(4))})
        # few different scores: many items share one
        score = None if verdict == "error" else draw.choice((-1.0, 0.0, 0.25, 0.5, 1.0))
        items.append(PlainItem(n, verdict, words, verdict, score))
    return items


ITEMS = drawn_items()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, int]]:
    """A store and the number of its run, which is the second, so that numbers of items are not those of rows."""
    with Store(tmp_path_factory.mktemp("home")) as store:
        store.evals.add(EvalRecord(EVAL_ID, 1, 1, "", "{}", "{}", "[]"))
        for run_id in ("evalrun_0", RUN_ID):
            number = added(store, run_id)
            store.items.add_finished(number, 0, [stored(item) for item in ITEMS], last=True)
            store.runs.start(number)
            store.runs.end(number, "completed")
            store.search.add_words(number, 60)
        yield store, number


def added(store: Store, run_id: str) -> int:
    """The number of a new run of one criterion."""
    number = store.runs.add(
        run_id=run_id,
        eval_id=EVAL_ID,
        created_at=1,
        name="",
        model=None,
        metadata="{}",
        data_source="{}",
        criteria=("a",),
    )
    assert number is not None
    return number


def stored(item: PlainItem) -> tuple[NewItem, FinishedItem]:
    error = "other_error" if item.verdict == "error" else None
    scores = (ItemScore(0, item.score, item.verdict == "pass", error),)
    text = f'{{"text":"{" ".join(sorted(item.words))}"}}'
    return NewItem(text, f"{item.n:064x}"), FinishedItem(item.n, 1, item.status, "{}", "[]", scores)


def filtered(wanted: ItemFilter) -> list[int]:
    """Numbers of the items that a filter lets through, in its order."""
    found = [
        item
        for item in ITEMS
        if (wanted.status is None or item.status == wanted.status)
        and (wanted.verdict is None or item.verdict == wanted.verdict)
        and set(wanted.text.split()) <= item.words
    ]
    if wanted.ranged:
        low = -2.0 if wanted.low is None else wanted.low
        high = 2.0 if wanted.high is None else wanted.high
        scored = [(item.score, item.n) for item in found if item.score is not None]
        return [n for score, n in sorted(scored) if low <= score <= high]
    return [item.n for item in found]


def paged(store: Store, run: int, wanted: ItemFilter, limit: int) -> list[int]:
    """Numbers of all items, page by page."""
    found: list[int] = []
    after: Sequence[float] = ()
    for _ in range(N_ITEMS):
        page = store.search.page(run, RUN_ID, wanted, limit, after)
        found += [item.n for item in page.rows]
        if not page.has_more:
            return found
        assert len(page.rows) == limit
        after = position(page.rows[-1], wanted)
    raise AssertionError("pages without an end")


FILTERS = [
    ItemFilter(status=status, criterion=0, verdict=verdict, low=low, high=high, by_score=by_score, text=text)
    for status, verdict, (low, high), by_score, text in itertools.product(
        (None, "fail"),
        (None, "pass", "error"),
        ((None, None), (0.0, None), (0.0, 0.25)),
        (False, True),
        ("", "always", "red", "red blue", "absent"),
    )
]


@pytest.mark.parametrize("few", [0, 20, 2000], ids=["along the scores", "either way", "score by score"])
def test_pages_hold_what_a_filter_lets_through(
    run: tuple[Store, int], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(matches, "FEW", few)
    store, number = run

    for wanted in FILTERS:
        assert paged(store, number, wanted, 7) == filtered(wanted), wanted


@pytest.mark.parametrize("after", [(1.0,), (1.0, 2.0, 3.0)], ids=["a number too few", "a number too many"])
@pytest.mark.parametrize("text", ["", "always"])
def test_a_position_of_another_order_is_the_start(
    run: tuple[Store, int], text: str, after: tuple[float, ...]
) -> None:
    """As in an address that somebody has edited."""
    store, number = run
    wanted = ItemFilter(criterion=0, by_score=True, text=text)

    page = store.search.page(number, RUN_ID, wanted, 7, after)

    assert [item.n for item in page.rows] == filtered(wanted)[:7]


def test_items_that_are_indexed_later_are_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A set of matches that was kept holds for the items that were indexed then."""
    wanted = ItemFilter(criterion=0, by_score=True, text="always")
    with Store(tmp_path_factory.mktemp("home")) as store:
        store.evals.add(EvalRecord(EVAL_ID, 1, 1, "", "{}", "{}", "[]"))
        number = added(store, RUN_ID)
        store.runs.start(number)
        counts = []
        for start, stop in ((0, 50), (50, N_ITEMS)):
            rows = [stored(item) for item in ITEMS[start:stop]]
            store.items.add_finished(number, start, rows, last=stop == N_ITEMS)
            store.search.add_words(number, 60)
            counts.append(len(store.search.page(number, RUN_ID, wanted, N_ITEMS).rows))

    assert counts == [sum(item.score is not None for item in ITEMS[:stop]) for stop in (50, N_ITEMS)]
