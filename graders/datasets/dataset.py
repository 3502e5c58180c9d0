"""Opens datasets: reads the first rows to find out which fields hold sample, item and id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from graders.datasets.rows import Chunk, DataError, RowStream, UnreadableRow
from graders.fields import FieldError, FieldMap, detect_fields


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset with known fields.

    Attributes:
        field_map: Which fields hold sample, item and id.
        first: The first row that can be read.
        chunks: All of its rows, the first ones included.
        wanted: Fields of the item that the grader reads.
    """

    data: RowStream
    field_map: FieldMap
    first: Mapping[str, Any]
    chunks: Iterator[Chunk]
    wanted: Iterable[str] = ()


def open_dataset(
    data: RowStream,
    *,
    sample: str | None = None,
    item: str | None = None,
    row_id: str | None = None,
    item_map: Mapping[str, str] | None = None,
    samples: bool = True,
    wanted: Iterable[str] = (),
) -> Dataset:
    """Read the first rows and detect the fields of sample, item and id.

    Args:
        sample, item, row_id, item_map, samples, wanted: As for `detect_fields`.

    Raises:
        DataError: it has no readable row, or the fields cannot be found.
    """
    chunks = data.chunks()
    seen: list[Chunk] = []
    for chunk in chunks:
        seen.append(chunk)
        row = next((row for row in chunk.rows if isinstance(row, dict)), None)
        if row is not None:
            field_map = _fields(
                row,
                sample=sample,
                item=item,
                row_id=row_id,
                item_map=item_map,
                samples=samples,
                wanted=wanted,
            )
            return Dataset(data, field_map, row, chain(seen, chunks), wanted)
        if len(seen) > 3:
            break
    unreadable = next(
        (row.message for chunk in seen for row in chunk.rows if isinstance(row, UnreadableRow)), ""
    )
    if unreadable:
        raise DataError(f"{data.name} has no rows that can be read: {unreadable}")
    raise DataError(f'{data.name} has no rows; a row is a line such as {{"sample": "...", "item": {{...}}}}')


def _fields(row: Mapping[str, Any], **named: Any) -> FieldMap:
    try:
        return detect_fields(row, **named)
    except FieldError as error:
        raise DataError(str(error)) from None
