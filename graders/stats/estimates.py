"""Numbers with their uncertainty: intervals, resampling, pass@k, paired tests, agreement.

Pure functions over arrays. Rows of one item are not independent, so whatever takes rows takes `items` too: an int
array of shape [rows] that says which item (0, 1, 2 ...) each row belongs to, or None where every row is its own.
What is drawn at random is drawn with SEED: the same rows give the same interval, in whatever order they stand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

LEVEL = 0.95  # of every interval
DRAWS = 10_000  # bootstrap resamples,
DRAWN_MAX = 20_000_000  # or fewer, so that no more items than these are drawn in all: a fifth of a second
FLIPS = 10_000  # sign flips; fewer than 2^14 items are flipped in every possible way
SEED = 20261124
MAX_DRAWN = 10_000  # items beyond which the bootstrap of a mean is replaced by the normal it tends to
MAX_EXACT = 50_000  # pairs that differ in an exact McNemar test
DRAWN_AT_ONCE = 2_000_000  # numbers in memory while resampling
T_SERIES_MAX = 2000  # degrees of freedom summed term by term; beyond, an expansion is exact to 1e-12

_normal = NormalDist()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval.

    Attributes:
        value: The estimate itself.
        low, high: Ends of the interval; NaN where there is none (a single item).
        n: Rows that it is made of.
        items: Items those rows belong to.
        method: How the interval was made, in words.
    """

    value: float
    low: float
    high: float
    n: int
    items: int
    method: str

    def between(self, sign: str = "") -> str:
        """The interval in words; `sign` "+" shows the signs of its ends."""
        if math.isnan(self.low):
            return "no interval: a single item"
        return f"95 % interval {self.low:{sign}.4g} to {self.high:{sign}.4g}"

    def to_json(self) -> dict[str, Any]:
        return {name: number_or_none(getattr(self, name)) for name in self.__slots__}


def number_or_none(value: Any) -> Any:
    """NaN and infinities have no JSON form: None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- intervals ----------------------------------------------------------------------------------------------------


def mean(values: Floats, items: Ints | None = None) -> Estimate:
    """The mean of rewards: a Wilson interval where all are 0 or 1, else a bootstrap over items.

    Args:
        values: Shape [rows], at least one.
    """
    if bool(np.all((values == 0) | (values == 1))):
        return pass_rate(values == 1, items)
    return mean_drawn_anew(values, items)


def mean_drawn_anew(values: Floats, items: Ints | None = None) -> Estimate:
    """The mean of any numbers, differences among them: a bootstrap over items."""
    sums, sizes = per_item(values, items)
    low, high, method = bootstrap(sums, sizes)
    return Estimate(float(values.mean()), low, high, len(values), len(sums), method)


def pass_rate(passed: NDArray[np.bool_], items: Ints | None = None) -> Estimate:
    """The part that passed, with a Wilson interval.

    Rows of one item say less than as many independent ones. With repeats, Wilson's n is the effective number of
    rows, p(1 - p) over the cluster-robust variance of p and at most the number of rows (as Korn and Graubard 1998
    do for surveys); the number of items where p is 0 or 1 and that variance is unknown.

    Args:
        passed: Shape [rows], at least one.
    """
    n, p = len(passed), float(passed.mean())
    sums, sizes = per_item(passed.astype(np.float64), items)
    effective, method = float(n), "Wilson"
    if len(sums) < n:
        method = "Wilson, effective sample size"
        error = standard_error(sums, sizes)
        effective = min(float(n), p * (1 - p) / error**2) if error > 0 and 0 < p < 1 else float(len(sums))
    low, high = wilson(p * effective, effective)
    return Estimate(p, low, high, n, len(sums), method)


def wilson(passes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The score interval of a proportion; within [0, 1].

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z = _normal.inv_cdf((1 + level) / 2)
    p, z2 = passes / n, z * z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if passes == 0 else max(0.0, middle - half)
    return low, 1.0 if passes == n else min(1.0, middle + half)


def per_item(values: Floats, items: Ints | None) -> tuple[Floats, Floats]:
    """The sum of each item's rows, and how many they are; both of shape [items]."""
    if items is None:
        return values, np.ones(len(values))
    return np.bincount(items, values).astype(np.float64), np.bincount(items).astype(np.float64)


def standard_error(sums: Floats, sizes: Floats) -> float:
    """Of the mean over all rows, from the spread between items (linearised ratio); NaN for one item."""
    n = len(sums)
    if n < 2:
        return math.nan
    residuals = sums - sums.sum() / sizes.sum() * sizes
    return float(np.sqrt(n / (n - 1) * (residuals**2).sum()) / sizes.sum())


