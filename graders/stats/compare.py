"""Two results files, paired by id: which is better, and is that more than chance?

Rows only in one file, and rows that failed in either, are counted and left out: a difference is always taken of the
same rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np

from graders.results.read import Header, ResultsError, read_rows
from graders.stats.estimates import (
    Estimate,
    Floats,
    Ints,
    mcnemar,
    mean,
    mean_drawn_anew,
    pass_rate,
    per_item,
    sign_flip,
)
from graders.stats.summary import Bar, Columns, Gate, gather, histogram, threshold_of, to_json

MOVERS = 10  # rows shown that moved most, up and down each
IDS_SHOWN = 20  # of rows only in one file


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two files.

    Attributes:
        mean: Over the pairs.
        only_here: Rows that the other file does not have; `only_ids` are the first of them.
        failed: Shared rows that failed here.
    """

    path: str
    header: Header
    rows: int
    mean: Estimate | None
    passed: Estimate | None
    only_here: int
    only_ids: tuple[str, ...]
    failed: int


@dataclass(frozen=True, slots=True)
class Passes:
    """Pass and fail of the pairs: `thresholds` are A's and B's. `p_value` is McNemar's, which counts rows as independent."""

    thresholds: tuple[float, float]
    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float


@dataclass(frozen=True, slots=True)
class SubDelta:
    """B minus A of one grader of a multi."""

    key: str
    delta: Estimate


@dataclass(frozen=True, slots=True)
class Mover:
    """A row whose reward differs; texts are "" where the files hold none."""

    id: str
    a: float
    b: float
    a_text: str = ""
    b_text: str = ""

    @property
    def delta(self) -> float:
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A.

    Attributes:
        shared: Ids in both files; `pairs` of them were scored in both.
        items: Items that the pairs belong to; `grouping` says how that was told.
        delta: Mean of B minus A over the pairs; None without a pair.
        up, down, same: Pairs where B got more, less, the same.
        p_value: Of a sign-flip test over items: how often chance alone makes as large a difference.
        passes: None unless both sides only give 0 and 1, or the spec has a pass_threshold.
        bars: Histogram of the differences that are not 0.
        gained, lost: The pairs that moved most, largest first.
        notes: What a reader should know.
    """

    a: Side
    b: Side
    shared: int
    pairs: int
    failed_in_both: int
    items: int
    grouping: str
    delta: Estimate | None
    up: int
    down: int
    same: int
    p_value: float
    passes: Passes | None
    subs: tuple[SubDelta, ...]
    bars: tuple[Bar, ...]
    gained: tuple[Mover, ...]
    lost: tuple[Mover, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.delta is None:
            return "nothing to compare: no row was scored in both"
        if self.delta.low > 0:
            return "B is better"
        if self.delta.high < 0:
            return "B is worse"
        if self.up == self.down == 0:
            return "no row differs"
        if math.isnan(self.delta.low):
            return "no difference shown: one item alone has no interval"
        return "no difference shown: the interval holds 0"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; numbers that do not exist are null."""
        made: dict[str, Any] = to_json(self)
        for side in ("a", "b"):
            del made[side]["header"]["spec"]
        return {"verdict": self.verdict, **made}


@np.errstate(over="ignore", invalid="ignore")  # the variance of 1e200 is shown as unknown
def compare(
    a: str | Path,
    b: str | Path,
    *,
    group: str | None = None,
    different_specs: bool = False,
    movers: int = MOVERS,
) -> Comparison:
    """Pair two results files by id; some 250 bytes of memory a pair.

    Args:
        group: As in `stats.gather`; read from A's rows.
        different_specs: Pair them although they were graded by different specs.
        movers: How many rows to show that moved most, in each direction.

    Raises:
        ResultsError: a file cannot be read, or they are of different specs.
    """
    left, right = _Rows(a, group), _Rows(b)
    notes = _notes(left, right, different_specs)
    place_in_b = {id: place for place, id in enumerate(right.ids)}
    shared = [(place, place_in_b[id]) for place, id in enumerate(left.ids) if id in place_in_b]
    at_a, at_b = np.array(shared, np.int64).reshape(-1, 2).T
    failed_a, failed_b = np.isnan(left.rewards[at_a]), np.isnan(right.rewards[at_b])
    scored = ~(failed_a | failed_b)
    at_a, at_b = at_a[scored], at_b[scored]
    rewards_a, rewards_b = left.rewards[at_a], right.rewards[at_b]
    deltas, items = rewards_b - rewards_a, left.items_at(at_a)
    there = bool(len(deltas))
    passes = _passes(left.columns, right.columns, rewards_a, rewards_b) if there else None
    if passes is not None and items is not None:
        notes.append(
            "McNemar's p counts rows as independent, which rows of one item are not: go by the interval"
        )
    for side, failed in (("A", failed_a), ("B", failed_b)):
        if failed.any():
            notes.append(
                f"{int(failed.sum()):,} shared rows failed in {side} and are left out of the difference"
            )
    thresholds = passes.thresholds if passes else (None, None)
    gained, lost = _movers(left, right, deltas, at_a, at_b, movers)
    return Comparison(
        a=_side(left, rewards_a, thresholds[0], items, failed_a, set(place_in_b)),
        b=_side(right, rewards_b, thresholds[1], items, failed_b, set(left.ids)),
        shared=len(shared),
        pairs=len(deltas),
        failed_in_both=int((failed_a & failed_b).sum()),
        items=len(deltas) if items is None else len(np.unique(items)),
        grouping=left.columns.grouping,
        delta=mean_drawn_anew(deltas, items) if there else None,
        up=int((deltas > 0).sum()),
        down=int((deltas < 0).sum()),
        same=int((deltas == 0).sum()),
        p_value=sign_flip(per_item(deltas, items)[0]) if there else math.nan,
        passes=passes,
        subs=_subs(left, right, at_a, at_b, items) if there else (),
        bars=histogram(deltas[deltas != 0]) if deltas.any() else (),
        gained=gained,
        lost=lost,
        notes=tuple(notes),
    )


