"""How long the server takes for a page of 100 of 100,000 output items, by filter, and the browser for whole pages.

    python benchmarks/pages.py [--rows 100000] [--repeats 30] [--browser]

Prints the median and the 99th percentile in milliseconds, from the store's call to JSON text. With --browser, from the
repository's root: how long headless Chromium takes from the request to the first paint, and until a run of all items, and
two runs of 10,000 side by side, are drawn.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from graders.jsontext import dumps
from graders.store import EvalRecord, FinishedItem, ItemFilter, ItemScore, NewItem, Store
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
    "a frequent word and an error": ItemFilter(status="error", text="always"),
    "a frequent word and an error of a criterion": ItemFilter(criterion=1, verdict="error", text="always"),
    "a frequent word and a score": ItemFilter(criterion=1, low=0.2, high=0.21, text="always"),
    "a frequent word by score": ItemFilter(criterion=1, by_score=True, text="always"),
    "a word, 1 of 20, and a score": ItemFilter(criterion=1, low=0.2, high=0.21, text="word7"),
    "a word, 1 of 20, by score": ItemFilter(criterion=1, by_score=True, text="word7"),
    "two words, 1 of 400, by score": ItemFilter(criterion=1, by_score=True, text="word7 word8"),
}


CRITERIA = [
    {
        "id": f"{name}-{UUID(int=n)}",
        "name": name,
        "type": "string_check",
        "operation": "eq",
        "input": "a",
        "reference": "a",
    }
    for n, name in enumerate(("equal", "close"))
]


def fill(store: Store, n_rows: int, eval_id: str = "", seed: int = 0) -> tuple[int, str]:
    """A run with this many finished items of some 2 kB."""
    run_id = hex_id("evalrun", 1)
    if not eval_id:
        eval_id = hex_id("eval", 1)
        store.evals.add(EvalRecord(eval_id, 1, 1, "pages", "{}", "{}", dumps(CRITERIA).decode()))
    number = store.runs.add(
        run_id=run_id,
        eval_id=eval_id,
        created_at=1,
        name="",
        model="m",
        metadata="{}",
        data_source="{}",
        criteria=[one["id"] for one in CRITERIA],
    )
    assert number is not None
    draw, verdicts = random.Random(0), random.Random(seed)
    for start in range(0, n_rows, 1000):
        numbers = range(start, min(start + 1000, n_rows))
        texts = [" ".join(draw.choices(WORDS, k=100)) for _ in numbers]
        store.items.add(
            number,
            start,
            [
                NewItem(dumps({"question": f"always {text}", "n": n}).decode(), f"{n:064x}")
                for n, text in zip(numbers, texts, strict=True)
            ],
            last=numbers[-1] + 1 == n_rows,
        )
        store.items.finish(
            number, [finished(n, text, verdicts) for n, text in zip(numbers, texts, strict=True)]
        )
    store.runs.start(number)
    store.runs.end(number, "completed")
    return number, run_id


def finished(n: int, text: str, draw: random.Random) -> FinishedItem:
    score, error = draw.random(), "other_error" if n % 1000 == 7 else None
    scores = (
        ItemScore(0, 1.0, n % 3 != 0),
        ItemScore(1, None if error else score, score > 0.5 and not error, error),
    )
    status = "error" if error else "pass" if all(one.passed for one in scores) else "fail"
    return FinishedItem(n, 1, status, dumps({"output": [{"content": text}]}).decode(), "[]", scores)


def times(store: Store, run: int, run_id: str, wanted: ItemFilter, repeats: int) -> Iterator[float]:
    """Seconds for pages at different depths."""
    after: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        page = store.search.page(run, run_id, wanted, 100, after)
        dumps([[one.n, one.id, one.status, one.item, one.output] for one in page.rows])
        yield time.perf_counter() - started
        after = position(page.rows[-1], wanted) if page.has_more else []


def drawn(address: str, element: str) -> tuple[float, float]:
    """Milliseconds from the request of a page to its first paint, and to an element that its data makes."""
    from tests.server.chromium import chromium

    with chromium(address) as page:
        page.look(
            f"""new MutationObserver(() => {{ if (!window.drawnAt && document.querySelector('{element}')) window.drawnAt = performance.now(); }})
            .observe(document, {{ childList: true, subtree: true }}); if (document.querySelector('{element}')) window.drawnAt = performance.now(); 0"""
        )
        page.wait("window.drawnAt && performance.getEntriesByType('paint').length")
        return (
            page.look("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
            page.look("window.drawnAt"),
        )


def by_filter(store: Store, run: int, run_id: str, repeats: int = 30) -> Iterator[tuple[str, float, float]]:
    """Each filter with the median and the 99th percentile of its pages, in milliseconds."""
    for name, chosen in FILTERS.items():
        found = sorted(1000 * seconds for seconds in times(store, run, run_id, chosen, repeats))
        yield name, statistics.median(found), found[int(0.99 * len(found))]


def browsed(store: Store, run_id: str) -> Iterator[tuple[str, float, float, float | None]]:
    """Whole pages: the first paint and when the data is drawn, in milliseconds, and the goal of the latter in seconds."""
    from graders.engine.backends import Backends
    from tests.server.support import serving

    first = store.runs.get(run_id)
    assert first is not None
    pair = [fill(store, 10_000, first.eval_id, seed)[1] for seed in (1, 2)]
    compared = f"/compare?run_id={pair[0]}&run_id={pair[1]}"
    pages = {
        "evals": ("/", "tbody th a", None),
        "items of a run": (f"/evals/{first.eval_id}?run_id={run_id}", ".opener", None),
        "2 x 10,000 side by side, what flipped": (compared, ".pair-row", 1.5),
        "2 x 10,000 side by side, with figures": (compared, ".figures", 1.5),
    }
    with Backends() as backends, serving(backends, store=store) as server:
        for name, (path, element, goal) in pages.items():
            found = sorted(drawn(server.url + path, element) for _ in range(5))
            yield name, found[2][0], statistics.median(one[1] for one in found), goal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--browser", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, Store(Path(home)) as store:
        run, run_id = fill(store, wanted.rows)
        started = time.perf_counter()
        store.search.add_words(run, 3600)
        print(f"words of {wanted.rows:,} items added in {time.perf_counter() - started:.1f} s")
        for name, p50, p99 in by_filter(store, run, run_id, wanted.repeats):
            print(f"{name:40} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms")
        if wanted.browser:
            for name, paint, data, _ in browsed(store, run_id):
                print(f"{name:40} first paint {paint:5.0f} ms   drawn {data:6.0f} ms   (medians of 5)")


if __name__ == "__main__":
    main()
