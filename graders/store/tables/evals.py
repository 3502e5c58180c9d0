"""Records of evals."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import astuple, dataclass, fields

from graders.store.database import Database
from graders.store.pages import Cursor, Page, page_of


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One eval; `metadata`, `data_source_config` and `testing_criteria` are JSON texts of the wire."""

    id: str
    created_at: int
    updated_at: int
    name: str
    metadata: str
    data_source_config: str
    testing_criteria: str


_COLUMNS = ", ".join(field.name for field in fields(EvalRecord))
_SELECT = f"SELECT {_COLUMNS} FROM evals"


class EvalTable:
    """Operations on evals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: EvalRecord) -> None:
        with self._database.write() as db:
            places = ", ".join("?" * len(fields(EvalRecord)))
            db.execute(f"INSERT INTO evals ({_COLUMNS}) VALUES ({places})", astuple(record))

    def get(self, eval_id: str) -> EvalRecord | None:
        row = self._database.read().execute(f"{_SELECT} WHERE id = ?", (eval_id,)).fetchone()
        return None if row is None else EvalRecord(*row)

    def page(self, cursor: Cursor, *, by_update: bool = False) -> Page[EvalRecord]:
        """A page of evals in the order of their creation, or of their last update."""
        db = self._database.read()
        order = ("updated_at", "seq") if by_update else ("seq",)
        start = db.execute(f"SELECT {', '.join(order)} FROM evals WHERE id = ?", (cursor.after,)).fetchone()
        found = page_of(db, _SELECT, "true", (), cursor, start=start, order=order)
        return Page([EvalRecord(*row) for row in found.rows], found.has_more)

    def update(self, eval_id: str, *, name: str | None = None, metadata: str | None = None) -> bool:
        """Change an eval's name or metadata, if not None; returns whether it exists."""
        with self._database.write() as db:
            done = db.execute(
                "UPDATE evals SET name = coalesce(?, name), metadata = coalesce(?, metadata), updated_at = ?"
                " WHERE id = ?",
                (name, metadata, int(time.time()), eval_id),
            )
            return done.rowcount > 0

    def delete(self, eval_id: str) -> bool:
        """Delete an eval with its runs and their items; returns whether it existed."""
        with self._database.write() as db:
            return db.execute("DELETE FROM evals WHERE id = ?", (eval_id,)).rowcount > 0


def eval_number(db: sqlite3.Connection, eval_id: str) -> int | None:
    """The number by which other tables refer to an eval."""
    row = db.execute("SELECT seq FROM evals WHERE id = ?", (eval_id,)).fetchone()
    return None if row is None else int(row[0])
