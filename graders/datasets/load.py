"""Rows in memory, of a file or as they are, for what looks at all of them at once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from graders.datasets.read import open_data
from graders.datasets.rows import DataError, UnreadableRow


def load_rows(
    path: str | PathLike[str],
    max_rows: int | None = None,
    seed: int | None = None,
    *,
    format_: str | None = None,
) -> list[dict[str, Any]]:
    """The rows of a JSONL, JSON, CSV or Parquet file.

    Args:
        max_rows: At most so many; None: all.
        seed: Which ones: a sample drawn with this seed, in the file's order; None: the first ones.
        format_: "jsonl", "csv", ...; None: by the file's ending.

    Raises:
        ValueError: the file cannot be read, or a line of it is no JSON object.
    """
    rows: list[dict[str, Any]] = []
    for chunk in open_data(fspath(path), format_).chunks():
        for row in chunk.rows:
            if isinstance(row, UnreadableRow):
                raise DataError(f"{fspath(path)}: {row.message}")
            rows.append(row)
        if seed is None and max_rows is not None and len(rows) >= max_rows:
            break
    if max_rows is None or len(rows) <= max_rows:
        return rows
    if seed is None:
        return rows[:max_rows]
    return [rows[index] for index in sorted(random.Random(seed).sample(range(len(rows)), max_rows))]


def rows_of(rows: Iterable[Mapping[str, Any]] | str | PathLike[str]) -> Iterable[Mapping[str, Any]]:
    """Rows as they are, or those of a file."""
    return load_rows(rows) if isinstance(rows, (str, PathLike)) else rows
