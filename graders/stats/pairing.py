"""Pairs rows of two results files by id, and describes how their specs differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np

from graders.results.read import Header, ResultRow, ResultsError, read_rows
from graders.stats.gather import gather
from graders.stats.items import item_numbers
from graders.stats.resampling import Bools, Floats, Ints


class RunRows:
    """One results file: its ids in order, and rewards and items by a row's position."""

    def __init__(self, path: str | Path, group: str | None = None) -> None:
        self.path = path
        self.group = group
        self.columns = gather(path, group=group, ids=True)
        self.ids = self.columns.ids
        self.rewards = self.by_place(self.columns.rewards)

    def by_place(self, values: Floats) -> Floats:
        """A column of the scored rows extended to all rows, with NaN for failed ones."""
        spread = np.full(len(self.ids), math.nan)
        spread[self.columns.places] = values
        return spread

    def items_at(self, places: Ints) -> Ints | None:
        """The items of scored rows at some positions, renumbered from 0."""
        if self.columns.items is None:
            return None
        items = np.zeros(len(self.ids), np.int64)
        items[self.columns.places] = self.columns.items
        _, numbered = np.unique(items[places], return_inverse=True)
        return numbered.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The rows of two files with equal ids.

    Attributes:
        shared: Number of shared ids.
        failed_a, failed_b: Whether each shared row failed; shape [shared].
        at_a, at_b: Positions of the rows scored in both; shape [pairs].
        rewards_a, rewards_b: Rewards of the pairs.
        items: The item of each pair, by A.
    """

    a: RunRows
    b: RunRows
    shared: int
    failed_a: Bools
    failed_b: Bools
    at_a: Ints
    at_b: Ints
    rewards_a: Floats
    rewards_b: Floats
    items: Ints | None

    @property
    def deltas(self) -> Floats:
        """B minus A."""
        return self.rewards_b - self.rewards_a

    def columns(self) -> dict[str, tuple[Floats, Floats]]:
        """Key of each sub-reward in both files -> its values in A and in B."""
        subs_a, subs_b = self.a.columns.subs, self.b.columns.subs
        return {
            key: (self.a.by_place(values)[self.at_a], self.b.by_place(subs_b[key])[self.at_b])
            for key, values in subs_a.items()
            if key in subs_b
        }


def pair(a: RunRows, b: RunRows) -> Pairs:
    """Pair two files by id; some 250 bytes of memory a pair.

    The samples `x`, `x#2`, `x#3` of an item are numbered in the file's order, which means nothing. They are paired by
    the rank of their rewards, which does not change any item's difference, and intervals and tests are over items. So a
    shuffled copy of a file does not differ from it.
    """
    place_in_b = {row_id: place for place, row_id in enumerate(b.ids)}
    shared = [(place, place_in_b[row_id]) for place, row_id in enumerate(a.ids) if row_id in place_in_b]
    at_a, at_b = np.array(shared, np.int64).reshape(-1, 2).T
    samples = None if a.group == "" else item_numbers([a.ids[place] for place, _ in shared])
    if samples is not None:
        at_a = at_a[np.lexsort((a.rewards[at_a], samples))]
        at_b = at_b[np.lexsort((b.rewards[at_b], samples))]
        samples = np.sort(samples)
    failed_a, failed_b = np.isnan(a.rewards[at_a]), np.isnan(b.rewards[at_b])
    scored = ~(failed_a | failed_b)
    at_a, at_b = at_a[scored], at_b[scored]
    items = a.items_at(at_a)
    if items is None and samples is not None:
        _, items = np.unique(samples[scored], return_inverse=True)
    return Pairs(a, b, len(shared), failed_a, failed_b, at_a, at_b, a.rewards[at_a], b.rewards[at_b], items)


@dataclass(frozen=True, slots=True)
class Mover:
    """A pair with different rewards. Texts are "" and the item {} in files without texts. `place`: its row in A."""

    id: str
    a: float
    b: float
    a_text: str = ""
    b_text: str = ""
    item: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0

    @property
    def delta(self) -> float:
        return self.b - self.a


def movers(pairs: Pairs, most: int) -> tuple[tuple[Mover, ...], tuple[Mover, ...]]:
    """The pairs with the largest gains and losses, ties ordered by id, with their texts."""
    left, right, deltas, at_a, at_b = pairs.a, pairs.b, pairs.deltas, pairs.at_a, pairs.at_b
    chosen = []
    for rises in (deltas, -deltas):
        rising = np.flatnonzero(rises > 0)
        # the rows whose gain is at least that of the last one shown
        if len(rising) > most > 0:
            rising = rising[rises[rising] >= np.partition(rises[rising], -most)[-most]]
        candidates = [
            (-rises[at], left.ids[int(at_a[at])], int(at_a[at]), int(at_b[at])) for at in rising.tolist()
        ]
        chosen.append([(a, b) for _, _, a, b in nsmallest(most, candidates)])
    gained, lost = chosen
    rows_a = _rows(left.path, {a for a, _ in gained + lost})
    rows_b = _rows(right.path, {b for _, b in gained + lost})

    def with_texts(places: Sequence[tuple[int, int]]) -> tuple[Mover, ...]:
        return tuple(
            Mover(
                left.ids[a],
                float(left.rewards[a]),
                float(right.rewards[b]),
                rows_a[a].output_text,
                rows_b[b].output_text,
                rows_a[a].item,
                a,
            )
            for a, b in places
        )

    return with_texts(gained), with_texts(lost)


def _rows(path: str | Path, places: set[int]) -> dict[int, ResultRow]:
    return dict(read_rows(path, places)) if places else {}


def notes_on_specs(left: RunRows, right: RunRows, *, different_specs: bool) -> list[str]:
    """Notes on differences between the specs or engines of two files.

    Raises:
        ResultsError: the specs differ, and `different_specs` does not allow it.
    """
    a, b = left.columns.header, right.columns.header
    notes = _notes_on_ids(a, b)
    if a.digest == b.digest:
        return notes if a.engine == b.engine else [*notes, f"A was graded by {a.engine}, B by {b.engine}"]
    difference = _difference(a.spec, b.spec)
    if not different_specs:
        raise ResultsError(
            f"{left.path} and {right.path} were graded by different specs ({difference}), so a difference of their "
            "rewards says nothing about the samples: grade both with one spec, or compare all the same with "
            "--different-specs"
        )
    return [*notes, f"the specs differ: {difference}"]


def _notes_on_ids(a: Header, b: Header) -> list[str]:
    """A note where one file has ids of scheme 1 (version 0.1), which ignore the question of a conversation."""
    schemes = {header.options.get("ids", 1) for header in (a, b)}
    from_content = any(not header.options.get("fields", {}).get("id", "id") for header in (a, b))
    if len(schemes) == 1 or not from_content:
        return []
    return [
        "one of the files is of 0.1, whose ids leave the messages before an answer out: rows of conversations without "
        "ids of their own pair only when both are graded by one version"
    ]


def _difference(a: Any, b: Any, at: str = "") -> str:
    """The first differences between two specs, in words."""
    found = list(_differences(a, b, at))
    return "; ".join(found[:3]) + (f"; {len(found) - 3} more" if len(found) > 3 else "")


def _differences(a: Any, b: Any, at: str) -> Sequence[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        found: list[str] = []
        for key in [*a, *(key for key in b if key not in a)]:
            found += _differences(a.get(key), b.get(key), f"{at}.{key}" if at else str(key))
        return found
    return [] if a == b else [f"{at}: {_short(a)} and {_short(b)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
