"""Searches a run's finished items: filtered, in the order of the data or of a score."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from graders.jsontext import loads
from graders.store.database import Database
from graders.store.ids import item_id
from graders.store.pages import Page
from graders.store.tables.filters import VERDICTS, ItemFilter, status_mark, verdict_mark
from graders.store.tables.finished import ItemScore
from graders.store.tables.items import FINISHED
from graders.store.tables.matches import MatchCache, numbers_by_score, score_range

#: Characters of a text in a list.
SHOWN_CHARS = 300
#: Characters of an item that are indexed.
SEARCHED_CHARS = 20_000
#: Items whose words are added in one transaction.
CHUNK = 200

_SELECT = f"""SELECT i.n, i.id, i.created_at, i.status, substr(i.item, 1, {SHOWN_CHARS}),
    substr(coalesce(json_extract(i.shown, '$.output[0].content'),
        json_extract(i.shown, '$.output[0].tool_calls'), ''), 1, {SHOWN_CHARS})"""
_VERDICT = "(CASE WHEN s.error IS NULL THEN s.passed ELSE 2 END)"


class FoundItem(NamedTuple):
    """An item in a list.

    Attributes:
        item, output: Beginnings of the item's JSON text and of the output's text.
        scores: Scores by the criterion's index.
    """

    n: int
    id: str
    status: str
    item: str
    output: str
    scores: tuple[ItemScore, ...]


class ItemSearch:
    """Finds items of a run, which is given by its number."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._matches = MatchCache()

    def page(
        self, run: int, run_id: str, wanted: ItemFilter, limit: int, after: Sequence[float] = ()
    ) -> Page[FoundItem]:
        """A page of the items that match a filter.

        Args:
            after: `position` of the item before the page; () for the start.
        """
        db = self._database.read()
        if wanted.words and wanted.ranged:
            matches = self._matches.find(db, run, wanted.words)
            numbers = numbers_by_score(db, run, wanted, matches, limit + 1, after)
            found = self.some(run, run_id, numbers[:limit])
            # an item of a run that was deleted meanwhile is not there
            return Page([found[n] for n in numbers[:limit] if n in found], len(numbers) > limit)
        tables, conditions, values = _where(run, wanted)
        number = "w.rowid" if wanted.words else "s.n" if wanted.scored else "i.n"
        order = ("s.score", "s.n") if wanted.ranged else (number,)
        if len(after) == len(order):
            conditions.append(f"({', '.join(order)}) > ({_places(order)})")
            values += [*after[:-1], after[-1] + (run << 32 if wanted.words else 0)]
        statement = (
            f"{_SELECT} FROM {tables} WHERE {' AND '.join(conditions)} ORDER BY {', '.join(order)} LIMIT ?"
        )
        rows = db.execute(statement, (*values, limit + 1)).fetchall()
        return Page(list(_found(db, run, run_id, rows[:limit])), len(rows) > limit)

    def some(self, run: int, run_id: str, numbers: Sequence[int]) -> dict[int, FoundItem]:
        """Items by their numbers."""
        db = self._database.read()
        rows = db.execute(
            f"{_SELECT} FROM items i WHERE run = ? AND n IN ({_places(numbers)})", (run, *numbers)
        ).fetchall()
        return {one.n: one for one in _found(db, run, run_id, rows)}

    def add_words(self, run: int, seconds: float) -> int:
        """Index the words of more items for about `seconds`; returns the number of searchable items.

        While the run is in progress it stops at the first unfinished item.
        """
        until = time.monotonic() + seconds
        while (count := self._add_chunk(run)) is not None and time.monotonic() < until:
            pass
        if count is None:
            row = (
                self._database.read()
                .execute("SELECT n_searchable FROM runs WHERE seq = ?", (run,))
                .fetchone()
            )
            count = 0 if row is None else row[0]
        return count

    def _add_chunk(self, run: int) -> int | None:
        """Index one more chunk; returns the number of searchable items, or None when there is none to add."""
        with self._database.write() as db:
            found = db.execute("SELECT n_searchable, ended_at FROM runs WHERE seq = ?", (run,)).fetchone()
            if found is None:
                return None
            start, ended = found
            rows = db.execute(
                "SELECT n, state, status, item, shown FROM items WHERE run = ? AND n >= ? ORDER BY n LIMIT ?",
                (run, start, CHUNK),
            ).fetchall()
            if ended is None:
                unfinished = (place for place, row in enumerate(rows) if row["state"] < FINISHED)
                rows = rows[: next(unfinished, len(rows))]
            if not rows:
                return None
            marks = {row["n"]: [status_mark(row["status"])] for row in rows}
            for n, criterion, verdict in db.execute(
                f"""SELECT n, criterion, {_VERDICT} FROM scores s WHERE run = ? AND n BETWEEN ? AND ?
                AND criterion IN (SELECT criterion FROM run_criteria WHERE run = ?)""",
                (run, rows[0]["n"], rows[-1]["n"], run),
            ):
                marks[n].append(verdict_mark(criterion, verdict))
            db.executemany(
                "INSERT INTO item_words (rowid, words, marks) VALUES (?, ?, ?)",
                [
                    ((run << 32) + row["n"], _words(row["item"], row["shown"]), " ".join(marks[row["n"]]))
                    for row in rows
                ],
            )
            end: int = rows[-1]["n"] + 1
            db.execute("UPDATE runs SET n_searchable = ? WHERE seq = ?", (end, run))
            return end


