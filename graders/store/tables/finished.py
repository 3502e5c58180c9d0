"""Finished rows: their scores by criterion, and the run's counts on the wire."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple


class ItemScore(NamedTuple):
    """The score of a row by one criterion, given by its index in the eval; `error` is the wire's flag of a failure."""

    criterion: int
    score: float | None
    passed: bool
    error: str | None = None


class FinishedItem(NamedTuple):
    """A graded row.

    Attributes:
        status: "pass", "fail" or "error".
        shown: The wire's `sample`, as JSON text.
        results: The wire's `results`, as JSON text.
    """

    n: int
    created_at: int
    status: str
    shown: str
    results: str
    scores: tuple[ItemScore, ...]


def add_scores(db: sqlite3.Connection, run: int, rows: Sequence[FinishedItem]) -> None:
    """Add the scores of finished rows, and count the rows by status and by criterion."""
    statuses = Counter(row.status for row in rows)
    db.execute(
        "UPDATE runs SET passed = passed + ?, failed = failed + ?, errored = errored + ? WHERE seq = ?",
        (statuses["pass"], statuses["fail"], statuses["error"], run),
    )
    counts: defaultdict[int, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0, 0.0])
    scores = []
    for row in rows:
        for one in row.scores:
            scores.append((run, one.criterion, row.n, one.score, one.passed, one.error))
            count = counts[one.criterion]
            count[2 if one.error else 0 if one.passed else 1] += 1
            if one.error is None and one.score is not None:
                count[3] += one.score
                count[4] += one.score * one.score
    db.executemany("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?)", scores)
    db.executemany(
        """UPDATE run_criteria SET passed = passed + ?, failed = failed + ?, errored = errored + ?,
            score_sum = score_sum + ?, score_square_sum = score_square_sum + ? WHERE run = ? AND criterion = ?""",
        [(*count, run, criterion) for criterion, count in counts.items()],
    )
