"""The items of a run whose words match, in the order of a score.

Words and scores have an index each. Items that match words are a set of flags, which is kept for the pages that follow: a
frequent word is then looked up in it along the scores, and a rare one's scores are looked up one by one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import compress, islice
from typing import Any

from graders.jsontext import dumps
from graders.store.tables.filters import ItemFilter

#: Items that match, up to which each one's score is looked up.
FEW = 2000
#: Sets that are kept, of one byte for each item: 100 kB for 100,000 items.
KEPT = 32


class Matches:
    """The numbers of the items that match.

    Attributes:
        flags: 1 for each item that matches, by the item's number.
        count: How many there are.
    """

    def __init__(self, numbers: Iterable[int], n_items: int) -> None:
        """
        Args:
            numbers: Different ones, each below `n_items`.
        """
        self.flags = bytearray(n_items)
        for n in numbers:
            self.flags[n] = 1
        self.count = self.flags.count(1)

    @cached_property
    def numbers(self) -> list[int]:
        """The numbers, ascending."""
        return list(compress(range(len(self.flags)), self.flags))


class MatchCache:
    """The last sets. Thread-safe. What is indexed of a run stays as it is, so a set is valid for as many indexed items."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sets: dict[tuple[int, int, str], Matches] = {}

    def find(self, db: sqlite3.Connection, run: int, words: str) -> Matches:
        """The run's items that match `words`, a query of FTS5 over `item_words`."""
        row = db.execute("SELECT n_searchable FROM runs WHERE seq = ?", (run,)).fetchone()
        n_items = 0 if row is None else row[0]
        key = run, n_items, words
        with self._lock:
            found = self._sets.pop(key, None)
        if found is None:
            first = run << 32
            cursor = db.cursor()
            # plain tuples: there may be as many as the run has items
            cursor.row_factory = None
            cursor.execute(
                "SELECT rowid FROM item_words WHERE item_words MATCH ? AND rowid BETWEEN ? AND ?",
                (words, first, first + n_items - 1),
            )
            found = Matches((rowid - first for (rowid,) in cursor), n_items)
        with self._lock:
            # the newest stands last
            self._sets[key] = found
            while len(self._sets) > KEPT:
                del self._sets[next(iter(self._sets))]
        return found


def score_range(wanted: ItemFilter) -> tuple[list[str], list[float]]:
    """Conditions on `scores s` for the range that a filter gives, and their values."""
    ends = [(wanted.low, ">="), (wanted.high, "<=")]
    bounds = [f"s.score {sign} ?" for end, sign in ends if end is not None]
    return ["s.score IS NOT NULL", *bounds], [end for end, _ in ends if end is not None]


def numbers_by_score(
    db: sqlite3.Connection,
    run: int,
    wanted: ItemFilter,
    matches: Matches,
    limit: int,
    after: Sequence[float] = (),
) -> list[int]:
    """Numbers of the matching items with a score in range, in the order of the scores.

    Args:
        after: Score and number of the item before the first; () and anything else for the start.
    """
    conditions, values = score_range(wanted)
    if len(after) == 2:
        conditions.append("(s.score, s.n) > (?, ?)")
        values += after
    few = matches.count <= FEW
    parameters: tuple[Any, ...] = (run, wanted.criterion, *values)
    source, more = "scores s", ""
    if few:
        # CROSS JOIN: the items first, then the score of each
        source, more = "json_each(?) m CROSS JOIN scores s", "s.n = m.value AND "
        parameters = (dumps(matches.numbers).decode(), *parameters)
    cursor = db.cursor()
    cursor.row_factory = None
    cursor.execute(
        f"""SELECT s.n FROM {source} WHERE {more}s.run = ? AND s.criterion = ? AND {" AND ".join(conditions)}
        ORDER BY s.score, s.n""",
        parameters,
    )
    if few:
        return list(islice((n for (n,) in cursor), limit))
    flags, n_items = matches.flags, len(matches.flags)
    return list(islice((n for (n,) in cursor if n < n_items and flags[n]), limit))
