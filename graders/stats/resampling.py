"""Standard errors and intervals of the mean over all rows, with items as the unit of sampling.

Rows of one item are not independent. `sums` and `sizes` are the sum and the number of each item's rewards, both of
shape [items]. Resampling starts from SEED: the same rows give the same interval in any order.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graders.stats.distributions import normal, t_quantile

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

#: Confidence level of every interval.
LEVEL = 0.95
SEED = 20261124

#: Bootstrap resamples; fewer where more than DRAWN_MAX items would be drawn in all, which takes 0.2 s.
DRAWS = 10_000
DRAWN_MAX = 20_000_000
#: Distinct items up to which many items are not drawn one by one: how often each comes is drawn instead.
FEW_DISTINCT = 50
#: Random numbers in memory at a time.
DRAWN_AT_ONCE = 2_000_000
#: Number of items beyond which the bootstrap of a mean is replaced by the normal interval, its limit.
MAX_DRAWN = 10_000


def per_item(values: Floats, items: Ints | None) -> tuple[Floats, Floats]:
    """The sum and the number of each item's rows; both of shape [items]."""
    if items is None:
        return values, np.ones(len(values))
    return np.bincount(items, values).astype(np.float64), np.bincount(items).astype(np.float64)


def effective_items(sizes: Floats) -> float:
    """Kish's effective number of items for items of unequal sizes.

    Source: Kish 1965, "Survey sampling", section 8.2.
    """
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def standard_error(sums: Floats, sizes: Floats) -> float:
    """Standard error of the mean over all rows, by the variance between items (linearised ratio); NaN for one item."""
    n = len(sums)
    if n < 2:
        return math.nan
    residuals = sums - sums.sum() / sizes.sum() * sizes
    return float(np.sqrt(n / (n - 1) * (residuals**2).sum()) / sizes.sum())


def jackknife_error(sums: Floats, sizes: Floats) -> float:
    """Jackknife standard error of the mean over all rows, leaving out each item in turn; NaN for one item.

    Source: Efron and Stein 1981, "The jackknife estimate of variance".
    """
    n, total, rows = len(sums), sums.sum(), sizes.sum()
    if n < 2:
        return math.nan
    without = (total - sums) / (rows - sizes)
    return float(np.sqrt((n - 1) / n * ((without - total / rows) ** 2).sum()))


def bootstrap(sums: Floats, sizes: Floats, level: float = LEVEL) -> tuple[float, float, str]:
    """A bootstrap interval for sum(sums) / sum(sizes) over items: low, high, and the name of the method.

    The percentile interval is too narrow for few items; its tails are widened by the ratio of Student's t to the normal
    quantile (Hesterberg 2015, "What teachers should know about the bootstrap", expanded percentile interval). Beyond
    MAX_DRAWN items it is the normal interval, the bootstrap's limit.
    """
    n = len(sums)
    if n < 2:
        return math.nan, math.nan, "none: a single item"
    if n > MAX_DRAWN:
        middle = float(sums.sum() / sizes.sum())
        half = normal.inv_cdf((1 + level) / 2) * standard_error(sums, sizes)
        return middle - half, middle + half, "normal, from the spread between items"
    tail = normal.cdf(-math.sqrt(n / (n - 1)) * t_quantile((1 + level) / 2, n - 1))
    means = resampled_means(sums, sizes)
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high), f"bootstrap over items, {len(means):,} draws"


def resampled_means(sums: Floats, sizes: Floats) -> Floats:
    """Means over all rows of items drawn anew; shape [draws].

    How often each of the distinct items is drawn has a multinomial distribution. Where DRAWS resamples are too many to
    draw item by item, and few items differ, those counts are drawn: the same resampling for a fraction of the work.
    """
    n, chance = len(sums), np.random.default_rng(SEED)
    # sorted, so that the result does not depend on the order of rows, which is that of their completion
    order = np.lexsort((sizes, sums))
    sums, sizes = sums[order], sizes[order]
    n_draws = min(DRAWS, DRAWN_MAX // n)
    first = np.flatnonzero(np.concatenate(([True], (np.diff(sums) != 0) | (np.diff(sizes) != 0))))
    if n_draws < DRAWS and len(first) <= FEW_DISTINCT:
        drawn = chance.multinomial(n, np.diff(first, append=n) / n, DRAWS)
        return np.asarray(drawn @ sums[first] / (drawn @ sizes[first]), np.float64)
    even = bool(np.all(sizes == sizes[0]))
    means = []
    while n_draws:
        some = min(n_draws, max(1, DRAWN_AT_ONCE // n))
        drawn = chance.integers(0, n, (some, n), dtype=np.int32)
        total = n * sizes[0] if even else sizes[drawn].sum(axis=1)
        means.append(sums[drawn].sum(axis=1) / total)
        n_draws -= some
    return np.concatenate(means)


def student(sums: Floats, sizes: Floats, level: float) -> tuple[float, float, str]:
    """Student's interval for sum(sums) / sum(sizes), with Kish's effective number of items: low, high, and its name."""
    if len(sums) < 2:
        return math.nan, math.nan, "none: a single item"
    middle = float(sums.sum() / sizes.sum())
    df = max(effective_items(sizes) - 1, 0.01)
    half = t_quantile((1 + level) / 2, df) * jackknife_error(sums, sizes)
    if not math.isfinite(half):
        return math.nan, math.nan, "none: the rewards are too far apart"
    return middle - half, middle + half, "Student's t over items"
