"""Student's t and exact tails of the binomial and hypergeometric, without scipy (a dependency of 100 MB)."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

#: The standard normal distribution.
normal = NormalDist()

#: Degrees of freedom from which on the expansion is exact to 1e-12; below, the distribution itself is inverted.
T_EXPANSION_MIN_DF = 2000
#: Differing pairs up to which McNemar's test is exact; beyond, it uses the normal tail.
MCNEMAR_EXACT_MAX = 50_000


@lru_cache(4096)
def t_quantile(p: float, df: float) -> float:
    """The quantile of Student's t.

    Args:
        p: Above one half, below 1.
        df: Degrees of freedom, above 0; fractions are allowed.

    Source: Abramowitz and Stegun 26.7.1 (by the incomplete beta function), 26.7.5 (expansion).
    """
    if df > T_EXPANSION_MIN_DF:
        z = normal.inv_cdf(p)
        return (
            z
            + (z**3 + z) / (4 * df)
            + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
        )
    tails = 2 * (1 - p)
    low, high = 0.0, 1.0
    while _t_tails(high, df) > tails and high < 1e150:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _t_tails(middle, df) > tails else (low, middle)
    return high


def _t_tails(t: float, df: float) -> float:
    """The probability that Student's t lies outside -t and t."""
    return incomplete_beta(df / 2, 0.5, df / (df + t * t))


@lru_cache(64)
def poisson_low(count: int, tail: float) -> float:
    """The mean of the Poisson distribution for which at least `count` has probability `tail`.

    Args:
        count: At least 1 and small, since the terms below it are summed.
    """
    low, high = 0.0, float(count)
    while low < (middle := (low + high) / 2) < high:
        fewer = math.exp(-middle) * math.fsum(middle**i / math.factorial(i) for i in range(count))
        low, high = (middle, high) if 1 - fewer < tail else (low, middle)
    return low


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for x in [0, 1].

    Source: DLMF 8.17.22 (continued fraction, evaluated by Lentz's method) and 8.17.4 (symmetry).
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a / _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    value = upper = 1.0
    lower = 0.0
    for step in range(1, 20_000):
        m, odd = divmod(step, 2)
        if odd:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / ((1 + term * lower) or tiny)
        upper = (1 + term / upper) or tiny
        value *= upper * lower
        if abs(upper * lower - 1) < 1e-15:
            break
    return value


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p value of McNemar's test, given the differing pairs of each kind.

    Rows count as independent. Beyond MCNEMAR_EXACT_MAX pairs it is the normal tail with continuity correction.

    Source: McNemar 1947; exact: binomial with one half.
    """
    n, least = only_a + only_b, min(only_a, only_b)
    if n > MCNEMAR_EXACT_MAX:
        return min(1.0, 2 * normal.cdf(-max(0.0, abs(only_a - only_b) - 1) / math.sqrt(n)))
    ways = term = 1
    for i in range(least):
        term = term * (n - i) // (i + 1)
        ways += term
    return min(1.0, 2 * ways / (1 << n))


def fisher_exact(both: int, only_one: int, only_other: int, neither: int) -> float:
    """The exact two-sided p value of independence of the rows and columns of a 2x2 table.

    Source: Fisher 1934: the sum over all tables with the same margins that are at most as likely as this one.
    """
    n, one, other = both + only_one + only_other + neither, both + only_one, both + only_other
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    counts = np.arange(max(0, one + other - n), min(one, other) + 1)
    logs = -(
        log_factorial[counts]
        + log_factorial[one - counts]
        + log_factorial[other - counts]
        + log_factorial[n - one - other + counts]
    )
    chances = np.exp(logs - logs.max())
    here = chances[both - counts[0]]
    # probabilities of equally likely tables may differ in the last bits
    return min(1.0, float(chances[chances <= here * (1 + 1e-7)].sum() / chances.sum()))


def holm(p_values: list[float]) -> list[float]:
    """P values adjusted to control the family-wise error rate.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def benjamini_hochberg(p_values: list[float]) -> list[float]:
    """P values adjusted to control the false discovery rate.

    Source: Benjamini and Hochberg 1995, "Controlling the false discovery rate".
    """
    adjusted, lowest = [math.nan] * len(p_values), 1.0
    for rank, place in reversed(list(enumerate(sorted(range(len(p_values)), key=p_values.__getitem__), 1))):
        lowest = min(lowest, p_values[place] * len(p_values) / rank)
        adjusted[place] = lowest
    return adjusted


def binomial_tail(count: int, n: int, p: float) -> float:
    """The probability of at least `count` successes in n trials with probability p.

    Source: DLMF 8.17.5.
    """
    return 1.0 if count <= 0 else incomplete_beta(count, n - count + 1, p)
