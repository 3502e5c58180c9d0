"""Items of rows, by their ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graders.stats.resampling import Ints


def item_numbers(ids: Sequence[str]) -> Ints | None:
    """The item of each row by its id: `x#2` belongs to the item of `x`; None where no two rows share one."""
    names = np.array(list(map(hash, ids)), np.int64)
    return numbered(resolved(names, np.array([hash(base_id(row_id)) for row_id in ids], np.int64)))


def resolved(names: Ints, bases: Ints) -> Ints:
    """The item name of each row. `x#2` repeats `x` only where there is an `x`; else it is a name of its own."""
    repeats = names != bases
    if repeats.any():
        there = np.isin(bases, names[~repeats])
        names = np.where(repeats & there, bases, names)
    return names


def numbered(names: Ints) -> Ints | None:
    """Items numbered in the order of their first rows; None where no two rows share one."""
    _, first, items = np.unique(names, return_index=True, return_inverse=True)
    if len(first) == len(names):
        return None
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[items]


def base_id(row_id: str) -> str:
    base, _, times = row_id.rpartition("#")
    return base if base and times.isdigit() else row_id
