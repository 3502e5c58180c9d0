"""Reads the rows of a dataset for `grader check`, and counts those that cannot be graded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from graders.batch.chunks import RowChunk
from graders.datasets.ids import IdAssigner, shared_items
from graders.datasets.rows import Chunk, UnreadableRow
from graders.errors import GradeError
from graders.fields import FieldMap, field_of, item_of, sample_of
from graders.preflight.findings import Findings, RowCount
from graders.row import Row
from graders.wording import plural

#: Code -> (severity, message).
_TEXTS = {
    "unreadable_row": ("error", "{n} cannot be read and will fail: {example}"),
    "missing_sample": ("error", "{n} will fail: {example}"),
    "invalid_row": ("error", "{n} will fail: {example}"),
    "duplicate_id": ("error", "{n} share an id with another item: {example}. Results are known by id."),
    "missing_id": ("warning", "{n} will be named by their content: {example}"),
}


class NamedRow(NamedTuple):
    """A readable row, with its id and its line or record number."""

    id: str
    number: int
    row: Row


class RowReader:
    """Reads rows, and counts their mistakes that do not depend on a grader.

    Attributes:
        n: Number of rows so far, unreadable ones included.
    """

    def __init__(self, field_map: FieldMap) -> None:
        self.n = 0
        self._ids = IdAssigner(field_map)
        self._field_map = field_map
        self._bad: dict[str, RowCount] = {}
        self._items: dict[str, int] = {}

    def named(self, chunks: Iterable[Chunk]) -> Iterator[RowChunk]:
        """The rows with their ids."""
        return ((chunk, self._ids.names(chunk)) for chunk in chunks)

    def read(self, chunk: Chunk, ids: Sequence[str]) -> list[NamedRow]:
        """The rows of a chunk that can be graded."""
        field_map, named = self._field_map, []
        self.n += len(chunk.rows)
        for row_id, number, row in zip(ids, chunk.numbers, chunk.rows, strict=True):
            if isinstance(row, UnreadableRow):
                self._count("unreadable_row", row_id, number, row.message)
                continue
            sample = sample_of(row, field_map) if field_map.sample else ""
            if sample is None:
                self._count("missing_sample", row_id, number, f"no sample in '{field_map.sample}'")
                continue
            try:
                read = Row(sample, item_of(row, field_map), row_id)
            except GradeError as error:
                self._count("invalid_row", row_id, number, str(error))
                continue
            self._compare_items(row_id, number, row, read)
            named.append(NamedRow(row_id, number, read))
        return named

    def _compare_items(self, row_id: str, number: int, row: Mapping[str, Any], read: Row) -> None:
        """Compare the items of rows with one id, which have to be equal."""
        if not self._field_map.id:
            return
        own = field_of(row, self._field_map.id, None)
        if own is None:
            self._count("missing_id", row_id, number, f"no id in '{self._field_map.id}'")
            return
        item = read.item
        if not self._field_map.item:
            out = (self._field_map.sample, self._field_map.sample.partition(".")[0])
            item = {key: value for key, value in row.items() if key not in out}
        try:
            digest = hash((*item, *item.values()))
        except TypeError:
            # lists and objects in it are not hashable
            digest = hash(repr(item))
        if self._items.setdefault(str(own), digest) != digest:
            self._count("duplicate_id", row_id, number, f"'{own}' stands for different items")

    def _count(self, code: str, row_id: str, number: int, example: str) -> None:
        self._bad.setdefault(code, RowCount(example)).add(row_id, number)

    def report(self, findings: Findings, *, question: bool) -> None:
        """Report the counted mistakes.

        Args:
            question: Whether rows contain their question (see `has_question`).
        """
        if note := shared_items(self._ids, question):
            findings.add("warning", "shared_items", f"{note}.")
        for code, count in self._bad.items():
            severity, text = _TEXTS[code]
            message = text.format(n=plural(count.n, "row"), example=count.example)
            findings.add(severity, code, message, rows=count)


def shape_of(row: Row) -> tuple[Any, ...]:
    """The shape of a row: its keys with the types of their values, and the kind of its output."""
    text = row.sample.get("output_text")
    kind = text[:1] if isinstance(text, str) and text[:1] in ("{", "[") else bool(text)
    return (*sorted((key, type(value).__name__) for key, value in row.item.items()), kind)