def gate(comparison: Comparison, max_drop: float) -> Gate:
    """B's mean is surely at most `max_drop` below A's: met, failed, or inconclusive as in `stats.gates`."""
    wanted = f"wanted at least {0 - max_drop:g}"
    delta = comparison.delta
    if delta is None:
        return Gate("difference", "inconclusive", f"no row was scored in both, {wanted}")
    verdict = "met" if delta.low >= -max_drop else "failed" if delta.high < -max_drop else "inconclusive"
    return Gate("difference", verdict, f"{delta.value:+.4g}, {delta.between('+')}, {wanted}")


class _Rows:
    """One file: its ids in order, and rewards and items by a row's place."""

    def __init__(self, path: str | Path, group: str | None = None) -> None:
        self.path = path
        self.columns = gather(path, group=group, ids=True)
        self.ids = self.columns.ids
        self.rewards = self.by_place(self.columns.rewards)

    def by_place(self, values: Floats) -> Floats:
        """A column of the scored rows with a place for every row: NaN for those that failed."""
        spread = np.full(len(self.ids), math.nan)
        spread[self.columns.places] = values
        return spread

    def items_at(self, places: Ints) -> Ints | None:
        """The items of scored rows, numbered anew from 0."""
        if self.columns.items is None:
            return None
        items = np.zeros(len(self.ids), np.int64)
        items[self.columns.places] = self.columns.items
        _, numbered = np.unique(items[places], return_inverse=True)
        return numbered.astype(np.int64)


def _notes(left: _Rows, right: _Rows, different_specs: bool) -> list[str]:
    a, b = left.columns.header, right.columns.header
    if a.digest == b.digest:
        return [] if a.engine == b.engine else [f"A was graded by {a.engine}, B by {b.engine}"]
    difference = _difference(a.spec, b.spec)
    if not different_specs:
        raise ResultsError(
            f"{left.path} and {right.path} were graded by different specs ({difference}), so a difference of their "
            "rewards says nothing about the samples: grade both with one spec, or compare all the same with "
            "--different-specs"
        )
    return [f"the specs differ: {difference}"]


def _difference(a: Any, b: Any, at: str = "") -> str:
    """The first places where two specs differ, in words."""
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


def _side(
    rows: _Rows, rewards: Floats, threshold: float | None, items: Ints | None, failed: Any, others: set[str]
) -> Side:
    only = [id for id in rows.ids if id not in others]
    return Side(
        path=str(rows.path),
        header=rows.columns.header,
        rows=len(rows.ids),
        mean=mean(rewards, items) if len(rewards) else None,
        passed=None if threshold is None else pass_rate(rewards >= threshold, items),
        only_here=len(only),
        only_ids=tuple(only[:IDS_SHOWN]),
        failed=int(failed.sum()),
    )


def _passes(left: Columns, right: Columns, rewards_a: Floats, rewards_b: Floats) -> Passes | None:
    threshold_a, threshold_b = (
        threshold_of(left.header.spec, rewards_a),
        threshold_of(right.header.spec, rewards_b),
    )
    if threshold_a is None or threshold_b is None:
        return None
    a, b = rewards_a >= threshold_a, rewards_b >= threshold_b
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return Passes(
        (threshold_a, threshold_b),
        int((a & b).sum()),
        only_a,
        only_b,
        int((~a & ~b).sum()),
        mcnemar(only_a, only_b),
    )


def _subs(left: _Rows, right: _Rows, at_a: Ints, at_b: Ints, items: Ints | None) -> tuple[SubDelta, ...]:
    return tuple(
        SubDelta(
            key,
            mean_drawn_anew(
                right.by_place(right.columns.subs[key])[at_b] - left.by_place(values)[at_a], items
            ),
        )
        for key, values in left.columns.subs.items()
        if key in right.columns.subs
    )


def _movers(
    left: _Rows, right: _Rows, deltas: Floats, at_a: Ints, at_b: Ints, most: int
) -> tuple[tuple[Mover, ...], tuple[Mover, ...]]:
    """The pairs that gained and that lost most, equal ones by id, with their texts."""
    chosen = []
    for rises in (deltas, -deltas):
        rising = np.flatnonzero(rises > 0)
        if len(rising) > most > 0:  # those that rose as much as the last one to be shown, or more
            rising = rising[rises[rising] >= np.partition(rises[rising], -most)[-most]]
        pairs = [
            (-rises[pair], left.ids[int(at_a[pair])], int(at_a[pair]), int(at_b[pair]))
            for pair in rising.tolist()
        ]
        chosen.append([(a, b) for _, _, a, b in nsmallest(most, pairs)])
    gained, lost = chosen
    texts_a = _texts(left.path, {a for a, _ in gained + lost})
    texts_b = _texts(right.path, {b for _, b in gained + lost})

    def movers(pairs: Sequence[tuple[int, int]]) -> tuple[Mover, ...]:
        return tuple(
            Mover(left.ids[a], float(left.rewards[a]), float(right.rewards[b]), texts_a[a], texts_b[b])
            for a, b in pairs
        )

    return movers(gained), movers(lost)


def _texts(path: str | Path, places: set[int]) -> dict[int, str]:
    return {place: row.output_text for place, row in read_rows(path, places)} if places else {}
