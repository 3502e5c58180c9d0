"""Intervals, tests and agreement: equal to scipy and statsmodels, and covering what they promise."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from graders.stats import distributions, estimates, paired, repeats, resampling
from graders.stats.agreement import association

CLOSE: dict[str, Any] = {"rel": 1e-9, "abs": 1e-9}


# --- against scipy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passes", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (515, 1319), (999, 1000)]
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_is_scipys(passes: int, n: int, level: float) -> None:
    """The interval equals scipy.stats.binomtest(...).proportion_ci(method="wilson")."""
    theirs = scipy_stats.binomtest(passes, n).proportion_ci(level, method="wilson")

    assert estimates.wilson(passes, n, level) == pytest.approx((theirs.low, theirs.high), **CLOSE)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 10, 29, 30, 100, 1999, 2000, 2001, 5000])
@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995])
def test_student_is_scipys(p: float, df: int) -> None:
    """The series and the expansion equal scipy.stats.t.ppf."""
    assert distributions.t_quantile(p, df) == pytest.approx(float(scipy_stats.t.ppf(p, df)), **CLOSE)


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_the_exact_binomial(only_a: int, only_b: int) -> None:
    """The p equals scipy.stats.binomtest(b, b + c, 0.5), and is 1 if no pair differs."""
    n = only_a + only_b
    theirs = scipy_stats.binomtest(only_a, n, 0.5).pvalue if n else 1.0

    assert distributions.mcnemar(only_a, only_b) == pytest.approx(float(theirs), **CLOSE)


def test_mcnemars_normal_tail_continues_the_exact_one() -> None:
    """The normal tail with continuity correction is within a hundredth of the exact p there."""
    exact, more = distributions.mcnemar(24_800, 25_200), distributions.mcnemar(24_801, 25_201)

    assert more == pytest.approx(exact, rel=0.01)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
@settings(max_examples=40, deadline=None)
def test_sign_flips_are_counted(deltas: list[int]) -> None:
    """For few items, exactly the part of all sign patterns that give as large a sum; zeros do not matter."""
    total = abs(sum(deltas))
    patterns = list(itertools.product((-1, 1), repeat=len(deltas)))
    reached = sum(abs(sum(s * d for s, d in zip(signs, deltas, strict=True))) >= total for signs in patterns)

    assert paired.sign_flip(np.array(deltas, float)) == pytest.approx(reached / len(patterns), **CLOSE)


def test_sign_flips_of_many_items_agree_with_scipy() -> None:
    """Random flips, and the normal tail beyond MAX_DRAWN items, stand beside scipy.stats.permutation_test."""
    chance = np.random.default_rng(5)
    deltas = chance.normal(0.12, 1, 200)
    theirs = scipy_stats.permutation_test(
        (deltas,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    many = np.concatenate([deltas] * 60) / math.sqrt(60)

    assert paired.sign_flip(deltas) == pytest.approx(theirs.pvalue, abs=0.012)
    assert paired.sign_flip(many) == pytest.approx(
        float(2 * scipy_stats.norm.sf(many.sum() / np.sqrt((many**2).sum())))
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=30))
@settings(max_examples=60, deadline=None)
def test_correlations_are_scipys(pairs: list[tuple[int, int]]) -> None:
    """Pearson's r and, over ranks, Spearman's rho with ties; NaN where one side does not vary."""
    one, other = (np.array(side, float) for side in zip(*pairs, strict=True))
    if one.std() == 0 or other.std() == 0:
        assert math.isnan(association.correlation(one, other))
        return

    assert association.correlation(one, other) == pytest.approx(
        float(scipy_stats.pearsonr(one, other)[0]), **CLOSE
    )
    rho = association.correlation(association.ranks(one), association.ranks(other))
    assert rho == pytest.approx(float(scipy_stats.spearmanr(one, other)[0]), **CLOSE)


def test_the_error_of_a_mean_is_scipys() -> None:
    """One row an item: the usual standard error. Beyond MAX_DRAWN items the interval is made of it."""
    values = np.random.default_rng(0).random(20_000)
    n, sem = len(values), float(scipy_stats.sem(values))

    found = estimates.mean(values)

    assert resampling.standard_error(values, np.ones(n)) == pytest.approx(sem, **CLOSE)
    assert (found.low, found.high) == pytest.approx(
        scipy_stats.norm.interval(0.95, values.mean(), sem), **CLOSE
    )


def test_the_bootstrap_is_scipys() -> None:
    """The same interval as scipy.stats.bootstrap with the widened tails, up to chance."""
    values = np.random.default_rng(2).beta(2, 5, 40)
    t = scipy_stats.t.ppf(0.975, 39)
    level = 1 - 2 * float(scipy_stats.norm.cdf(-math.sqrt(40 / 39) * t))
    theirs = scipy_stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval

    found = estimates.mean(values)

    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)
    # the same draws every time, in whatever order rows stand
    assert estimates.mean(values[::-1].copy()) == found


def test_few_distinct_items_are_drawn_by_their_counts() -> None:
    """Of many rows with three values: the interval that scipy gets by drawing items one by one, up to chance."""
    values = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 3000, p=[0.2, 0.5, 0.3])
    items = np.arange(3000) // 2
    sums = np.bincount(items, values)
    theirs = scipy_stats.bootstrap(
        (sums,), np.mean, n_resamples=4000, batch=500, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval

    rows, pairs = estimates.difference(values), estimates.difference(values, items)

    assert len(resampling.resampled_means(values, np.ones(3000))) == resampling.DRAWS
    error = float(scipy_stats.sem(values))
    assert (rows.low, rows.high) == pytest.approx(
        scipy_stats.norm.interval(0.95, values.mean(), error), abs=0.15 * error
    )
    error = float(scipy_stats.sem(sums)) / 2
    assert (pairs.low, pairs.high) == pytest.approx((theirs.low / 2, theirs.high / 2), abs=0.15 * error)
    assert estimates.difference(values[::-1].copy()) == rows


@pytest.mark.parametrize(("up", "down"), [(1300, 1200), (1290, 1210), (1250, 1250)])
def test_sign_flips_of_equal_differences_are_mcnemars(up: int, down: int) -> None:
    """Of many pairs that differ by one, by chance: the exact test's p."""
    found = paired.sign_flip(np.array([1.0] * up + [-1.0] * down))

    assert found == pytest.approx(distributions.mcnemar(up, down), abs=0.015)


