"""Searches a run's finished items: filtered, in the order of the data or of a score."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from graders.jsontext import loads
from graders.store.database import Database
from graders.store.ids import item_id
from graders.store.pages import Page
from graders.store.tables.finished import ItemScore
from graders.store.tables.items import FINISHED

#: Characters of a text in a list.
SHOWN_CHARS = 300
#: Characters of an item that are indexed.
SEARCHED_CHARS = 20_000
#: Items whose words are added in one transaction.
CHUNK = 200

#: A criterion's verdict in a query -> its code in the index.
VERDICTS = {"fail": 0, "pass": 1, "error": 2}
_SELECT = f"""SELECT i.n, i.id, i.created_at, i.status, substr(i.item, 1, {SHOWN_CHARS}),
    substr(coalesce(json_extract(i.shown, '$.output[0].content'),
        json_extract(i.shown, '$.output[0].tool_calls'), ''), 1, {SHOWN_CHARS})"""
_VERDICT = "(CASE WHEN s.error IS NULL THEN s.passed ELSE 2 END)"


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """A filter of items; fields that are None or "" have no effect.

    Attributes:
        status: The item's status: "pass", "fail" or "error".
        criterion: Index of the criterion for `verdict`, `low`, `high` and `by_score`.
        verdict: The criterion's verdict: "pass", "fail" or "error".
        low, high: Inclusive bounds of the score. The items are then in the order of their scores.
        by_score: Whether to order by score, the lowest first, also without bounds; items without a score are left out.
        text: Words that the item or the output must contain, all of them; "begin*" matches every word with that prefix.
    """

    status: str | None = None
    criterion: int | None = None
    verdict: str | None = None
    low: float | None = None
    high: float | None = None
    by_score: bool = False
    text: str = ""

    @property
    def ranged(self) -> bool:
        """Whether items are in the order of a score."""
        return self.criterion is not None and (self.by_score or self.low is not None or self.high is not None)

    @property
    def scored(self) -> bool:
        """Whether it depends on one criterion's result."""
        return self.criterion is not None and (self.ranged or self.verdict is not None)

    @property
    def words(self) -> str:
        """`text` as FTS5 takes it, with the status and the verdict; "" where `text` has no word."""
        words = [word for word in self.text.replace("\0", " ").split() if any(map(str.isalnum, word))]
        if not words:
            return ""
        quoted = (_quoted(word.removesuffix("*")) + "*" * word.endswith("*") for word in words)
        marks = [] if self.status is None else [_status_mark(self.status)]
        if self.criterion is not None and self.verdict is not None:
            marks.append(_verdict_mark(self.criterion, VERDICTS[self.verdict]))
        return " AND ".join([f"words : ({' '.join(quoted)})", *(f"marks : {mark}" for mark in marks)])


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

    def page(
        self, run: int, run_id: str, wanted: ItemFilter, limit: int, after: Sequence[float] = ()
    ) -> Page[FoundItem]:
        """A page of the items that match a filter.

        Args:
            after: `position` of the item before the page; () for the start.
        """
        tables, conditions, values = _where(run, wanted)
        number = "w.rowid" if wanted.words else "s.n" if wanted.scored else "i.n"
        order = ("s.score", "s.n") if wanted.ranged else (number,)
        if len(after) == len(order):
            conditions.append(f"({', '.join(order)}) > ({_places(order)})")
            values += [*after[:-1], after[-1] + (run << 32 if number in order and wanted.words else 0)]
        statement = (
            f"{_SELECT} FROM {tables} WHERE {' AND '.join(conditions)} ORDER BY {', '.join(order)} LIMIT ?"
        )
        db = self._database.read()
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
            marks = {row["n"]: [_status_mark(row["status"])] for row in rows}
            for n, criterion, verdict in db.execute(
                f"""SELECT n, criterion, {_VERDICT} FROM scores s WHERE run = ? AND n BETWEEN ? AND ?
                AND criterion IN (SELECT criterion FROM run_criteria WHERE run = ?)""",
                (run, rows[0]["n"], rows[-1]["n"], run),
            ):
                marks[n].append(_verdict_mark(criterion, verdict))
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
    """Tables, the most selective one first, conditions and their values.

    CROSS JOIN makes SQLite keep that order, which it has no statistics to find itself. The index of words knows an
    item's status and verdicts, so that with words nothing but a range of scores is looked at elsewhere.
    """
    tables: list[str] = []
    conditions = ["i.run = ?", f"i.state = {FINISHED}"]
    values: list[Any] = [run]
    if wanted.words:
        tables.append("item_words w")
        conditions += ["w.item_words MATCH ?", "w.rowid BETWEEN ? AND ?", "i.n = w.rowid - ?"]
        values += [wanted.words, run << 32, (run << 32) + 2**32 - 1, run << 32]
    if wanted.ranged or (wanted.scored and not wanted.words):
        index = "" if wanted.ranged else " INDEXED BY score_by_verdict"
        tables += [f"scores s{index}", "items i"]
        conditions += ["s.run = ?", "s.criterion = ?", "s.n = i.n"]
        values += [run, wanted.criterion]
        if wanted.words:
            # scores are looked up before items, whose rows are large
            conditions.append("s.n = w.rowid - ?")
            values.append(run << 32)
        if wanted.verdict is not None and not wanted.words:
            conditions.append(f"{_VERDICT} = ?")
            values.append(VERDICTS[wanted.verdict])
        for end, sign in ((wanted.low, ">="), (wanted.high, "<=")):
            if end is not None:
                conditions.append(f"s.score {sign} ?")
                values.append(end)
        if wanted.ranged:
            conditions.append("s.score IS NOT NULL")
    else:
        tables.append("items i")
    if wanted.status is not None and not wanted.words:
        conditions.append("i.status = ?")
        values.append(wanted.status)
    return " CROSS JOIN ".join(tables), conditions, values


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _status_mark(status: str | None) -> str:
    return f"status{status}"


def _verdict_mark(criterion: int, verdict: int) -> str:
    """What stands for a verdict, as the index of scores has it."""
    return f"criterion{criterion}verdict{verdict}"


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
