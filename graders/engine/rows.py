"""A batch's mapping as a Row, and any failure as a GradeError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.errors import GradeError
from graders.fields import read_row
from graders.row import Row


def row_of(fields: Mapping[str, Any], row_id: str) -> Row:
    """The row of a batch's mapping; raises SampleParseError when it has none of the known shapes."""
    if fields.__class__ is dict and "sample" in fields and fields.get("item").__class__ is dict:
        return Row(fields["sample"], fields["item"], row_id)
    return read_row(fields, row_id)


def id_of(fields: Any) -> str:
    """The id of a batch's row; "" when it has none, or is no mapping."""
    return fields.get("id", "") if isinstance(fields, Mapping) else ""


def failure_of(error: Exception) -> GradeError:
    """What nobody foresaw becomes `other_error`: one odd row must not end a run of a million."""
    if isinstance(error, GradeError):
        return error
    failure = GradeError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
