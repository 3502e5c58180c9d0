"""Runs of evals with their status and counts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graders.store.database import Database
from graders.store.pages import Cursor, Page, page_of
from graders.store.tables.evals import eval_number


@dataclass(frozen=True, slots=True)
class CriterionCounts:
    """Numbers of items that passed, failed and could not be graded by one criterion, and sums of its scores."""

    name: str
    passed: int = 0
    failed: int = 0
    errored: int = 0
    score_sum: float = 0.0
    score_square_sum: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens of one model in one run; `role` is "sampler" or "grader"."""

    model: str
    role: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run.

    Attributes:
        number: The number by which other tables refer to it.
        metadata, error, data_source: JSON texts of the wire; error is None without one.
        n_rows: Number of rows in its data; None until they have been read.
        passed, failed, errored: Numbers of items so far.
    """

    number: int
    id: str
    eval_id: str
    created_at: int
    started_at: int | None
    ended_at: int | None
    name: str
    model: str | None
    status: str
    metadata: str
    error: str | None
    n_rows: int | None
    passed: int
    failed: int
    errored: int
    data_source: str
    criteria: tuple[CriterionCounts, ...]
    usage: tuple[ModelUsage, ...]

    @property
    def done(self) -> int:
        return self.passed + self.failed + self.errored


_COLUMNS = """runs.seq, runs.id, evals.id AS eval_id, runs.created_at, started_at, ended_at, runs.name, model,
    status, runs.metadata, error, n_rows, passed, failed, errored"""
_SELECT = f"""SELECT {_COLUMNS}, data_source
    FROM runs JOIN evals ON evals.seq = runs.eval JOIN run_sources ON run_sources.run = runs.seq"""
_WITHOUT_SOURCE = f"SELECT {_COLUMNS}, '' FROM runs JOIN evals ON evals.seq = runs.eval"


class RunTable:
    """Operations on runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        *,
        run_id: str,
        eval_id: str,
        created_at: int,
        name: str,
        model: str | None,
        metadata: str,
        data_source: str,
        criteria: Sequence[str],
        status: str = "queued",
    ) -> int | None:
        """Add a run; returns its number, or None when the eval does not exist."""
        with self._database.write() as db:
            parent = eval_number(db, eval_id)
            if parent is None:
                return None
            number = db.execute(
                "INSERT INTO runs (id, eval, created_at, name, model, status, metadata)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run_id, parent, created_at, name, model, status, metadata),
            ).lastrowid
            db.execute("INSERT INTO run_sources VALUES (?, ?)", (number, data_source))
            db.executemany(
                "INSERT INTO run_criteria (run, criterion, name) VALUES (?, ?, ?)",
                [(number, place, criterion) for place, criterion in enumerate(criteria)],
            )
            return number

    def get(self, run_id: str, eval_id: str | None = None, *, source: bool = True) -> RunRecord | None:
        """A run, of one eval where that is given.

        Args:
            source: Read `data_source` too, which inline rows make large; else it is "".
        """
        db = self._database.read()
        select = _SELECT if source else _WITHOUT_SOURCE
        row = db.execute(f"{select} WHERE runs.id = ?", (run_id,)).fetchone()
        if row is None or eval_id not in (None, row["eval_id"]):
            return None
        return _record(db, row)

    def page(
        self, eval_id: str, cursor: Cursor, status: str | None = None, *, source: bool = True
    ) -> Page[RunRecord]:
        """A page of an eval's runs in the order of their creation.

        Args:
            source: Read `data_source` too, as in `get`.
        """
        db = self._database.read()
        where, values = "evals.id = ?", [eval_id]
        if status is not None:
            where, values = f"{where} AND status = ?", [*values, status]
        start = db.execute("SELECT seq FROM runs WHERE id = ?", (cursor.after,)).fetchone()
        select = _SELECT if source else _WITHOUT_SOURCE
        found = page_of(db, select, where, values, cursor, start=start, order=("runs.seq",))
        return Page([_record(db, row) for row in found.rows], found.has_more)

    def to_execute(self) -> list[tuple[int, str]]:
        """Numbers and ids of the runs that are queued or in progress, the oldest first."""
        rows = self._database.read().execute(
            "SELECT seq, id FROM runs WHERE status IN ('queued', 'in_progress') ORDER BY seq"
        )
        return [(row[0], row[1]) for row in rows]

    def statuses(self, numbers: Iterable[int]) -> dict[int, str]:
        """number -> status, of the existing runs."""
        wanted = list(numbers)
        places = ", ".join("?" * len(wanted))
        rows = self._database.read().execute(f"SELECT seq, status FROM runs WHERE seq IN ({places})", wanted)
        return {row[0]: row[1] for row in rows}

    def start(self, number: int) -> bool:
        """Change a queued run to in_progress; returns whether it is still to be executed."""
        with self._database.write() as db:
            done = db.execute(
                "UPDATE runs SET status = 'in_progress', started_at = coalesce(started_at, ?)"
                " WHERE seq = ? AND status IN ('queued', 'in_progress')",
                (int(time.time()), number),
            )
            return done.rowcount > 0

    def end(self, number: int, status: str, error: str | None = None) -> bool:
        """Set the final status of a run that is queued or in progress; returns whether it was."""
        with self._database.write() as db:
            done = db.execute(
                "UPDATE runs SET status = ?, error = ?, ended_at = ?"
                " WHERE seq = ? AND status IN ('queued', 'in_progress')",
                (status, error, int(time.time()), number),
            )
            return done.rowcount > 0

    def add_criterion(self, number: int, place: int, name: str) -> None:
        """Add a criterion to a run whose import finds its criteria row by row."""
        with self._database.write() as db:
            db.execute(
                "INSERT INTO run_criteria (run, criterion, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (number, place, name),
            )

    def end_import(self, number: int, status: str, error: str | None) -> None:
        """Set the final status of an imported run."""
        with self._database.write() as db:
            db.execute(
                "UPDATE runs SET status = ?, error = ?, started_at = created_at, ended_at = ?"
                " WHERE seq = ? AND status = 'importing'",
                (status, error, int(time.time()), number),
            )

    def delete(self, run_id: str, eval_id: str) -> bool:
        """Delete a run with its items; returns whether it existed."""
        with self._database.write() as db:
            parent = eval_number(db, eval_id)
            done = db.execute("DELETE FROM runs WHERE id = ? AND eval = ?", (run_id, parent))
            return done.rowcount > 0

    def delete_older(self, ended_before: int) -> int:
        """Delete the runs that ended before a time; returns their number."""
        with self._database.write() as db:
            return db.execute("DELETE FROM runs WHERE ended_at < ?", (ended_before,)).rowcount


