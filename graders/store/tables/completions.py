"""Logged chat completions and responses with their requests, for evals to read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from graders.store.database import Database
from graders.store.pages import Cursor, Page, page_of


@dataclass(frozen=True, slots=True)
class LoggedCompletion:
    """One request and its response; `metadata`, `request` and `response` are JSON text.

    Attributes:
        api: "chat" or "responses".
    """

    id: str
    api: str
    created_at: int
    expires_at: int | None
    model: str
    metadata: str
    request: str
    response: str


@dataclass(frozen=True, slots=True)
class CompletionFilter:
    """A selection of logged completions; None and empty fields select all.

    Attributes:
        metadata: Pairs that a completion's metadata must have.
    """

    api: str
    model: str | None = None
    metadata: Sequence[tuple[str, str]] = ()
    created_after: int | None = None
    created_before: int | None = None


_COLUMNS = ", ".join(field.name for field in fields(LoggedCompletion))
_SELECT = f"SELECT {_COLUMNS} FROM completions"


class CompletionTable:
    """Operations on logged completions. Expired ones are hidden."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: Iterable[LoggedCompletion]) -> int:
        """Store completions; returns the number of new ids."""
        with self._database.write() as db:
            before = db.total_changes
            places = ", ".join("?" * len(fields(LoggedCompletion)))
            db.executemany(
                f"INSERT INTO completions ({_COLUMNS}) VALUES ({places}) ON CONFLICT DO NOTHING",
                [astuple(record) for record in records],
            )
            return db.total_changes - before

    def get(self, completion_id: str, api: str) -> LoggedCompletion | None:
        where, values = _where(CompletionFilter(api))
        row = (
            self._database.read()
            .execute(f"{_SELECT} WHERE id = ? AND {where}", (completion_id, *values))
            .fetchone()
        )
        return None if row is None else LoggedCompletion(*row)

    def page(self, selection: CompletionFilter, cursor: Cursor) -> Page[LoggedCompletion]:
        """A page of selected completions, in the order in which they were stored."""
        db = self._database.read()
        where, values = _where(selection)
        start = db.execute("SELECT seq FROM completions WHERE id = ?", (cursor.after,)).fetchone()
        found = page_of(db, _SELECT, where, values, cursor, start=start)
        return Page([LoggedCompletion(*row) for row in found.rows], found.has_more)

    def select(self, selection: CompletionFilter) -> Iterator[LoggedCompletion]:
        """All selected completions, in the order in which they were stored."""
        where, values = _where(selection)
        rows = self._database.read().execute(f"{_SELECT} WHERE {where} ORDER BY seq", values)
        return (LoggedCompletion(*row) for row in rows)

    def update(self, completion_id: str, metadata: str) -> bool:
        """Replace a completion's metadata; returns whether it exists."""
        with self._database.write() as db:
            done = db.execute("UPDATE completions SET metadata = ? WHERE id = ?", (metadata, completion_id))
            return done.rowcount > 0

    def delete(self, completion_id: str, api: str) -> bool:
        """Delete a completion; returns whether it existed."""
        with self._database.write() as db:
            done = db.execute("DELETE FROM completions WHERE id = ? AND api = ?", (completion_id, api))
            return done.rowcount > 0

    def sweep(self) -> None:
        """Delete expired completions."""
        with self._database.write() as db:
            db.execute("DELETE FROM completions WHERE expires_at <= ?", (int(time.time()),))


def _where(selection: CompletionFilter) -> tuple[str, list[Any]]:
    conditions = ["api = ?", "(expires_at IS NULL OR expires_at > ?)"]
    values: list[Any] = [selection.api, int(time.time())]
    for column, sign, value in (
        ("model", "=", selection.model),
        ("created_at", ">", selection.created_after),
        ("created_at", "<", selection.created_before),
    ):
        if value is not None:
            conditions.append(f"{column} {sign} ?")
            values.append(value)
    for key, wanted in selection.metadata:
        conditions.append("EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ? AND value = ?)")
        values += [key, wanted]
    return " AND ".join(conditions), values