# --- against the definitions --------------------------------------------------------------------------------------


# n, passed, k: pass@k and pass^k counted over every choice of k of n samples
@pytest.mark.parametrize(
    ("n", "passed", "k"), [(1, 0, 1), (1, 1, 1), (4, 1, 2), (5, 3, 2), (6, 2, 5), (8, 4, 4)]
)
def test_pass_at_k_counts_choices(n: int, passed: int, k: int) -> None:
    """By definition: the part of all choices of k samples with one, or only, passing ones."""
    choices = list(itertools.combinations([True] * passed + [False] * (n - passed), k))

    assert repeats.pass_at_k(n, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices), **CLOSE)
    assert repeats.pass_hat_k(n, passed, k) == pytest.approx(sum(map(all, choices)) / len(choices), **CLOSE)


KAPPAS = [
    # yes-yes, yes-no, no-yes, no-no, kappa
    pytest.param(20, 5, 10, 15, 0.4, id="two readers of 50 grant proposals, the textbook example"),
    pytest.param(45, 15, 25, 15, 0.13043478260869565, id="by the formula: 0.6 agreed, 0.54 by chance"),
    pytest.param(10, 0, 0, 10, 1.0, id="full agreement"),
    pytest.param(0, 10, 10, 0, -1.0, id="full disagreement"),
    pytest.param(20, 0, 0, 0, math.nan, id="both always say yes: undefined"),
    pytest.param(0, 0, 0, 0, math.nan, id="no rows"),
]


@pytest.mark.parametrize(("both", "one", "other", "neither", "kappa"), KAPPAS)
def test_kappa_of_known_tables(both: int, one: int, other: int, neither: int, kappa: float) -> None:
    """Cohen's kappa of known tables."""
    table = {(True, True): both, (True, False): one, (False, True): other, (False, False): neither}

    assert association.kappa(table) == pytest.approx(kappa, nan_ok=True, **CLOSE)


