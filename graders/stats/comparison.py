"""The figures of two results files side by side, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from graders.results.read import Header
from graders.stats.estimates import Estimate
from graders.stats.figures import to_json
from graders.stats.histogram import Bar
from graders.stats.pairing import Mover
from graders.stats.repeats import Repeats
from graders.stats.resampling import LEVEL
from graders.wording import plural

#: p values from here on show nothing.
SIGNIFICANT = 1 - LEVEL


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two files.

    Attributes:
        mean: Over the pairs.
        repeats: pass@k and pass^k over the pairs; () without repeats or threshold.
        only_here: Rows that the other file does not have; `only_ids` are the first of them.
        failed: Shared rows that failed here.
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
    """Pass and fail of the pairs: `thresholds` are A's and B's. `p_value` is McNemar's, which counts rows as independent."""

    thresholds: tuple[float, float]
    both: int
    only_a: int
    only_b: int
    neither: int
    p_value: float


@dataclass(frozen=True, slots=True)
class SubDifference:
    """B minus A of one grader of a multi.

    Attributes:
        delta: With an interval that holds together with those of the other graders.
        p_value: Of a sign-flip test; `p_adjusted` for how many graders there are (Holm).
    """

    key: str
    delta: Estimate
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A.

    Attributes:
        shared: Ids in both files; `pairs` of them were scored in both.
        items: Items that the pairs belong to; `grouping` says how that was told.
        delta: Mean of B minus A over the pairs; None without a pair.
        level: Confidence level of its interval: above 0.95 where several files are compared.
        up, down, same: Pairs where B got more, less, the same.
        p_value: Of a sign-flip test over items: how often chance alone makes as large a difference.
        p_adjusted: The same, adjusted for how many files are compared (Holm).
        smallest_shown: The smallest difference that pairs like these show in four of five runs; NaN for one item.
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
    level: float
    up: int
    down: int
    same: int
    p_value: float
    p_adjusted: float
    smallest_shown: float
    passes: PassTable | None
    subs: tuple[SubDifference, ...]
    bars: tuple[Bar, ...]
    gained: tuple[Mover, ...]
    lost: tuple[Mover, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One sentence. B is better, or worse, only where interval and test both say so."""
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
        """Plain JSON; numbers that do not exist are null."""
        made: dict[str, Any] = to_json(self)
        for side in ("a", "b"):
            del made[side]["header"]["spec"]
        return {"verdict": self.verdict, **made}