def bootstrap(sums: Floats, sizes: Floats, level: float = LEVEL) -> tuple[float, float, str]:
    """An interval for sum(sums) / sum(sizes) when items are drawn anew: low, high, and how it was made.

    The percentile interval is too narrow for few items; its tails are widened as far as Student's t widens the
    normal ones (Hesterberg 2015, "What teachers should know about the bootstrap", expanded percentile interval).
    Beyond MAX_DRAWN items it is the normal interval that the bootstrap tends to.
    """
    n = len(sums)
    if n < 2:
        return math.nan, math.nan, "none: a single item"
    if n > MAX_DRAWN:
        middle = float(sums.sum() / sizes.sum())
        half = _normal.inv_cdf((1 + level) / 2) * standard_error(sums, sizes)
        return middle - half, middle + half, "normal, from the spread between items"
    tail = _normal.cdf(-math.sqrt(n / (n - 1)) * t_quantile((1 + level) / 2, n - 1))
    low, high = np.quantile(_resampled(sums, sizes), (tail, 1 - tail))
    return float(low), float(high), f"bootstrap over items, {_draws(n):,} draws"


def _draws(n: int) -> int:
    return min(DRAWS, DRAWN_MAX // n)


def _resampled(sums: Floats, sizes: Floats) -> Floats:
    n, chance = len(sums), np.random.default_rng(SEED)
    order = np.lexsort(
        (sizes, sums)
    )  # so that the order of the rows, which is that of their ends, does not matter
    sums, sizes = sums[order], sizes[order]
    even = bool(np.all(sizes == sizes[0]))
    means = []
    left = _draws(n)
    while left:
        some = min(left, max(1, DRAWN_AT_ONCE // n))
        drawn = chance.integers(0, n, (some, n), dtype=np.int32)
        total = n * sizes[0] if even else sizes[drawn].sum(axis=1)
        means.append(sums[drawn].sum(axis=1) / total)
        left -= some
    return np.concatenate(means)


def t_quantile(p: float, df: int) -> float:
    """Student's t for a whole number of degrees of freedom, p above one half.

    Source: Abramowitz and Stegun 26.7.3 and 26.7.4 (exact finite series), 26.7.5 (expansion).
    """
    if df > T_SERIES_MAX:
        z = _normal.inv_cdf(p)
        return float(
            z
            + (z**3 + z) / (4 * df)
            + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
        )
    low, high = 0.0, 1.0
    while _t_middle(high, df) < 2 * p - 1:
        high *= 2
    for _ in range(200):
        half = (low + high) / 2
        if half in (low, high):
            break
        low, high = (half, high) if _t_middle(half, df) < 2 * p - 1 else (low, half)
    return high


def _t_middle(t: float, df: int) -> float:
    """The probability that Student's t lies within -t and t."""
    angle = math.atan(t / math.sqrt(df))
    cosine = math.cos(angle)
    odd = df % 2
    term = total = (cosine if odd else 1.0) if df > 1 else 0.0
    for i in range(2 + odd, df - 1, 2):
        term *= cosine * cosine * (i - 1) / i
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


# --- repeated samples ---------------------------------------------------------------------------------------------


def pass_at_k(n: int, passed: int, k: int) -> float:
    """The chance that at least one of k of an item's n samples passes; unbiased.

    Source: Chen et al. 2021, "Evaluating large language models trained on code", equation 1.
    """
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


def pass_hat_k(n: int, passed: int, k: int) -> float:
    """The chance that all of k of an item's n samples pass (pass^k); unbiased.

    Source: Yao et al. 2024, "tau-bench", section 3.
    """
    return math.comb(passed, k) / math.comb(n, k)


# --- paired tests -------------------------------------------------------------------------------------------------


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p of as uneven a split of the pairs that differ, were both equally good; exact.

    Rows count as independent. Beyond MAX_EXACT such pairs it is the normal tail with continuity correction.

    Source: McNemar 1947; exact: binomial with one half.
    """
    n, least = only_a + only_b, min(only_a, only_b)
    if n > MAX_EXACT:
        return min(1.0, 2 * _normal.cdf(-max(0.0, abs(only_a - only_b) - 1) / math.sqrt(n)))
    ways = term = 1
    for i in range(least):
        term = term * (n - i) // (i + 1)
        ways += term
    return min(1.0, 2 * ways / (1 << n))


def sign_flip(deltas: Floats) -> float:
    """Two-sided p of as large a sum of differences, were the sign of each item's difference chance.

    All flips are tried where that is less work than FLIPS random ones; beyond MAX_DRAWN items it is the normal tail.

    Args:
        deltas: The sum of differences of each item; shape [items].
    """
    deltas = np.sort(deltas[deltas != 0])  # the order of the rows does not matter
    n, total = len(deltas), abs(float(deltas.sum()))
    if not n:
        return 1.0
    if n > MAX_DRAWN:
        return min(1.0, 2 * _normal.cdf(-total / math.sqrt(float((deltas**2).sum()))))
    enough = total * (1 - 1e-12)  # equal sums may differ in the last bit
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


# --- agreement ----------------------------------------------------------------------------------------------------


def kappa(table: Mapping[tuple[bool, bool], int]) -> float:
    """Cohen's kappa of two yes-or-no raters: 1 full agreement, 0 what chance gives; NaN where that is undefined.

    Args:
        table: (one says yes, the other says yes) -> rows.

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
    """1 for the smallest; equal values share the mean of their places. The r of two rankings is Spearman's rho."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[where], np.float64)
