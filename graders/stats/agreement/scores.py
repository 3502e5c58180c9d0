"""Scores and binary labels: the area under the ROC curve and the Brier score, with intervals over items."""

from __future__ import annotations

import math

import numpy as np

from graders.stats.agreement.association import ranks
from graders.stats.distributions import normal, t_quantile
from graders.stats.estimates import Estimate, mean
from graders.stats.resampling import LEVEL, Bools, Floats, Ints, effective_items, per_item

#: Bisection steps for an end of an interval, to 1e-12.
HALVINGS = 40


def auroc(scores: Floats, yes: Bools, items: Ints | None = None, level: float = LEVEL) -> Estimate:
    """The probability that a yes row has a higher score than a no row; ties count half.

    The interval uses DeLong's variance over items (Obuchowski 1997) on the logit scale with Student's t. It is at
    least as wide as Hanley and McNeil's, which is positive even where no pair is in the wrong order.

    Args:
        scores, yes: Shape [rows].
        items: The item of each row, as in `estimates`.

    Returns:
        The estimate; NaN without a yes or without a no.

    Source: Hanley and McNeil 1982; DeLong, DeLong and Clarke-Pearson 1988; Newcombe 2006, "Confidence intervals for an
    effect size measure based on the Mann-Whitney statistic", part 2, method 5.
    """
    n_yes, n_no = int(yes.sum()), int((~yes).sum())
    n_items = len(scores) if items is None else len(np.unique(items))
    if not n_yes or not n_no:
        return Estimate(math.nan, math.nan, math.nan, len(scores), n_items, "none: all labels are the same")
    all_ranks = ranks(scores)
    # for each row the fraction of the rows with the other label that it is on the right side of
    placed = np.empty(len(scores))
    placed[yes] = (all_ranks[yes] - ranks(scores[yes])) / n_no
    placed[~yes] = 1 - (all_ranks[~yes] - ranks(scores[~yes])) / n_yes
    area = float(placed[yes].mean())
    influence = np.where(yes, (placed - area) / n_yes, (placed - area) / n_no)
    sums, sizes = per_item(influence, items)
    if n_items < 2:
        return Estimate(area, math.nan, math.nan, len(scores), n_items, "none: a single item")
    error = math.sqrt(n_items / (n_items - 1) * float((sums**2).sum()))
    effective = effective_items(sizes)
    part = effective / len(scores)
    low, high = _hanley_mcneil(area, n_yes * part, n_no * part, level)
    if 0 < area < 1:
        t = t_quantile((1 + level) / 2, max(min(n_yes, n_no) * part - 1, 0.01))
        middle, half = math.log(area / (1 - area)), t * error / (area * (1 - area))
        if math.isfinite(half):
            low, high = min(low, _logistic(middle - half)), max(high, _logistic(middle + half))
    return Estimate(area, low, high, len(scores), n_items, "DeLong over items, Hanley and McNeil at least")


def brier(chances: Floats, yes: Bools, items: Ints | None = None, level: float = LEVEL) -> Estimate:
    """The mean squared distance of probabilities and outcomes: 0 is best, a constant 0.5 gives 0.25.

    Args:
        chances: Shape [rows], each from 0 to 1.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    return mean((chances - yes) ** 2, items, (0.0, 1.0), level)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


def _hanley_mcneil(area: float, n_yes: float, n_no: float, level: float) -> tuple[float, float]:
    """The true areas that are compatible with the observed one: an interval like Wilson's of a rate."""
    z = normal.inv_cdf((1 + level) / 2)
    n = (n_yes + n_no) / 2 - 1

    def too_far(true: float) -> bool:
        spread = 1 + max(n, 0.0) * ((1 - true) / (2 - true) + true / (1 + true))
        return (true - area) ** 2 > z * z * true * (1 - true) / (n_yes * n_no) * spread

    ends = []
    for end in (0.0, 1.0):
        near, far = area, end
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            near, far = (near, middle) if too_far(middle) else (middle, far)
        ends.append(near if abs(near - end) > 1e-9 else end)
    return ends[0], ends[1]