def position(item: FoundItem, wanted: ItemFilter) -> list[float]:
    """The position of an item in a filter's order."""
    if not wanted.ranged:
        return [item.n]
    return [next(one.score or 0.0 for one in item.scores if one.criterion == wanted.criterion), item.n]


def _where(run: int, wanted: ItemFilter) -> tuple[str, list[str], list[Any]]:
    """Tables, the most selective one first, conditions and their values; not for words together with a range of scores.

    CROSS JOIN makes SQLite keep that order, which it has no statistics to find itself. The index of words knows an
    item's status and verdicts, so that with words nothing is looked at elsewhere.
    """
    tables = ["items i"]
    conditions = ["i.run = ?", f"i.state = {FINISHED}"]
    values: list[Any] = [run]
    if wanted.words:
        tables.insert(0, "item_words w")
        conditions += ["w.item_words MATCH ?", "w.rowid BETWEEN ? AND ?", "i.n = w.rowid - ?"]
        values += [wanted.words, run << 32, (run << 32) + 2**32 - 1, run << 32]
    elif wanted.scored:
        tables.insert(0, "scores s" if wanted.ranged else "scores s INDEXED BY score_by_verdict")
        conditions += ["s.run = ?", "s.criterion = ?", "s.n = i.n"]
        values += [run, wanted.criterion]
        if wanted.verdict is not None:
            conditions.append(f"{_VERDICT} = ?")
            values.append(VERDICTS[wanted.verdict])
        if wanted.ranged:
            bounds, ends = score_range(wanted)
            conditions += bounds
            values += ends
    if wanted.status is not None and not wanted.words:
        conditions.append("i.status = ?")
        values.append(wanted.status)
    return " CROSS JOIN ".join(tables), conditions, values


def _words(item: str, shown: str | None) -> str:
    """The texts of an item and of its output."""
    texts = [*_texts(loads(item.encode()))]
    if shown is not None:
        texts += _texts(loads(shown.encode()).get("output"))
    return "\n".join(text for text in texts if not text.startswith("data:"))[:SEARCHED_CHARS]


def _texts(value: Any) -> Iterator[str]:
    """The texts in a JSON value, with numbers as text."""
    values = [value]
    while values:
        one = values.pop()
        if isinstance(one, dict):
            values.extend(reversed(one.values()))
        elif isinstance(one, list):
            values.extend(reversed(one))
        elif one is not None and not isinstance(one, bool):
            yield str(one)


def _places(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _found(db: sqlite3.Connection, run: int, run_id: str, rows: Iterable[sqlite3.Row]) -> Iterator[FoundItem]:
    rows = list(rows)
    numbers = [row[0] for row in rows]
    criteria = [row[0] for row in db.execute("SELECT criterion FROM run_criteria WHERE run = ?", (run,))]
    scores: dict[int, list[ItemScore]] = {n: [] for n in numbers}
    for n, *score in db.execute(
        f"""SELECT n, criterion, score, passed, error FROM scores
        WHERE run = ? AND criterion IN ({_places(criteria)}) AND n IN ({_places(numbers)}) ORDER BY criterion""",
        (run, *criteria, *numbers),
    ):
        scores[n].append(ItemScore(score[0], score[1], bool(score[2]), score[3]))
    for n, given, created_at, status, item, output in rows:
        yield FoundItem(
            n, given or item_id(run_id, n, created_at or 0), status, item, output, tuple(scores[n])
        )
