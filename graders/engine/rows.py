"""Reads a batch's rows: in chunks, each mapping as a Row, every failure as a GradeError."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from graders.errors import GradeError
from graders.fields import read_row
from graders.row import Row

_T = TypeVar("_T")


def in_chunks(rows: Iterator[_T], size: int) -> Iterator[list[_T]]:
    """Lists of at most `size` rows. An exception of the iterator is raised after the rows before it were yielded."""
    while True:
        chunk: list[_T] = []
        try:
            # `extend` keeps the rows before an exception
            chunk.extend(islice(rows, size))
        except Exception:
            if chunk:
                yield chunk
            raise
        if not chunk:
            return
        yield chunk


def row_of(fields: Mapping[str, Any], row_id: str) -> Row:
    """The row of a batch's mapping; raises SampleParseError when it has none of the known shapes."""
    if fields.__class__ is dict and "sample" in fields and fields.get("item").__class__ is dict:
        return Row(fields["sample"], fields["item"], row_id)
    return read_row(fields, row_id)


def id_of(fields: Any) -> str:
    """The id of a batch's row; "" when it has none, or is no mapping."""
    return fields.get("id", "") if isinstance(fields, Mapping) else ""


def failure_of(error: Exception) -> GradeError:
    """An unexpected exception as `other_error`: one odd row must not end a run of a million."""
    if isinstance(error, GradeError):
        return error
    failure = GradeError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
