"""Means, pass rates and differences with 95 % intervals.

Pure functions over arrays. Rows of one item are not independent, so every function takes `items` beside the rows: an
int array of shape [rows] with the item (0, 1, 2 ...) of each row, or None where every row is an item of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graders.stats.distributions import normal, poisson_low, t_quantile
from graders.stats.resampling import (
    LEVEL,
    Bools,
    Floats,
    Ints,
    bootstrap,
    effective_items,
    jackknife_error,
    per_item,
    student,
)

#: Number of rows up to which Poisson limits are used for 1 and 2 passes; beyond, also for 3.
POISSON_FEW_N = 50
#: Number of items below which an interval is at least as wide as Student's t.
FEW_ITEMS = 6
#: Number of rows or items that differ from the most frequent value up to which the bootstrap's interval is widened,
#: since resamples often contain none of them.
FEW_DIFFER = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval.

    Attributes:
        value: The estimate.
        low, high: Ends of the interval; NaN without one.
        n: Number of rows.
        items: Number of items of these rows.
        method: The method of the interval, or the reason why there is none, in words.
    """

    value: float
    low: float
    high: float
    n: int
    items: int
    method: str

    @property
    def width(self) -> float:
        """Width of the interval; NaN without one."""
        return self.high - self.low

    def between(self, sign: str = "") -> str:
        """The interval in words; `sign` "+" shows the signs of its ends."""
        if math.isnan(self.low):
            return f"no interval: {self.method.removeprefix('none: ')}"
        return f"95 % interval {self.low:{sign}.4g} to {self.high:{sign}.4g}"

    def to_json(self) -> dict[str, Any]:
        return {name: number_or_none(getattr(self, name)) for name in self.__slots__}


def number_or_none(value: Any) -> Any:
    """The number, or None for NaN and infinities, which have no JSON form."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def mean(
    values: Floats,
    items: Ints | None = None,
    span: tuple[float, float] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The mean of rewards.

    Two distinct values are treated as a pass rate on another scale. If all values are equal, the interval follows from
    how rare another value can be and how far off `span` allows it. More values are resampled.

    Args:
        values: Shape [rows], at least one.
        span: The least and the largest possible reward; None when unknown. Rewards that are all 0 or all 1 are then
            taken to come from a grader that gives only these.
        level: Confidence level of the interval.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        if span is None and low in (0.0, 1.0):
            span = (0.0, 1.0)
        return _all_equal(values, items, span, level)
    if bool(np.all((values == low) | (values == high))):
        found = _scaled(pass_rate(values == high, items, level), low, high)
    else:
        found = _resampled_mean(values, items, level)
    return found if (low, high) == (0.0, 1.0) else _at_least_student(found, values, items, span, level)


def difference(
    deltas: Floats, items: Ints | None = None, scale: float | None = None, level: float = LEVEL
) -> Estimate:
    """The mean of paired differences.

    Args:
        deltas: Shape [rows], at least one.
        scale: The largest possible difference; None when unknown.
        level: Confidence level of the interval. Above LEVEL it is Student's, since the bootstrap's tails are too thin.
    """
    if not deltas.any():
        return _all_equal(deltas, items, None if scale is None else (-scale, scale), level)
    return _resampled_mean(deltas, items, level, two_sided=True)


def pass_rate(passed: Bools, items: Ints | None = None, level: float = LEVEL) -> Estimate:
    """The fraction of rows that passed, with a Wilson interval.

    Rows of one item carry less information than independent ones. With repeats, Wilson's n is the effective number of
    rows, p(1 - p) over the jackknife variance of p between items and at most the number of rows, corrected for the
    degrees of freedom of that variance (Korn and Graubard 1998). Those are Kish's effective number of items less one,
    since an item with most of the rows counts for many. Where p is 0 or 1 that variance is unknown, and n is Kish's
    number.

    Args:
        passed: Shape [rows], at least one.
        level: Confidence level of the interval.
    """
    n, p = len(passed), float(passed.mean())
    sums, sizes = per_item(passed.astype(np.float64), items)
    if len(sums) == n:
        low, high = wilson_of_few(int(passed.sum()), n, level)
        return Estimate(p, low, high, n, n, "Wilson")
    effective = _effective_rows(sums, sizes, p, level)
    low, high = wilson(p * effective, effective, level)
    return Estimate(p, low, high, n, len(sums), "Wilson, effective sample size")


def _effective_rows(sums: Floats, sizes: Floats, p: float, level: float) -> float:
    n, kish = float(sizes.sum()), effective_items(sizes)
    variance = jackknife_error(sums, sizes) ** 2
    if not variance > 0 or p in (0.0, 1.0):
        return kish
    # below a hundredth of a degree of freedom Student's quantile overflows a float
    t = t_quantile((1 + level) / 2, max(kish - 1, 0.01))
    z = normal.inv_cdf((1 + level) / 2)
    return max(min(n, p * (1 - p) / variance) * (z / t) ** 2, 1e-9)


def wilson(passes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a proportion, within [0, 1].

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z = normal.inv_cdf((1 + level) / 2)
    p, z2 = passes / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if passes == 0 else max(0.0, middle - half)
    return low, 1.0 if passes == n else min(1.0, middle + half)


def wilson_of_few(passes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval, extended towards 0 for 1 to 3 passes and towards 1 for 1 to 3 failures.

    Wilson's own interval covers a rate of 0.05 in only 91 % of samples of ten.

    Source: Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion", section 4.1.1: Poisson
    limits, for up to 2 (n at most 50) or 3.
    """
    low, high = wilson(passes, n, level)
    few = 2 if n <= POISSON_FEW_N else 3
    if 1 <= passes <= few:
        low = min(low, poisson_low(passes, 1 - level) / n)
    if 1 <= n - passes <= few:
        high = max(high, 1 - poisson_low(n - passes, 1 - level) / n)
    return low, high


