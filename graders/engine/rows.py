"""A batch's mapping as a Row, and any failure as a GradeError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.errors import GradeError, SampleParseError
from graders.row import Row


def row_of(fields: Mapping[str, Any], row_id: str) -> Row:
    """The row of a batch's mapping; raises SampleParseError when it has no sample."""
    if "sample" not in fields:
        have = ", ".join(map(repr, fields)) or "nothing"
        raise SampleParseError(f"the row has no 'sample'; it has {have}")
    return Row(fields["sample"], fields.get("item"), row_id)


def failure_of(error: Exception) -> GradeError:
    """What nobody foresaw becomes `other_error`: one odd row must not end a run of a million."""
    if isinstance(error, GradeError):
        return error
    failure = GradeError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
