"""What audits are given: rows, from a file or as they are, and names of checks and families."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from graders.suggest import did_you_mean


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
    from graders.datasets.read import open_data
    from graders.datasets.rows import DataError, Unreadable

    rows: list[dict[str, Any]] = []
    for chunk in open_data(fspath(path), format_).chunks():
        for row in chunk.rows:
            if isinstance(row, Unreadable):
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


def known_names(names: Collection[str], known: Collection[str], what: str) -> None:
    """Raises ValueError where one of `names` is not known."""
    if isinstance(names, str):
        raise ValueError(f"expected a list of {what}s, not the text {names!r}")
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}. {did_you_mean(name, known)}".rstrip())
