"""What a page costs, counted in steps of SQLite's machine and in statements: no more in a large run than in a small one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from graders.store import Cursor, EvalRecord, FinishedItem, ItemFilter, ItemScore, NewItem, RunRecord, Store
from graders.store.ids import hex_id
from graders.store.tables import matches
from graders.store.tables.search import position

SMALL, LARGE = 500, 6_000
PAGE = 10
#: A page's statements: the items, the criteria, their scores.
STATEMENTS = 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(store: Store) -> list[RunRecord]:
    """A run of SMALL and one of LARGE items, with every status, verdict and word in equal parts."""
    made = []
    for n_items in (SMALL, LARGE):
        eval_id, run_id = hex_id("eval", 1), hex_id("evalrun", 1)
        store.evals.add(EvalRecord(eval_id, 1, 1, "", "{}", "{}", "[]"))
        number = store.runs.add(
            run_id=run_id,
            eval_id=eval_id,
            created_at=1,
            name="",
            model=None,
            metadata="{}",
            data_source=f'"{"x" * 1000 * n_items}"',
            criteria=("a", "b"),
        )
        assert number is not None
        store.items.add_finished(number, 0, [item(n) for n in range(n_items)], last=True)
        store.runs.start(number)
        store.runs.end(number, "completed")
        store.search.add_words(number, 60)
        found = store.runs.get(run_id, source=False)
        assert found is not None
        made.append(found)
    return made


def item(n: int) -> tuple[NewItem, FinishedItem]:
    error = "other_error" if n % 5 == 0 else None
    scores = (
        ItemScore(0, float(n % 3 > 0), n % 3 > 0),
        ItemScore(1, None if error else n / LARGE, n % 2 > 0, error),
    )
    status = "error" if error else "pass" if all(one.passed for one in scores) else "fail"
    text = f'{{"text":"always word{n % 4}"}}'
    return NewItem(text, f"{n:064x}"), FinishedItem(
        n, 1, status, '{"output":[{"content":"Paris"}]}', "[]", scores
    )


def cost(store: Store, work: Callable[[], object]) -> tuple[int, list[str]]:
    """Steps of SQLite's machine in tens, and the statements."""
    n_steps = 0
    statements: list[str] = []

    def step() -> int:
        nonlocal n_steps
        n_steps += 1
        return 0

    db = store.database.read()
    # statements are prepared by then
    work()
    db.set_progress_handler(step, 10)
    db.set_trace_callback(statements.append)
    try:
        work()
    finally:
        db.set_progress_handler(None, 0)
        db.set_trace_callback(None)
    # those of the index of words, which it makes itself, are shown as comments
    return n_steps, [one for one in statements if not one.startswith("--")]


FILTERS = [
    pytest.param(ItemFilter(), id="none"),
    pytest.param(ItemFilter(status="fail"), id="status"),
    pytest.param(ItemFilter(criterion=1, verdict="fail"), id="verdict"),
    pytest.param(ItemFilter(criterion=1, verdict="error"), id="error of a criterion"),
    pytest.param(ItemFilter(criterion=1, by_score=True), id="by score"),
    pytest.param(ItemFilter(criterion=1, low=0.001), id="score"),
    pytest.param(ItemFilter(status="fail", criterion=0, verdict="fail"), id="status and verdict"),
    pytest.param(ItemFilter(text="always"), id="a word of every item"),
    pytest.param(ItemFilter(text="word3"), id="a word"),
    pytest.param(ItemFilter(text="word3", status="fail"), id="a word and status"),
    pytest.param(ItemFilter(text="always", criterion=1, verdict="error"), id="a word and verdict"),
]


@pytest.mark.parametrize("wanted", FILTERS)
@pytest.mark.parametrize("deep", [False, True])
def test_a_filtered_page_costs_the_same_in_a_large_run(
    store: Store, runs: list[RunRecord], wanted: ItemFilter, deep: bool
) -> None:
    """A page costs the same at the start of what a filter finds and behind the first page."""
    costs = []
    for run in runs:
        after: list[float] = []
        if deep:
            first = store.search.page(run.number, run.id, wanted, 5)
            assert first.has_more
            after = position(first.rows[-1], wanted)
        n_steps, statements = cost(store, partial(store.search.page, run.number, run.id, wanted, PAGE, after))
        assert len(statements) == STATEMENTS
        costs.append(n_steps)

    assert costs[1] <= 1.2 * costs[0] + 10


@pytest.mark.parametrize("text", ["always", "word3"])
def test_a_page_by_words_and_score_costs_the_same_in_a_large_run(
    store: Store, runs: list[RunRecord], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the matches are known, scores are read as far as the page needs them."""
    monkeypatch.setattr(matches, "FEW", 0)
    wanted = ItemFilter(criterion=1, by_score=True, text=text)

    costs = [cost(store, partial(store.search.page, run.number, run.id, wanted, PAGE)) for run in runs]

    assert len(costs[0][1]) == len(costs[1][1]) == STATEMENTS + 2
    assert costs[1][0] <= 1.2 * costs[0][0] + 10


@pytest.mark.parametrize("status", [None, "pass", "error"])
def test_output_items_cost_the_same_in_a_large_run(
    store: Store, runs: list[RunRecord], status: str | None
) -> None:
    """A page costs the same at the start and at the end of the list, and the data source is not read."""
    costs = []
    for run in runs:
        for descending in (False, True):
            cursor = Cursor(PAGE, "", descending)
            n_steps, statements = cost(store, partial(store.items.page, run.number, run.id, cursor, status))
            assert len(statements) == 1
            costs.append(n_steps)

    assert max(costs) <= 1.2 * min(costs) + 10


def test_a_run_is_read_without_its_items(store: Store, runs: list[RunRecord]) -> None:
    """Three statements, of which none looks at an item: counts are kept. Without its source the data is not read."""
    costs = []
    for run in runs:
        for source in (True, False):
            n_steps, statements = cost(store, partial(store.runs.get, run.id, source=source))
            assert len(statements) == 3
            assert not any("items" in one or "scores" in one for one in statements)
            assert any("run_sources" in one for one in statements) == source
            costs.append(n_steps)

    assert max(costs) <= 20
