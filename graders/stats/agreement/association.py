"""Association of two columns: kappa and correlations."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from graders.stats.distributions import t_quantile
from graders.stats.estimates import Estimate, pass_rate
from graders.stats.resampling import LEVEL, Bools, Floats, Ints, effective_items, per_item


def kappa(table: Mapping[tuple[bool, bool], int]) -> float:
    """Cohen's kappa of two yes-or-no raters: 1 full agreement, 0 agreement by chance; NaN where it is undefined.

    Args:
        table: (one says yes, the other says yes) -> number of rows.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    n = sum(table.values())
    if not n:
        return math.nan
    agreed = table[True, True] + table[False, False]
    one = table[True, True] + table[True, False]
    other = table[True, True] + table[False, True]
    by_chance = (one * other + (n - one) * (n - other)) / n
    return math.nan if by_chance == n else (agreed - by_chance) / (n - by_chance)


def confusion(one: Bools, other: Bools) -> dict[tuple[bool, bool], int]:
    """(one says yes, the other says yes) -> number of rows."""
    both, only_one = int((one & other).sum()), int((one & ~other).sum())
    only_other = int((~one & other).sum())
    neither = len(one) - both - only_one - only_other
    return {(True, True): both, (True, False): only_one, (False, True): only_other, (False, False): neither}


def kappa_estimate(one: Bools, other: Bools, items: Ints | None = None, level: float = LEVEL) -> Estimate:
    """Cohen's kappa with an interval over items.

    The interval is the jackknife's over items on Fisher's scale, with Student's t for Kish's effective number of items.
    Where the raters never differ, it is derived from Wilson's interval of their agreement.

    Args:
        one, other: Shape [rows], at least one.
    """
    value = kappa(confusion(one, other))
    agreed = pass_rate(one == other, items, level)
    cells = [
        per_item(cell.astype(np.float64), items)[0] for cell in (one & other, one & ~other, ~one & other)
    ]
    sizes = per_item(np.ones(len(one)), items)[1]
    if agreed.value == 1.0 and not math.isnan(value) and len(sizes) > 1:
        by_chance = float(one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean()))
        low = (agreed.low - by_chance) / (1 - by_chance)
        return Estimate(value, low, 1.0, len(one), len(sizes), "Wilson, from the agreement")
    both, only_one, only_other = (cell.sum() - cell for cell in cells)
    without = _kappas(both, only_one, only_other, sizes.sum() - sizes)
    return jackknife_estimate(value, without, sizes, level)


def jackknife_estimate(value: float, without: Floats, sizes: Floats, level: float = LEVEL) -> Estimate:
    """A coefficient from -1 to 1 with the jackknife's interval over items, on Fisher's scale.

    Student's t has the degrees of freedom of Kish's effective number of items.

    Args:
        without: The coefficient with each item left out; NaN where it is undefined then. Shape [items].
        sizes: Rows of each item.
    """
    n, n_items = int(sizes.sum()), len(sizes)
    if math.isnan(value) or n_items < 2:
        why = "a single item" if n_items < 2 else "it is undefined, since all say the same"
        return Estimate(value, math.nan, math.nan, n, n_items, f"none: {why}")
    without = np.where(np.isnan(without), value, without)
    error = math.sqrt((n_items - 1) / n_items * float(((without - value) ** 2).sum()))
    inside = min(max(value, -0.999), 0.999)
    t = t_quantile((1 + level) / 2, max(effective_items(sizes) - 1, 0.01))
    middle, half = math.atanh(inside), t * error / (1 - inside**2)
    method = "jackknife over items, Fisher's scale"
    return Estimate(value, math.tanh(middle - half), math.tanh(middle + half), n, n_items, method)


def _kappas(both: Floats, only_one: Floats, only_other: Floats, n: Floats) -> Floats:
    """`kappa` of many tables."""
    one, other = both + only_one, both + only_other
    # leaving out the only item gives an empty table
    with np.errstate(divide="ignore", invalid="ignore"):
        by_chance = (one * other + (n - one) * (n - other)) / n
        return np.asarray((n - only_one - only_other - by_chance) / (n - by_chance), np.float64)


def weighted_kappa(one: Floats, other: Floats) -> float:
    """Cohen's kappa with quadratic weights, for ratings on one scale of numbers; NaN where it is undefined.

    Source: Cohen 1968, "Weighted kappa".
    """
    by_chance = one.var() + other.var() + (one.mean() - other.mean()) ** 2
    return math.nan if by_chance == 0 else float(1 - ((one - other) ** 2).mean() / by_chance)


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's r; NaN where either does not vary."""
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def ranks(values: Floats) -> Floats:
    """Ranks from 1 for the smallest; equal values share the mean rank. Pearson's r of rankings is Spearman's rho."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[where], np.float64)
