"""How long the server takes for a page of 100 of 100,000 output items, by filter.

    python benchmarks/pages.py [--rows 100000] [--repeats 30]

Prints the median and the 99th percentile in milliseconds, from the store's call to JSON text.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from graders.jsontext import dumps
from graders.store import EvalRecord, FinishedItem, ItemFilter, NewItem, Score, Store
from graders.store.ids import hex_id
from graders.store.tables.search import position

WORDS = [f"word{n}" for n in range(2000)]
FILTERS = {
    "none": ItemFilter(),
    "failed": ItemFilter(status="fail"),
    "errors, 1 of 1000": ItemFilter(status="error"),
    "failed by a criterion": ItemFilter(criterion=1, verdict="fail"),
    "error of a criterion, 1 of 1000": ItemFilter(criterion=1, verdict="error"),
    "by score": ItemFilter(criterion=1, by_score=True),
    "score from 0.2 to 0.21": ItemFilter(criterion=1, low=0.2, high=0.21),
    "a frequent word": ItemFilter(text="always"),
    "a word, 1 of 20": ItemFilter(text="word7"),
    "a word and failed": ItemFilter(status="fail", text="word7"),
    "failed, and failed by a criterion": ItemFilter(status="fail", criterion=0, verdict="fail"),
}


def fill(store: Store, n_rows: int) -> tuple[int, str]:
    """A run with this many finished items of some 2 kB."""
    eval_id, run_id = hex_id("eval", 1), hex_id("evalrun", 1)
    store.evals.add(EvalRecord(eval_id, 1, 1, "pages", "{}", "{}", "[]"))
    number = store.runs.add(
        run_id=run_id, eval_id=eval_id, created_at=1, name="", model="m", metadata="{}", data_source="{}",
        criteria=("equal", "close"),
    )  # fmt: skip
    assert number is not None
    draw = random.Random(0)
    for start in range(0, n_rows, 1000):
        numbers = range(start, min(start + 1000, n_rows))
        texts = [" ".join(draw.choices(WORDS, k=100)) for _ in numbers]
        store.items.add(
            number,
            start,
            [NewItem(dumps({"question": f"always {text}", "n": n}).decode(), "") for n, text in zip(numbers, texts, strict=True)],
            last=numbers[-1] + 1 == n_rows,
        )  # fmt: skip
        store.items.finish(number, [finished(n, text, draw) for n, text in zip(numbers, texts, strict=True)])
    store.runs.start(number)
    store.runs.end(number, "completed")
    return number, run_id


def finished(n: int, text: str, draw: random.Random) -> FinishedItem:
    score, error = draw.random(), "other_error" if n % 1000 == 7 else None
    scores = (Score(0, 1.0, n % 3 != 0), Score(1, None if error else score, score > 0.5 and not error, error))
    status = "error" if error else "pass" if all(one.passed for one in scores) else "fail"
    return FinishedItem(n, 1, status, dumps({"output": [{"content": text}]}).decode(), "[]", scores)


def times(
    store: Store, run: int, run_id: str, wanted: ItemFilter, n_rows: int, repeats: int
) -> Iterator[float]:
    """Seconds for pages at different depths."""
    after: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        page = store.search.page(run, run_id, wanted, 100, after)
        dumps([[one.n, one.id, one.status, one.item, one.output] for one in page.rows])
        yield time.perf_counter() - started
        after = position(page.rows[-1], wanted) if page.has_more else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=30)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, Store(Path(home)) as store:
        run, run_id = fill(store, wanted.rows)
        started = time.perf_counter()
        store.search.add_words(run, 3600)
        print(f"words of {wanted.rows:,} items added in {time.perf_counter() - started:.1f} s")
        for name, chosen in FILTERS.items():
            found = sorted(1000 * s for s in times(store, run, run_id, chosen, wanted.rows, wanted.repeats))
            print(
                f"{name:36} p50 {statistics.median(found):7.2f} ms   p99 {found[int(0.99 * len(found))]:7.2f} ms"
            )


if __name__ == "__main__":
    main()
