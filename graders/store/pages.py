"""Pages of lists, addressed by the id of the last row, so that every page of a list costs the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position and size of a page.

    Attributes:
        limit: Rows, at least 1.
        after: The id of the row before the page; "" and unknown ids mean the start.
        descending: Whether the newest rows come first.
    """

    limit: int = 20
    after: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of a list, and whether more follow."""

    rows: list[T]
    has_more: bool


def page_of(
    db: sqlite3.Connection,
    select: str,
    where: str,
    values: Sequence[Any],
    cursor: Cursor,
    *,
    start: Sequence[Any] | None,
    order: Sequence[str] = ("seq",),
) -> Page[sqlite3.Row]:
    """Read one page of a list.

    Args:
        select: The statement up to its WHERE.
        where, values: The condition of the list.
        start: The ordering columns of the row `cursor.after`; None: the beginning.
        order: The ordering columns, together unique.
    """
    conditions, bound = [where], list(values)
    if start is not None:
        columns, places = ", ".join(order), ", ".join("?" * len(order))
        conditions.append(f"({columns}) {'<' if cursor.descending else '>'} ({places})")
        bound += start
    direction = "DESC" if cursor.descending else "ASC"
    ordering = ", ".join(f"{column} {direction}" for column in order)
    statement = f"{select} WHERE {' AND '.join(conditions)} ORDER BY {ordering} LIMIT ?"
    rows = db.execute(statement, (*bound, cursor.limit + 1)).fetchall()
    return Page(rows[: cursor.limit], len(rows) > cursor.limit)
