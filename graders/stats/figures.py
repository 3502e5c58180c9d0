"""The statistics of a results file, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from graders.results.read import Header
from graders.stats.estimates import Estimate, number_or_none
from graders.stats.histogram import HistogramBar
from graders.stats.reasons import FailureReason
from graders.stats.repeats import Reliability, Repeats


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of rewards.

    Attributes:
        mean: The mean with its interval.
        sd: Standard deviation over rows, of the sample (n - 1); NaN for one row.
        quantiles: Fraction of the rows -> value, for QUANTILES.
        bars: A histogram.
    """

    mean: Estimate
    sd: float
    least: float
    most: float
    quantiles: Mapping[str, float]
    bars: tuple[HistogramBar, ...]


@dataclass(frozen=True, slots=True)
class SubReward:
    """The sub-rewards of one member of a multi.

    Attributes:
        passed: Pass rate by its own pass_threshold; None without one.
        moves: Its influence on the total: the mean absolute change of the formula's value when this sub-reward is
            replaced by its mean in every row. 0 where the total does not depend on it in these rows.
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
    """Bounds of the mean over all rows, with the failed rows at the least or the largest reward.

    Attributes:
        least, most: The assumed range of rewards; `range` says so in words.
    """

    low: float
    high: float
    least: float
    most: float
    range: str


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of judges and programs per row, over the rows that have them, without waiting.

    Attributes:
        waited: Median seconds that a row waited for a free place; None for files that do not separate them, whose
            other figures include the wait.
    """

    n: int
    p50: float
    p90: float
    p99: float
    most: float
    bars: tuple[HistogramBar, ...]
    waited: float | None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens of one judge. `cost` is in the price table's currency, None without a price."""

    model: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The statistics of a results file.

    Attributes:
        items: Number of items of the scored rows; `grouping` says how items were identified.
        flags: Flag -> number of failed rows, the most frequent first. A row may have several.
        rewards: None when no row was scored.
        reasons: The distinct reasons of failures, most frequent first, with an example id each.
        threshold: The least reward that passes: the requested one, the spec's pass_threshold, 1 where all rewards are 0
            or 1, else None.
        passed: Pass rate of the scored rows; None without a threshold.
        repeats: pass@k and pass^k for k = 1, 2, 4 ... while at least half of the items have k rows; () without repeats
            or threshold.
        reliability: Agreement of repeats; None without repeats.
        bounds: Bounds of the mean over all rows; None when no row was scored or none failed.
        lowest: The mean over all rows with the lowest reward for failed ones, which gates use; None when no row was
            scored or none failed.
        cautions: Reasons to doubt the numbers, a sentence each.
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
        """The fraction of rows that were scored; 1.0 without rows."""
        return self.scored / self.rows if self.rows else 1.0

    @property
    def cost(self) -> float | None:
        """The cost of all judges; None when there are none, or one has no price."""
        costs = [use.cost for use in self.spent]
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
        """Plain JSON; NaN is null."""
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
