"""Several raters of the same rows: Krippendorff's alpha with an interval over items."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from graders.stats.agreement.association import jackknife_estimate
from graders.stats.estimates import Estimate, mean
from graders.stats.resampling import LEVEL, Floats, Ints


def alpha(ratings: Floats, items: Ints | None = None, *, nominal: bool, level: float = LEVEL) -> Estimate:
    """Krippendorff's alpha: 1 full agreement, 0 agreement by chance, below 0 systematic disagreement.

    Rows with fewer than two ratings are ignored. The interval is the jackknife's over items; where no two ratings
    differ, it is derived from Wilson's interval of the rate of differing rows.

    Args:
        ratings: Shape [rows, raters]; NaN where a rater has not rated a row.
        items: The item of each row, as in `estimates`.
        nominal: Whether ratings only agree or differ; else they are numbers with the squared distance as difference.
        level: Confidence level of the interval.

    Returns:
        The estimate; NaN where no row has two ratings or all ratings are equal, for which alpha is undefined.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability"; nominal and interval difference functions.
    """
    several = (~np.isnan(ratings)).sum(axis=1) >= 2
    ratings = ratings[several]
    n = int(several.sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0, 0, "none: no row has two ratings")
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = np.stack([(ratings == value).sum(axis=1) for value in values], axis=1).astype(np.float64)
    apart = 1.0 - np.eye(len(values)) if nominal else (values[:, None] - values[None, :]) ** 2
    sizes = counts.sum(axis=1)
    observed = ((counts @ apart) * counts).sum(axis=1) / (sizes - 1)
    own = np.arange(n) if items is None else np.unique(items[several], return_inverse=True)[1]
    by_item = np.zeros((int(own.max()) + 1, len(values) + 1))
    np.add.at(by_item, own, np.column_stack([counts, observed]))
    total = by_item.sum(axis=0)
    value = float(_alphas(total[None, :], apart)[0])
    if value == 1.0:
        differing = mean(np.zeros(n), None if items is None else own, (0.0, 1.0), level)
        chance = float(total[:-1] @ apart @ total[:-1]) / total[:-1].sum() ** 2
        low = 1 - differing.high * float(apart.max()) / chance
        return Estimate(
            value, max(-1.0, low), 1.0, n, differing.items, "Wilson, from rows without a difference"
        )
    without = _alphas(total[None, :] - by_item, apart)
    return jackknife_estimate(value, without, np.bincount(own).astype(np.float64), level)


def _alphas(sums: Floats, apart: NDArray[np.float64]) -> Floats:
    """Alpha of many tables of [count of each value ..., observed differences]."""
    counts, observed = sums[:, :-1], sums[:, -1]
    n = counts.sum(axis=1)
    by_chance = ((counts @ apart) * counts).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - (n - 1) * observed / by_chance, np.float64)