def _record(db: sqlite3.Connection, row: sqlite3.Row) -> RunRecord:
    number = row["seq"]
    criteria = db.execute(
        "SELECT name, passed, failed, errored, score_sum, score_square_sum FROM run_criteria WHERE run = ?"
        " ORDER BY criterion",
        (number,),
    )
    usage = db.execute(
        "SELECT model, role, calls, prompt_tokens, completion_tokens, total_tokens, cached_tokens"
        " FROM run_usage WHERE run = ? ORDER BY role DESC, model",
        (number,),
    )
    counted = tuple(CriterionCounts(*found) for found in criteria)
    return RunRecord(*(*row, counted, tuple(ModelUsage(*found) for found in usage)))


def exists(db: sqlite3.Connection, run: int) -> bool:
    """Whether the run exists; for use within a transaction."""
    return db.execute("SELECT 1 FROM runs WHERE seq = ?", (run,)).fetchone() is not None


def add_usage(db: sqlite3.Connection, run: int, usage: Iterable[ModelUsage]) -> None:
    """Add tokens to a run's counts; for use within a transaction."""
    db.executemany(
        """INSERT INTO run_usage VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
            calls = calls + excluded.calls,
            prompt_tokens = prompt_tokens + excluded.prompt_tokens,
            completion_tokens = completion_tokens + excluded.completion_tokens,
            total_tokens = total_tokens + excluded.total_tokens,
            cached_tokens = cached_tokens + excluded.cached_tokens""",
        [
            (run, one.model, one.role, one.calls, one.prompt_tokens, one.completion_tokens, one.total_tokens,
             one.cached_tokens)
            for one in usage
        ],
    )  # fmt: skip
