"""The output of dataset readers: chunks of rows, of bounded size, some of them UnreadableRow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graders.engine.rows import in_chunks
from graders.errors import SampleParseError
from graders.jsontext import dumps
from graders.values import json_value

#: Bytes of text read at once, the fastest size in `benchmarks/batch.py`.
CHUNK_BYTES = 256 * 1024
#: Rows of a chunk from sources that are not text.
CHUNK_ROWS = 1000


class DataError(ValueError):
    """Raised when a dataset cannot be read; the message says what was found, what was expected, and where."""


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A line or record that is not a row. It fails alone; the other rows are graded.

    Attributes:
        message: Its position, and what is wrong with it.
        raw: Its bytes, or a text in their place.
        fields: The fields before the fault, which may hold its id.
    """

    message: str
    raw: bytes
    fields: Mapping[str, Any] = field(default_factory=dict)


DataRow: TypeAlias = dict[str, Any] | UnreadableRow


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a dataset.

    Attributes:
        rows: Each a dict, or an UnreadableRow.
        raw: The JSON text of each row, without line end; None when the source is not JSON lines.
        numbers: Line or record numbers, from 1.
    """

    rows: list[DataRow]
    raw: list[bytes] | None
    numbers: Sequence[int]

    def some(self, places: Sequence[int]) -> Chunk:
        """The rows at some positions of the chunk."""
        return Chunk(
            [self.rows[place] for place in places],
            None if self.raw is None else [self.raw[place] for place in places],
            [self.numbers[place] for place in places],
        )


class RowStream:
    """An open dataset, which can be read once.

    Attributes:
        name: Its name as the user wrote it.
        total: Number of rows; None when it is known only after reading.
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
        #: The fraction of the source that has been read, 0 to 1; None when unknown.
        self.fraction = fraction
        #: The rows, in chunks. Raises DataError when the source breaks off or does not have its format.
        self.chunks = chunks


def row_chunks(rows: Iterable[Any]) -> Iterator[Chunk]:
    """Chunks of rows from an iterable; a row that is not an object becomes an UnreadableRow."""
    first = 1
    for some in in_chunks(iter(rows), CHUNK_ROWS):
        for place, row in enumerate(some):
            if not isinstance(row, dict):
                message = f"row {first + place} is a {type(row).__name__}; expected an object"
                some[place] = UnreadableRow(message, _bytes_of(row))
        yield Chunk(some, None, range(first, first + len(some)))
        first += len(some)


def _bytes_of(value: Any) -> bytes:
    try:
        return dumps(value)
    except (TypeError, ValueError):
        return type(value).__name__.encode()


def json_row(row: Any) -> Any:
    """A mapping in JSON types. A value without a JSON form is kept: only a grader that reads it fails."""
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
