"""The results of a comparison of two results files, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from graders.results.read import Header
from graders.stats.estimates import Estimate
from graders.stats.figures import to_json
from graders.stats.histogram import HistogramBar
from graders.stats.pairing import Mover
from graders.stats.repeats import Repeats
from graders.stats.resampling import LEVEL
from graders.wording import plural

#: p values from here on are not significant.
SIGNIFICANT = 1 - LEVEL


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two files of a comparison.

    Attributes:
        mean: Mean reward over the pairs.
        repeats: pass@k and pass^k over the pairs; () without repeats or threshold.
        only_here: Number of rows that the other file lacks; `only_ids` are the first of them.
        failed: Number of shared rows that failed in this file.
    """

    path: str
    header: Header
    rows: int
    mean: Estimate | None
    passed: Estimate | None
    repeats: tuple[Repeats, ...]
    only_here: int
    only_ids: tuple[str, ...]
    failed: int


@dataclass(frozen=True, slots=True)
class PassTable:
    """Passes and fails of the pairs at A's and B's `thresholds`. `p_value`: McNemar's, for independent rows."""

    thresholds: tuple[float, float]
    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float


@dataclass(frozen=True, slots=True)
class SubDifference:
    """B minus A for one member of a multi.

    Attributes:
        delta: The mean difference; its interval is simultaneous with those of the other members.
        p_value: p value of a sign-flip test; `p_adjusted` is adjusted for the number of members (Holm).
    """

    key: str
    delta: Estimate
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of B with A.

    Attributes:
        shared: Number of ids in both files; `pairs` of them were scored in both.
        items: Number of items of the pairs; `grouping` says how items were identified.
        delta: Mean of B minus A over the pairs; None without a pair.
        level: Confidence level of its interval: above 0.95 where several files are compared.
        up, down, same: Numbers of pairs where B's reward is higher, lower, equal.
        p_value: p value of a sign-flip test over items.
        p_adjusted: The p value adjusted for the number of compared files (Holm).
        smallest_shown: The smallest true difference that pairs like these detect with probability 0.8; NaN for one
            item.
        passes: Passes of both sides; None unless all rewards are 0 or 1, or the spec has a pass_threshold.
        bars: Histogram of the differences other than 0.
        gained, lost: The pairs with the largest changes, largest first.
        notes: Notes for the reader, a sentence each.
    """

    a: Side
    b: Side
    shared: int
    pairs: int
    failed_in_both: int
    items: int
    grouping: str
    delta: Estimate | None
    level: float
    up: int
    down: int
    same: int
    p_value: float
    p_adjusted: float
    smallest_shown: float
    passes: PassTable | None
    subs: tuple[SubDifference, ...]
    bars: tuple[HistogramBar, ...]
    gained: tuple[Mover, ...]
    lost: tuple[Mover, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The result in one sentence. B is called better or worse only if interval and test agree."""
        if self.delta is None:
            return "nothing to compare: no row was scored in both"
        if self.up == self.down == 0:
            return "no row differs"
        if self.delta.low > 0 or self.delta.high < 0:
            if self.p_adjusted >= SIGNIFICANT:
                return (
                    f"no difference shown: only {plural(self.up + self.down, 'row')} of {self.pairs:,} differ"
                )
            return "B is better" if self.delta.low > 0 else "B is worse"
        if math.isnan(self.delta.low):
            return "no difference shown: one item alone has no interval"
        return "no difference shown: the interval holds 0"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; NaN is null."""
        made: dict[str, Any] = to_json(self)
        for side in ("a", "b"):
            del made[side]["header"]["spec"]
        return {"verdict": self.verdict, **made}
