"""Parts of lists, by the id of the last row seen: as deep in a list as at its start, the next part costs the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Which part of a list.

    Attributes:
        limit: Rows, at least 1.
        after: The id of the row before the first; "" and ids that are not in the list: the start.
        descending: From the newest.
    """

    limit: int = 20
    after: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list, and whether there are more behind them."""

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
    """One part of a list.

    Args:
        select: The statement up to its WHERE.
        where, values: The condition for all of the list.
        start: The ordering columns of the row named by `cursor.after`; None: from the beginning.
        order: Columns, together unique.
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
