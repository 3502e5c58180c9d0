"""Pass rates corrected for the grader's errors."""

from __future__ import annotations

import math

from graders.stats.distributions import normal
from graders.stats.estimates import Estimate
from graders.stats.resampling import LEVEL


def rogan_gladen(
    passed: Estimate, sensitivity: Estimate, specificity: Estimate, level: float = LEVEL
) -> Estimate:
    """The estimated pass rate by people, from the grader's pass rate and its error rates on labelled rows.

    The labelled rows are assumed to be a sample of the same rows. The effective numbers of rows follow from the widths
    of the three intervals, so that repeats of one item count less than independent rows.

    Args:
        passed: The grader's pass rate.
        sensitivity: Fraction of the rows labelled yes that it passes.
        specificity: Fraction of the rows labelled no that it fails.

    Returns:
        The estimate; NaN where the grader passes rows labelled no at least as often as those labelled yes.

    Source: Rogan and Gladen 1978; Lang and Reiczigel 2014, "Confidence limits for prevalence of disease adjusted for
    estimated sensitivity and specificity".
    """
    z = normal.inv_cdf((1 + level) / 2)
    n, n_yes, n_no = (_effective(rate, z) for rate in (passed, sensitivity, specificity))
    youden = sensitivity.value + specificity.value - 1
    if not youden > 0 or min(n, n_yes, n_no) <= 0:
        why = "the grader passes rows with a no as often as those with a yes"
        return Estimate(math.nan, math.nan, math.nan, passed.n, passed.items, f"none: {why}")
    value = _inside((passed.value + specificity.value - 1) / youden)
    # one row of each kind is added to the labels, and z^2 / 2 to passes and fails alike
    rate = (n * passed.value + z * z / 2) / (n + z * z)
    right_yes, right_no = (
        (n_yes * sensitivity.value + 1) / (n_yes + 2),
        (n_no * specificity.value + 1) / (n_no + 2),
    )
    youden = right_yes + right_no - 1
    if not youden > 0:
        return Estimate(value, 0.0, 1.0, passed.n, passed.items, "none narrower than all: too few labels")
    middle = (rate + right_no - 1) / youden
    variances = (
        rate * (1 - rate) / (n + z * z),
        middle**2 * right_yes * (1 - right_yes) / (n_yes + 2),
        (1 - middle) ** 2 * right_no * (1 - right_no) / (n_no + 2),
    )
    spread = z * math.sqrt(sum(variances)) / youden
    shift = (
        2
        * z
        * z
        * (
            middle * right_yes * (1 - right_yes) / (n_yes + 2)
            - (1 - middle) * right_no * (1 - right_no) / (n_no + 2)
        )
    )
    low, high = _inside(middle + shift - spread), _inside(middle + shift + spread)
    return Estimate(
        value,
        min(value, low),
        max(value, high),
        passed.n,
        passed.items,
        "Rogan and Gladen, by Lang and Reiczigel",
    )


def _inside(rate: float) -> float:
    return min(1.0, max(0.0, rate))


def _effective(rate: Estimate, z: float) -> float:
    """The number of independent rows with a Wilson interval of this width; without repeats, the number of rows."""
    if rate.items == rate.n:
        return rate.n
    width, z2 = rate.high - rate.low, z * z
    if not 0 < width < 1:
        return 0.0
    # width^2 (n + z^2)^2 = z^2 (4 p (1 - p) n + z^2)
    p, w2 = rate.value, width * width
    b, c = 2 * w2 * z2 - 4 * z2 * p * (1 - p), w2 * z2 * z2 - z2 * z2
    return min(rate.n, (-b + math.sqrt(b * b - 4 * w2 * c)) / (2 * w2))
