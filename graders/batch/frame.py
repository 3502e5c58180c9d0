"""Grades a data frame: the result is the same frame with the rewards as columns.

graded = graders.grade_frame(df, spec, item_map={"answer": "gold"})
graded["reward"].mean()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from graders.batch.run import item_fields, reads_sample
from graders.datasets.dataset import open_dataset
from graders.datasets.read import open_data
from graders.datasets.rows import json_row
from graders.datasets.tables import arrow_rows
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.fields import item_of, sample_of

Frame = TypeVar("Frame")


def grade_frame(
    frame: Frame,
    spec: object,
    *,
    sample_field: str | None = None,
    item_field: str | None = None,
    item_map: Mapping[str, str] | None = None,
    backends: Backends | None = None,
) -> Frame:
    """Grade every row of a pandas or Polars data frame or an Arrow table.

    Args:
        frame: The data frame; it is not changed.
        spec: As `graders.compile` takes it.
        sample_field, item_field: The columns of the model's output and of the item; None: by the known names (see
            `detect_fields`), the whole row being the item.
        item_map: Name in the item -> column.
        backends: As in `graders.compile`.

    Returns:
        A frame of the same kind with the columns `reward` (null where the row failed), `ok`, `flags` (texts, joined by
        a comma) and, of a multi, `reward.KEY` for each of its graders.

    Raises:
        TypeError: `frame` is none of these.
        ValueError: the frame already has one of these columns.
        SpecError, DataError: the spec is not valid; the columns cannot be found, or there are no rows.
    """
    rows = [json_row(row) for row in _rows(frame)]
    grader = compile(spec, backends=backends)
    columns = ("reward", "ok", "flags", *(f"reward.{key}" for key in grader.spec.members()))
    if taken := sorted({*columns} & {*(name for row in rows[:1] for name in row)}):
        raise ValueError(f"the frame has the columns {', '.join(taken)} already; rename or drop them")
    fields = open_dataset(
        open_data(rows),
        sample=sample_field,
        item=item_field,
        item_map=item_map,
        samples=reads_sample(grader.spec),
        wanted=item_fields(grader.spec),
    ).field_map
    given = ({"sample": sample_of(row, fields), "item": item_of(row, fields)} for row in rows)
    results = list(grader.run_batch(given))
    values: dict[str, list[Any]] = {
        "reward": [result.reward if result.ok else None for result in results],
        "ok": [result.ok for result in results],
        "flags": [",".join(result.flags) for result in results],
    }
    for key in grader.spec.members():
        values[f"reward.{key}"] = [
            None if key in result.failed_members else result.sub_rewards.get(key) for result in results
        ]
    graded: Frame = _with_columns(frame, values)
    return graded


def _rows(frame: Any) -> Any:
    if hasattr(frame, "to_batches"):
        return (row for batch in frame.to_batches() for row in arrow_rows(batch))
    if hasattr(frame, "iter_rows"):
        return frame.iter_rows(named=True)
    if hasattr(frame, "columns") and hasattr(frame, "assign"):
        return frame.to_dict("records")
    raise TypeError(
        f"<{type(frame).__name__}> is no data frame: expected one of pandas or Polars, or an Arrow table; "
        "`Grader.run_batch` and `graders.batch.grade_dataset` take rows"
    )


def _with_columns(frame: Any, values: Mapping[str, list[Any]]) -> Any:
    """The frame with added columns, made by its own library."""
    if hasattr(frame, "to_batches"):
        import pyarrow as pa

        types = {"ok": pa.bool_(), "flags": pa.string()}
        for name, column in values.items():
            frame = frame.append_column(name, pa.array(column, types.get(name, pa.float64())))
        return frame
    if hasattr(frame, "iter_rows"):
        import polars as pl

        types = {"ok": pl.Boolean, "flags": pl.String}
        return frame.with_columns(
            [pl.Series(name, column, types.get(name, pl.Float64)) for name, column in values.items()]
        )
    # a missing reward is NaN, which pandas excludes from means
    return frame.assign(
        **{
            name: column
            if name in ("ok", "flags")
            else [float("nan") if value is None else value for value in column]
            for name, column in values.items()
        }
    )
