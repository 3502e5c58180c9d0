"""The rows of runs: waiting, sampled, finished. Every step of a row is one commit, and is taken once.

The values here are named tuples: some of each are made for every row, at a quarter of a frozen dataclass's time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from graders.store.database import Database
from graders.store.ids import item_id, item_number
from graders.store.pages import Cursor, Page, page_of
from graders.store.tables.finished import FinishedItem, add_scores
from graders.store.tables.runs import ModelUsage, add_usage, exists

WAITING, SAMPLED, FINISHED = 0, 1, 2
#: Rows read at a time where all are wanted.
EACH = 1000


class NewItem(NamedTuple):
    """A row of a run's data.

    Attributes:
        item, sample: JSON texts; a sample only if the row has one.
        item_hash: Hash of the item's content.
        shown: The wire's `sample` if it is known, as JSON text; None: it is made from `sample`.
        item_id: The id of an imported output item; None: it is computed from the run and the number.
    """

    item: str
    item_hash: str
    sample: str | None = None
    shown: str | None = None
    item_id: str | None = None


class ItemRecord(NamedTuple):
    """A row of a run.

    Attributes:
        n: Its index in the data, from 0.
        created_at, status, shown, results: As in FinishedItem; None until it is finished.
        sample: The sample in the graders' form, as JSON text; None before there is one.
    """

    n: int
    id: str
    state: int
    item: str
    item_hash: str
    sample: str | None
    created_at: int | None
    status: str | None
    shown: str | None
    results: str | None


_SELECT = "SELECT n, id, state, item, item_hash, sample, created_at, status, shown, results FROM items"


class ItemTable:
    """Operations on the rows of runs, which are given by number. Rows of a deleted run are dropped."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: int, start: int, rows: Iterable[NewItem], *, last: bool) -> None:
        """Append rows to a run.

        Args:
            start: The number of the first one, which is the number of existing rows.
            last: Whether these are the last rows; the run's number of rows is then set.
        """
        with self._database.write() as db:
            if not exists(db, run):
                return
            numbered = [
                (
                    run,
                    n,
                    row.item_id,
                    WAITING if row.sample is None else SAMPLED,
                    row.item,
                    row.item_hash,
                    row.sample,
                    row.shown,
                )
                for n, row in enumerate(rows, start)
            ]
            db.executemany(
                "INSERT INTO items (run, n, id, state, item, item_hash, sample, shown)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                numbered,
            )  # fmt: skip
            if last:
                db.execute("UPDATE runs SET n_rows = ? WHERE seq = ?", (start + len(numbered), run))

    def add_finished(
        self,
        run: int,
        start: int,
        rows: Sequence[tuple[NewItem, FinishedItem]],
        usage: Iterable[ModelUsage] = (),
        *,
        last: bool,
    ) -> None:
        """Append rows that were graded elsewhere, and count them; as `add` and `finish` in one step."""
        with self._database.write() as db:
            if not exists(db, run):
                return
            db.executemany(
                "INSERT INTO items (run, n, id, created_at, state, status, item, item_hash, sample, shown, results)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (run, done.n, new.item_id, done.created_at, FINISHED, done.status, new.item, new.item_hash,
                     new.sample, done.shown, done.results)
                    for new, done in rows
                ],
            )  # fmt: skip
            add_scores(db, run, [done for _, done in rows])
            add_usage(db, run, usage)
            if last:
                db.execute("UPDATE runs SET n_rows = ? WHERE seq = ?", (start + len(rows), run))

    def count(self, run: int) -> int:
        """The number of added rows, which are numbered without gaps."""
        found = self._database.read().execute("SELECT max(n) FROM items WHERE run = ?", (run,)).fetchone()[0]
        return 0 if found is None else found + 1

    def unfinished(self, run: int, after: int, limit: int) -> list[ItemRecord]:
        """Unfinished rows after a number."""
        rows = self._database.read().execute(
            f"{_SELECT} WHERE run = ? AND n > ? AND state < ? ORDER BY n LIMIT ?",
            (run, after, FINISHED, limit),
        )
        return [ItemRecord(*row) for row in rows]

    def all(self, run: int, after: int, limit: int) -> list[ItemRecord]:
        """Rows after a number, finished or not."""
        rows = self._database.read().execute(
            f"{_SELECT} WHERE run = ? AND n > ? ORDER BY n LIMIT ?", (run, after, limit)
        )
        return [ItemRecord(*row) for row in rows]

    def sampled(self, run: int, samples: Iterable[tuple[int, str, str]], usage: Iterable[ModelUsage]) -> None:
        """Store samples, each as (number, sample, shown), with their usage."""
        with self._database.write() as db:
            if not exists(db, run):
                return
            db.executemany(
                f"UPDATE items SET state = {SAMPLED}, sample = ?, shown = ? WHERE run = ? AND n = ? AND state = {WAITING}",
                [(sample, shown, run, n) for n, sample, shown in samples],
            )
            add_usage(db, run, usage)

    def finish(self, run: int, rows: Sequence[FinishedItem], usage: Iterable[ModelUsage] = ()) -> None:
        """Store results and count them. A row that is finished or deleted is skipped."""
        with self._database.write() as db:
            if not exists(db, run):
                return
            new = []
            for row in rows:
                done = db.execute(
                    f"UPDATE items SET state = {FINISHED}, created_at = ?, status = ?, shown = ?, results = ?"
                    f" WHERE run = ? AND n = ? AND state < {FINISHED}",
                    (row.created_at, row.status, row.shown, row.results, run, row.n),
                )
                if done.rowcount:
                    new.append(row)
            add_scores(db, run, new)
            add_usage(db, run, usage)

    def page(self, run: int, run_id: str, cursor: Cursor, status: str | None = None) -> Page[ItemRecord]:
        """Finished rows in the order of the data."""
        db = self._database.read()
        values: list[int | str] = [run]
        where = f"run = ? AND state = {FINISHED}"
        if status is not None:
            where, values = "run = ? AND status = ?", [run, status]
        number = self._number(db, run, run_id, cursor.after) if cursor.after else None
        start = None if number is None else (number,)
        found = page_of(db, _SELECT, where, values, cursor, start=start, order=("n",))
        return Page([_with_id(row, run_id) for row in found.rows], found.has_more)

    def each(self, run: int, run_id: str) -> Iterator[ItemRecord]:
        """All finished rows in the order of the data."""
        cursor = Cursor(EACH)
        while True:
            page = self.page(run, run_id, cursor)
            yield from page.rows
            if not page.has_more:
                return
            cursor = Cursor(EACH, page.rows[-1].id)

    def get(self, run: int, run_id: str, wanted: str) -> ItemRecord | None:
        """A finished row by its id."""
        db = self._database.read()
        number = self._number(db, run, run_id, wanted)
        if number is None:
            return None
        row = db.execute(f"{_SELECT} WHERE run = ? AND n = ?", (run, number)).fetchone()
        return _with_id(row, run_id)

    # --- for comparing runs ---

    def hashes(self, run: int) -> Iterator[tuple[int, str]]:
        """Numbers of the finished rows, and the hashes of their items."""
        rows = self._database.read().execute(
            f"SELECT n, item_hash FROM items WHERE run = ? AND state = {FINISHED} ORDER BY n", (run,)
        )
        return ((row[0], row[1]) for row in rows)

    def statuses(self, run: int) -> dict[int, bool | None]:
        """Number -> whether the row passed; None for an error."""
        # those with a status are finished; by the status, so that the index alone is read
        rows = self._database.read().execute(
            "SELECT n, status FROM items WHERE run = ? AND status IS NOT NULL", (run,)
        )
        return {row[0]: None if row[1] == "error" else row[1] == "pass" for row in rows}

    def verdicts(self, run: int, criterion: int) -> dict[int, bool | None]:
        """Number -> whether the row passed by one criterion; None for an error."""
        rows = self._database.read().execute(
            "SELECT n, passed, error FROM scores WHERE run = ? AND criterion = ?", (run, criterion)
        )
        return {row[0]: bool(row[1]) if row[2] is None else None for row in rows}

    def _number(self, db: sqlite3.Connection, run: int, run_id: str, wanted: str) -> int | None:
        """The number of the finished row with that id."""
        number = item_number(wanted)
        if number is not None:
            row = db.execute(
                "SELECT id, created_at FROM items WHERE run = ? AND n = ?", (run, number)
            ).fetchone()
            if (
                row is not None
                and row["id"] is None
                and row["created_at"] is not None
                and item_id(run_id, number, row["created_at"]) == wanted
            ):
                return number
        row = db.execute("SELECT n FROM items WHERE run = ? AND id = ?", (run, wanted)).fetchone()
        return None if row is None else int(row["n"])


def _with_id(row: sqlite3.Row, run_id: str) -> ItemRecord:
    """A finished row, with its id computed if it has no own one."""
    n, own_id, created_at = row["n"], row["id"], row["created_at"]
    return ItemRecord(n, item_id(run_id, n, created_at or 0) if own_id is None else own_id, *row[2:])
