"""Filters of a run's finished items, and their marks in the index of words."""

from __future__ import annotations

from dataclasses import dataclass

#: A criterion's verdict in a query -> its code in the index.
VERDICTS = {"fail": 0, "pass": 1, "error": 2}


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
        marks = [] if self.status is None else [status_mark(self.status)]
        if self.criterion is not None and self.verdict is not None:
            marks.append(verdict_mark(self.criterion, VERDICTS[self.verdict]))
        return " AND ".join([f"words : ({' '.join(quoted)})", *(f"marks : {mark}" for mark in marks)])


def status_mark(status: str | None) -> str:
    return f"status{status}"


def verdict_mark(criterion: int, verdict: int) -> str:
    """The word for a verdict in the index of scores."""
    return f"criterion{criterion}verdict{verdict}"


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
