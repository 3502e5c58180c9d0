"""Rows of a dataset, as its readers give them: chunks of bounded size, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graders.engine.rows import in_chunks
from graders.errors import SampleParseError
from graders.jsontext import dumps
from graders.values import json_value

#: Text read at once, where `benchmarks/batch.py` was fastest.
CHUNK_BYTES = 256 * 1024
#: Rows at once from sources that are not text.
CHUNK_ROWS = 1000


class DataError(ValueError):
    """The dataset cannot be read: what was found, what was expected, where."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line or record that is not a row: it can only fail, and costs the others nothing.

    Attributes:
        message: Which one, and what is wrong with it.
        raw: Its bytes, or a text that stands for it.
        fields: Those of its fields that could be read before the fault; they may hold its id.
    """

    message: str
    raw: bytes
    fields: Mapping[str, Any] = field(default_factory=dict)


DataRow: TypeAlias = dict[str, Any] | Unreadable


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows, in order.

    Attributes:
        rows: Each a dict, or what could not be read as one.
        raw: The JSON text each row came as, without line end; None when the source is not JSON lines.
        numbers: Line or record numbers, from 1.
    """

    rows: list[DataRow]
    raw: list[bytes] | None
    numbers: Sequence[int]

    def some(self, places: Sequence[int]) -> Chunk:
        """Some of its rows, by their places in it."""
        return Chunk(
            [self.rows[place] for place in places],
            None if self.raw is None else [self.raw[place] for place in places],
            [self.numbers[place] for place in places],
        )


class Data:
    """A dataset, opened; it can be read once.

    Attributes:
        name: As the user wrote it.
        total: How many rows it has; None when only reading tells.
    """

    def __init__(
        self,
        name: str,
        chunks: Callable[[], Iterator[Chunk]],
        total: int | None = None,
        fraction: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.name = name
        self.total = total
        #: How much of the source has been read, 0 to 1; None when that cannot be told.
        self.fraction = fraction
        #: The rows. Raises DataError when the source breaks off or is not of its format.
        self.chunks = chunks


def row_chunks(rows: Iterable[Any]) -> Iterator[Chunk]:
    """Rows that are in memory or come one by one; what is no object is Unreadable."""
    first = 1
    for some in in_chunks(iter(rows), CHUNK_ROWS):
        for place, row in enumerate(some):
            if not isinstance(row, dict):
                message = f"row {first + place} is a {type(row).__name__}; expected an object"
                some[place] = Unreadable(message, _bytes_of(row))
        yield Chunk(some, None, range(first, first + len(some)))
        first += len(some)


def _bytes_of(value: Any) -> bytes:
    try:
        return dumps(value)
    except (TypeError, ValueError):
        return type(value).__name__.encode()


def json_row(row: Any) -> Any:
    """A mapping in JSON's terms. A value that has no JSON form stays: reading it is what fails, not the row."""
    if not isinstance(row, Mapping):
        return row
    try:
        return json_value(row)
    except SampleParseError:
        return {str(key): _json_or_same(value) for key, value in row.items()}


def _json_or_same(value: Any) -> Any:
    try:
        return json_value(value)
    except SampleParseError:
        return value