def _scaled(rate: Estimate, low: float, high: float) -> Estimate:
    """The mean of rewards that are `low` or `high`, from the rate of `high`."""
    value, start, end = (low + (high - low) * part for part in (rate.value, rate.low, rate.high))
    return Estimate(value, start, end, rate.n, rate.items, rate.method)


def _at_least_student(
    found: Estimate, values: Floats, items: Ints | None, span: tuple[float, float] | None, level: float
) -> Estimate:
    """The interval, for fewer than FEW_ITEMS items at least as wide as Student's t, within the span."""
    if found.items >= FEW_ITEMS:
        return found
    low, high, method = student(*per_item(values, items), level)
    if math.isnan(low):
        return replace(found, low=low, high=high, method=method)
    least, most = span or (-math.inf, math.inf)
    low, high = min(found.low, max(least, low)), max(found.high, min(most, high))
    return replace(found, low=low, high=high, method=f"{method}, of which there are few")


def _all_equal(
    values: Floats, items: Ints | None, span: tuple[float, float] | None, level: float
) -> Estimate:
    """The mean of equal values; other values may be as frequent as the Wilson interval of 0 in n allows."""
    value, n = float(values[0]), len(values)
    _, sizes = per_item(values, items)
    if span is None or not span[0] <= value <= span[1]:
        why = "all rewards are equal, and the spec does not say how far others can lie"
        return Estimate(value, math.nan, math.nan, n, len(sizes), f"none: {why}")
    others = wilson(0, effective_items(sizes), level)[1]
    low, high = (value + others * (end - value) for end in span)
    return Estimate(value, low, high, n, len(sizes), f"Wilson, all equal within {span[0]:g} to {span[1]:g}")


def _resampled_mean(values: Floats, items: Ints | None, level: float, *, two_sided: bool = False) -> Estimate:
    """The bootstrap over items, widened if few rows differ from the most frequent value.

    Args:
        two_sided: Whether unseen values on one side of the most frequent one are assumed to be as far off as those on
            the other side, as for differences.
    """
    value, (sums, sizes) = float(values.mean()), per_item(values, items)
    if two_sided and level > LEVEL:
        low, high, method = student(sums, sizes, level)
    else:
        low, high, method = bootstrap(sums, sizes, level)
    if not math.isnan(low):
        if low == high:
            others = wilson(0, effective_items(sizes), level)[1]
            low = value + others * (float(values.min()) - value)
            high = value + others * (float(values.max()) - value)
        least, most = _interval_of_few(values, items, level, two_sided=two_sided)
        low, high = min(low, least), max(high, most)
    return Estimate(value, low, high, len(values), len(sums), method)


def _interval_of_few(
    values: Floats, items: Ints | None, level: float, *, two_sided: bool
) -> tuple[float, float]:
    """The interval from Wilson's intervals of how many rows lie above and below the most frequent value.

    An empty interval (inf, -inf) where many rows differ, or no value is repeated.

    Source: Zou and Donner 2008, the method of variance estimates recovery (MOVER), for the sum of both.
    """
    distinct, counts = np.unique(values, return_counts=True)
    mode = float(distinct[counts.argmax()])
    above, below = values > mode, values < mode
    n_differ = _n_items(above | below, items)
    if counts.max() < 2 or n_differ >= FEW_DIFFER:
        return math.inf, -math.inf
    rise = float((values[above] - mode).mean()) if above.any() else 0.0
    fall = float((mode - values[below]).mean()) if below.any() else 0.0
    if two_sided:
        rise, fall = rise or fall, fall or rise
    up, down = pass_rate(above, items, level), pass_rate(below, items, level)
    value = mode + rise * up.value - fall * down.value
    return (
        value - math.hypot(rise * (up.value - up.low), fall * (down.high - down.value)),
        value + math.hypot(rise * (up.high - up.value), fall * (down.value - down.low)),
    )


def _n_items(chosen: Bools, items: Ints | None) -> int:
    return int(chosen.sum()) if items is None else len(np.unique(items[chosen]))
