"""Paired differences of two runs: tests, simultaneous intervals, and the smallest detectable difference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graders.stats.distributions import normal, t_quantile
from graders.stats.estimates import Estimate, difference
from graders.stats.resampling import (
    DRAWN_AT_ONCE,
    DRAWN_MAX,
    FEW_DISTINCT,
    LEVEL,
    MAX_DRAWN,
    SEED,
    Floats,
    Ints,
    effective_items,
    jackknife_error,
    per_item,
)

#: Random sign flips; all flips are tried where they are fewer.
FLIPS = 10_000
#: Probability of detecting the smallest detectable difference.
POWER = 0.8
#: Draws of the maximum of several normal numbers.
MAX_NORMAL_DRAWS = 20_000


def sign_flip(deltas: Floats) -> float:
    """Two-sided p value of the sum of differences under random signs of each item's difference.

    All flips are tried where they are fewer than FLIPS; beyond MAX_DRAWN items it is the normal tail.
    Equal differences with signs by chance add up to a binomial number, which is drawn where items are many and few of
    their differences are distinct.

    Args:
        deltas: The sum of differences of each item; shape [items].
    """
    # sorted, so that the order of the rows does not matter
    deltas = np.sort(deltas[deltas != 0])
    n, total = len(deltas), abs(float(deltas.sum()))
    if not n:
        return 1.0
    if n > MAX_DRAWN:
        return min(1.0, 2 * normal.cdf(-total / math.sqrt(float((deltas**2).sum()))))
    # equal sums may differ in the last bit
    enough = total * (1 - 1e-12)
    if 2**n <= FLIPS:
        flips = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float((np.abs((1 - 2 * flips) @ deltas) >= enough).mean())
    chance = np.random.default_rng(SEED)
    distinct, counts = np.unique(np.abs(deltas), return_counts=True)
    if n * FLIPS > DRAWN_MAX and len(distinct) <= FEW_DISTINCT:
        sums = (2.0 * chance.binomial(counts, 0.5, (FLIPS, len(counts))) - counts) @ distinct
        return (int((np.abs(sums) >= enough).sum()) + 1) / (FLIPS + 1)
    reached, left = 0, FLIPS
    while left:
        some = min(left, max(1, DRAWN_AT_ONCE // n))
        signs = chance.integers(0, 2, (some, n), dtype=np.int8) * 2.0 - 1
        reached += int((np.abs(signs @ deltas) >= enough).sum())
        left -= some
    return (reached + 1) / (FLIPS + 1)


def smallest_shown(deltas: Floats, items: Ints | None = None) -> float:
    """The smallest true difference that pairs like these detect with probability POWER (0.8).

    NaN for one item, and where no pair differs from the mean, so that their variance is unknown.

    Source: Bloom 1995, "Minimum detectable effects": (t for the level + t for the power) standard errors.
    """
    sums, sizes = per_item(deltas, items)
    df = effective_items(sizes) - 1
    error = jackknife_error(sums, sizes)
    if df <= 0 or not error > 0:
        return math.nan
    return (t_quantile((1 + LEVEL) / 2, df) + t_quantile(POWER, df)) * error


def simultaneous_level(columns: Sequence[Floats], items: Ints | None = None, level: float = LEVEL) -> float:
    """The level of each interval for which the intervals of all these means hold together with probability `level`.

    Computed from the maximum of normal numbers with the columns' correlations: correlated columns need less than
    independent ones.

    Args:
        columns: Differences, shape [rows] each.

    Source: Hothorn, Bretz and Westfall 2008, "Simultaneous inference in general parametric models", section 4.
    """
    centred = []
    for values in columns:
        sums, sizes = per_item(values, items)
        residuals = sums - values.mean() * sizes
        if len(sums) > 1 and residuals.any():
            centred.append(residuals / np.sqrt((residuals**2).sum()))
    if len(columns) < 2 or not centred:
        return level
    together = np.column_stack(centred)
    parts, ways = np.linalg.eigh(together.T @ together)
    normals = np.random.default_rng(SEED).standard_normal((MAX_NORMAL_DRAWS, len(parts)))
    largest = np.abs(normals @ (ways * np.sqrt(np.maximum(parts, 0))).T).max(axis=1)
    return max(level, 2 * normal.cdf(float(np.quantile(largest, level))) - 1)


def simultaneous_differences(
    columns: Sequence[Floats], items: Ints | None, scales: Sequence[float | None], level: float = LEVEL
) -> list[Estimate]:
    """The mean differences of several columns, with simultaneous intervals of probability `level`.

    Args:
        columns, items: As in `simultaneous_level`.
        scales: The largest possible difference of each column, as in `difference`.
    """
    each = simultaneous_level(columns, items, level)
    return [difference(values, items, scale, each) for values, scale in zip(columns, scales, strict=True)]
