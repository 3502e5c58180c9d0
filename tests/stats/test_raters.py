"""Several raters, scores against labels, and pass rates corrected for errors: against their sources and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from graders.stats.agreement.correction import rogan_gladen
from graders.stats.agreement.raters import alpha
from graders.stats.agreement.scores import auroc, brier
from graders.stats.distributions import benjamini_hochberg, binomial_tail
from graders.stats.estimates import Estimate, pass_rate

NONE = math.nan
#: Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C: four observers of twelve units.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    ]
).T


@pytest.mark.parametrize(("nominal", "value"), [(True, 0.743), (False, 0.849)])
def test_alpha_is_krippendorffs(nominal: bool, value: float) -> None:
    found = alpha(OBSERVERS, nominal=nominal)

    assert found.value == pytest.approx(value, abs=5e-4)
    assert found.low < value < found.high
    # the last unit has a single rating, which says nothing
    assert found.n == 11


def test_alpha_without_disagreement_is_not_certain() -> None:
    """Twenty rows on which all agree do not show that they always would."""
    found = alpha(np.repeat([[0.0], [1.0]], 10, axis=0).repeat(2, axis=1), nominal=True)

    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.3 < found.low < 0.9
    assert math.isnan(alpha(np.ones((5, 2)), nominal=True).value)
    assert alpha(np.full((3, 2), NONE), nominal=True).method == "none: no row has two ratings"


def test_auroc_is_the_mann_whitney_statistic() -> None:
    chance = np.random.default_rng(5)
    for _ in range(20):
        yes = np.arange(40) % 3 == 0
        scores = np.round(chance.random(40) + 0.5 * yes, 1)
        expected = scipy_stats.mannwhitneyu(scores[yes], scores[~yes]).statistic / (yes.sum() * (~yes).sum())
        assert auroc(scores, yes).value == pytest.approx(expected, abs=1e-12)


def test_auroc_of_a_perfect_order_is_not_certain() -> None:
    """No pair in the wrong order among 10 and 10 still leaves room; with one label it is undefined."""
    found = auroc(np.arange(20.0), np.arange(20) >= 10)

    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.7 < found.low < 0.95
    assert math.isnan(auroc(np.arange(5.0), np.ones(5, bool)).value)


def test_repeats_widen_intervals() -> None:
    """The same rows four times over say no more than once."""
    chance = np.random.default_rng(6)
    yes = chance.random(40) < 0.5
    scores = chance.random(40) + 0.4 * yes
    once = auroc(scores, yes)
    items = np.arange(40).repeat(4)

    again = auroc(scores.repeat(4), yes.repeat(4), items)

    assert again.value == pytest.approx(once.value)
    assert again.width == pytest.approx(once.width, rel=0.15)
    assert brier(scores.clip(0, 1).repeat(4), yes.repeat(4), items).items == 40


def test_adjusted_p_values_and_tails_are_scipys() -> None:
    p = [0.001, 0.2, 0.03, 0.04, 0.9, 0.011]

    assert benjamini_hochberg(p) == pytest.approx(scipy_stats.false_discovery_control(p), abs=1e-12)
    assert binomial_tail(3, 20, 0.05) == pytest.approx(scipy_stats.binom.sf(2, 20, 0.05), rel=1e-9)
    assert binomial_tail(0, 20, 0.05) == 1.0


def rate(value: float, n: int) -> Estimate:
    return pass_rate(np.arange(n) < round(value * n))


def test_rogan_gladen_by_hand() -> None:
    """Rogan and Gladen 1978: (apparent + specificity - 1) / (sensitivity + specificity - 1)."""
    found = rogan_gladen(rate(0.4, 200), rate(0.9, 50), rate(0.8, 50))

    assert found.value == pytest.approx((0.4 + 0.8 - 1) / 0.7)
    assert found.low < 0.2 < 0.4 < found.high
    assert math.isnan(rogan_gladen(rate(0.4, 200), rate(0.5, 50), rate(0.5, 50)).value)


def test_corrected_rates_cover_the_true_one() -> None:
    """In at least 92 % of 300 runs, for errors and labels of several sizes."""
    chance = np.random.default_rng(7)
    for true, sensitivity, specificity in ((0.1, 0.9, 0.8), (0.5, 0.7, 0.7), (0.85, 0.97, 0.95)):
        covered = 0
        for _ in range(300):
            right = chance.random(200) < true
            passed = np.where(right, chance.random(200) < sensitivity, chance.random(200) > specificity)
            of_labels = pass_rate(chance.random(50) < sensitivity), pass_rate(chance.random(60) < specificity)
            found = rogan_gladen(pass_rate(passed), *of_labels)
            covered += found.low <= true <= found.high
        assert covered >= 276
