"""Paired differences of two runs: tests, simultaneous intervals, and the smallest difference that pairs could show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graders.stats.distributions import normal, t_quantile
from graders.stats.estimates import Estimate, difference
from graders.stats.resampling import (
    DRAWN_AT_ONCE,
    LEVEL,
    MAX_DRAWN,
    SEED,
    Floats,
    Ints,
    effective_items,
    jackknife_error,
    per_item,
)

#: Random sign flips; all are tried where that is fewer.
FLIPS = 10_000
#: Chance of seeing the smallest difference that pairs could show.
POWER = 0.8
#: Resamples of the largest studentised difference.
MAX_T_DRAWS = 2_000


def sign_flip(deltas: Floats) -> float:
    """Two-sided p of as large a sum of differences, were the sign of each item's difference chance.

    All flips are tried where that is less work than FLIPS random ones; beyond MAX_DRAWN items it is the normal tail.

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
    reached, left = 0, FLIPS
    while left:
        some = min(left, max(1, DRAWN_AT_ONCE // n))
        signs = chance.integers(0, 2, (some, n), dtype=np.int8) * 2.0 - 1
        reached += int((np.abs(signs @ deltas) >= enough).sum())
        left -= some
    return (reached + 1) / (FLIPS + 1)


def smallest_shown(deltas: Floats, items: Ints | None = None) -> float:
    """The smallest true difference that pairs like these show with probability POWER (0.8); NaN for one item.

    Source: Bloom 1995, "Minimum detectable effects": (t for the level + t for the power) standard errors.
    """
    sums, sizes = per_item(deltas, items)
    df = effective_items(sizes) - 1
    if df <= 0:
        return math.nan
    return (t_quantile((1 + LEVEL) / 2, df) + t_quantile(POWER, df)) * jackknife_error(sums, sizes)


def simultaneous_level(columns: Sequence[Floats], items: Ints | None = None, level: float = LEVEL) -> float:
    """The level at which intervals of all these means have to be made to hold all at once with probability `level`.

    From the largest studentised difference of items' signs flipped at random: columns that go together need less
    than as many independent ones.

    Args:
        columns: Differences, shape [rows] each.

    Source: Westfall and Young 1993, "Resampling-based multiple testing", section 2.6 (single-step max t).
    """
    centred = []
    for values in columns:
        sums, sizes = per_item(values, items)
        residuals = sums - values.mean() * sizes
        if len(sums) > 1 and residuals.any():
            centred.append(residuals / np.sqrt((residuals**2).sum()))
    if len(columns) < 2 or not centred:
        return level
    matrix = np.column_stack(centred)
    chance, largest, n = np.random.default_rng(SEED), [], len(matrix)
    for _ in range(0, MAX_T_DRAWS, some := max(1, min(MAX_T_DRAWS, DRAWN_AT_ONCE // n))):
        signs = chance.integers(0, 2, (some, n), dtype=np.int8) * 2.0 - 1
        largest.append(np.abs(signs @ matrix).max(axis=1))
    z = float(np.quantile(np.concatenate(largest)[:MAX_T_DRAWS], level))
    return max(level, 2 * normal.cdf(z) - 1)


def simultaneous_differences(
    columns: Sequence[Floats], items: Ints | None, scales: Sequence[float | None], level: float = LEVEL
) -> list[Estimate]:
    """The mean differences of several columns, with intervals that hold all at once with probability `level`.

    Args:
        columns, items: As in `simultaneous_level`.
        scales: The largest difference that each can have, as in `difference`.
    """
    each = simultaneous_level(columns, items, level)
    return [difference(values, items, scale, each) for values, scale in zip(columns, scales, strict=True)]
