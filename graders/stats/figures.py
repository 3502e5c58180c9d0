"""The figures of a results file, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from graders.results.read import Header
from graders.stats.estimates import Estimate, number_or_none
from graders.stats.histogram import Bar
from graders.stats.reasons import FailureReason
from graders.stats.repeats import Reliability, Repeats


@dataclass(frozen=True, slots=True)
class Spread:
    """How rewards are spread.

    Attributes:
        mean: With its interval.
        sd: Standard deviation over rows, of the sample (n - 1); NaN for one row.
        quantiles: Part of the rows -> value, for QUANTILES.
        bars: A histogram.
    """

    mean: Estimate
    sd: float
    least: float
    most: float
    quantiles: Mapping[str, float]
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class SubReward:
    """One grader of a multi.

    Attributes:
        passed: By its own pass_threshold; None without one.
        moves: What it does to the total: the mean absolute change of the formula's value when this sub-reward is
            replaced by its own mean in every row. 0 where the total does not depend on it in these rows.
        correlation: Pearson's r with the total; NaN where either does not vary.
    """

    key: str
    type: str
    spread: Spread
    passed: Estimate | None
    moves: float
    correlation: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the mean over all rows lies, if the failed ones had got the least or the most.

    Attributes:
        least, most: How far a reward was taken to reach; `range` says so in words.
    """

    low: float
    high: float
    least: float
    most: float
    range: str


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that judges and programs took for a row by themselves, over the rows that tell it.

    Attributes:
        waited: The median of the seconds in which a row waited for a free place; None of files that do not tell these
            apart, whose other figures then have the wait in them.
    """

    n: int
    p50: float
    p90: float
    p99: float
    most: float
    bars: tuple[Bar, ...]
    waited: float | None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens of one judge model; `cost` in the price table's currency, None without a price."""

    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a results file.

    Attributes:
        items: Items that the scored rows belong to; `grouping` says how that was told.
        flags: Flag -> failed rows, most first. A row may have several.
        rewards: None when no row was scored.
        reasons: The different reasons of failures, most frequent first, with an example id each.
        threshold: What a row has to reach to pass: the one asked for, the spec's pass_threshold, 1 for a grader that
            only gives 0 and 1, else None.
        passed: The part of the scored rows that passed; None without a threshold.
        repeats: For k = 1, 2, 4 ... as far as at least half of the items have k rows; () without repeats or threshold.
        reliability: How far repeats agree; None without repeats.
        bounds: None when no row was scored or none failed.
        lowest: The mean over all rows when the failed ones count with the lowest reward, which gates go by; None when no
            row was scored or none failed.
        cautions: What a reader should know before believing the numbers, a sentence each.
    """

    header: Header
    rows: int
    scored: int
    failed: int
    items: int
    grouping: str
    flags: Mapping[str, int]
    reasons: tuple[FailureReason, ...]
    rewards: Spread | None
    threshold: float | None
    passed: Estimate | None
    subs: tuple[SubReward, ...]
    repeats: tuple[Repeats, ...]
    reliability: Reliability | None
    bounds: Bounds | None
    lowest: Estimate | None
    cautions: tuple[str, ...]
    latency: Latency | None
    spent: tuple[TokenUse, ...]

    @property
    def coverage(self) -> float:
        """The part of the rows that was scored; 1.0 of none."""
        return self.scored / self.rows if self.rows else 1.0

    @property
    def cost(self) -> float | None:
        """Of all judges; None when there are none, or one has no price."""
        costs = [spent.cost for spent in self.spent]
        return None if not costs or None in costs else math.fsum(cost for cost in costs if cost is not None)

    def _repr_html_(self) -> str:
        from graders.notebook import table

        rows: list[tuple[object, ...]] = [
            ("rows", f"{self.rows:,}: {self.scored:,} scored, {self.failed:,} failed")
        ]
        means = [("mean reward", self.rewards and self.rewards.mean), ("pass rate", self.passed)]
        means += [(sub.key, sub.spread.mean) for sub in self.subs]
        rows += [
            (name, f"{mean.value:.4f}", f"95 % {mean.low:.4f} to {mean.high:.4f}")
            for name, mean in means
            if mean
        ]
        rows += [
            (reason.flag, f"{reason.rows:,} x {reason.text}", f"row {reason.example}")
            for reason in self.reasons[:5]
        ]
        rows += [("note", caution) for caution in self.cautions]
        return table(f"{self.header.name} on {self.header.data}", rows)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; numbers that do not exist are null."""
        made = to_json(self)
        made["header"] = {name: made["header"][name] for name in ("name", "type", "digest", "engine", "data")}
        return {**made, "coverage": self.coverage, "cost": self.cost}


def to_json(value: Any) -> Any:
    """A value of this module, of `compare` or of `labels` as plain JSON."""
    if isinstance(value, Header):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(inner) for inner in value]
    return number_or_none(value)