def test_weighted_kappa_is_kappa_where_ratings_are_yes_and_no() -> None:
    """By definition: with two ratings there is one weight only."""
    one, other = np.array([1.0] * 25 + [0.0] * 25), np.array([1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15)

    assert association.weighted_kappa(one, other) == pytest.approx(0.4, **CLOSE)
    assert math.isnan(association.weighted_kappa(np.ones(3), np.ones(3)))


def test_copies_of_rows_narrow_no_interval() -> None:
    """Four copies of every row leave the interval as wide as the rows themselves make it."""
    chance = np.random.default_rng(4)
    values, passed = chance.beta(2, 2, 60), chance.random(60) < 0.4
    items = np.repeat(np.arange(60), 4)

    one, four = estimates.mean(values), estimates.mean(np.repeat(values, 4), items)
    some, more = estimates.pass_rate(passed), estimates.pass_rate(np.repeat(passed, 4), items)

    assert (four.low, four.high) == pytest.approx((one.low, one.high), **CLOSE)
    assert (more.low, more.high) == pytest.approx((some.low, some.high), rel=0.02)
    assert (four.n, four.items) == (240, 60)


# --- what is not known --------------------------------------------------------------------------------------------

ALL_EQUAL = [
    # value, rows, span, interval
    pytest.param(5.0, 10, (0.0, 5.0), (3.612336, 5.0), id="at the top of its range"),
    pytest.param(0.5, 10, (0.0, 1.0), (0.361234, 0.638766), id="in the middle: as far either way"),
    pytest.param(0.0, 10, (-1.0, 3.0), (-0.277533, 0.832598), id="0 in a range that reaches below"),
    pytest.param(1.0, 10, None, (0.722467, 1.0), id="of nobody knows what, 1 is taken for a pass"),
    pytest.param(5.0, 10, None, (math.nan, math.nan), id="of nobody knows what, no interval"),
]


@pytest.mark.parametrize(("value", "n", "span", "interval"), ALL_EQUAL)
def test_equal_rewards_have_an_interval(
    value: float, n: int, span: tuple[float, float] | None, interval: tuple[float, float]
) -> None:
    """S1: other rewards may be as frequent as Wilson's interval of 0 among n allows (0.2775 for 10), anywhere in the span."""
    found = estimates.mean(np.full(n, value), span=span)

    assert (found.low, found.high) == pytest.approx(interval, abs=1e-5, nan_ok=True)
    assert found.between().startswith("no interval: all rewards are equal") == math.isnan(found.low)


@pytest.mark.parametrize(("low", "high"), [(0.0, 5.0), (-1.0, 1.0), (0.0, 0.9), (0.2, 0.3)])
def test_two_values_are_a_pass_rate_in_other_units(low: float, high: float) -> None:
    """S1: the interval of 0/1 rewards, moved and stretched."""
    passed = np.arange(40) < 34
    rate = estimates.pass_rate(passed)

    found = estimates.mean(np.where(passed, high, low))

    scaled = [low + (high - low) * part for part in (rate.value, rate.low, rate.high)]
    assert [found.value, found.low, found.high] == pytest.approx(scaled)


@pytest.mark.parametrize(("passes", "n"), [(1, 10), (2, 10), (3, 60), (9, 10), (58, 60)])
def test_few_passes_reach_to_poissons_limit(passes: int, n: int) -> None:
    """As scipy's chi-squared quantiles give it (Brown, Cai and DasGupta 2001): Wilson's own leaves small rates out."""
    found = estimates.pass_rate(np.arange(n) < passes)
    few = min(passes, n - passes)
    limit = float(scipy_stats.chi2.ppf(0.05, 2 * few)) / 2 / n

    assert (found.low if passes == few else 1 - found.high) == pytest.approx(limit)


def test_one_item_with_most_rows_widens_the_interval() -> None:
    """S2: items of 200, 4, 4, 4 and 4 rows are hardly more than one item; that of their bootstrap is [0, 0.8]."""
    sizes = [200, 4, 4, 4, 4]
    items = np.repeat(np.arange(5), sizes)
    passed = np.concatenate([np.arange(size) < round(0.7 * size) for size in sizes])

    found = estimates.pass_rate(passed, items)

    assert found.low < 0.1
    assert found.high > 0.9


def test_equal_item_means_have_an_interval() -> None:
    """The same three rewards in each item: the spread between items is 0, and that is not certainty."""
    found = estimates.mean(np.tile([0.0, 0.3, 0.7], 8), np.repeat(np.arange(8), 3))

    assert found.low < found.value < found.high


def test_pairs_without_a_difference_have_an_interval() -> None:
    """Ten equal pairs leave room for differences of the size that rewards can have."""
    found = estimates.difference(np.zeros(10), None, 1.0)

    assert (found.low, found.high) == pytest.approx((-0.277533, 0.277533), abs=1e-6)


# --- against statsmodels and scipy ------------------------------------------------------------------------------


@given(st.tuples(*[st.integers(0, 40)] * 4))
@settings(max_examples=60, deadline=None)
def test_fisher_is_scipys(cells: tuple[int, int, int, int]) -> None:
    """The p equals that of scipy.stats.fisher_exact, two-sided."""
    both, only_one, only_other, neither = cells
    theirs = scipy_stats.fisher_exact([[both, only_one], [only_other, neither]]).pvalue

    assert distributions.fisher_exact(*cells) == pytest.approx(float(theirs), **CLOSE)


def test_holm_is_the_textbooks() -> None:
    """statsmodels.stats.multitest.multipletests(method="holm") gives these for these."""
    assert distributions.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert distributions.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert distributions.holm([]) == []


def test_the_jackknife_of_rows_is_the_standard_error() -> None:
    """One row an item: equal to scipy.stats.sem."""
    values = np.random.default_rng(0).random(50)

    assert resampling.jackknife_error(values, np.ones(50)) == pytest.approx(float(scipy_stats.sem(values)))
