"""Statistics against packages that the other tests do without: statsmodels, inspect_ai and krippendorff, where they are installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from graders.stats import distributions, estimates, resampling
from graders.stats.agreement import association
from graders.stats.agreement.raters import alpha

CLOSE: dict[str, Any] = {"rel": 1e-9, "abs": 1e-12}
DRAWS = 20


def chance_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("passes", "n"), [(0, 10), (3, 10), (10, 10), (515, 1319)])
def test_wilson_is_statsmodels(passes: int, n: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")

    assert estimates.wilson(passes, n) == pytest.approx(
        proportion.proportion_confint(passes, n, method="wilson"), **CLOSE
    )


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (3, 9), (14, 14), (40, 71)])
def test_mcnemar_is_statsmodels(only_a: int, only_b: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")

    theirs = tables.mcnemar([[20, only_a], [only_b, 30]], exact=True)

    assert distributions.mcnemar(only_a, only_b) == pytest.approx(float(theirs.pvalue), **CLOSE)


def test_kappa_is_statsmodels() -> None:
    """Cohen's, and with squared weights for ratings."""
    raters = pytest.importorskip("statsmodels.stats.inter_rater")
    chance = chance_of(1)
    for _ in range(DRAWS):
        one, other = chance.random((2, 60)) < 0.6
        table = [[int(((one == a) & (other == b)).sum()) for b in (True, False)] for a in (True, False)]
        expected = float(raters.cohens_kappa(table).kappa)
        assert association.kappa_estimate(one, other).value == pytest.approx(expected, **CLOSE)

        ratings, again = chance.integers(0, 4, (2, 60))
        counts = np.zeros((4, 4), dtype=int)
        np.add.at(counts, (ratings, again), 1)
        expected = float(raters.cohens_kappa(counts, weights=np.arange(4), wt="quadratic").kappa)
        found = association.weighted_kappa(ratings.astype(float), again.astype(float))
        assert found == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize(
    ("method", "adjusted"), [("holm", distributions.holm), ("fdr_bh", distributions.benjamini_hochberg)]
)
def test_adjusted_p_values_are_statsmodels(method: str, adjusted: Any) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    chance = chance_of(2)
    for n in range(1, DRAWS):
        p_values = [float(p) for p in chance.random(n) ** 3]
        assert adjusted(p_values) == pytest.approx(
            list(multitest.multipletests(p_values, method=method)[1]), **CLOSE
        )


@pytest.mark.parametrize(
    "sizes", [[1] * 30, [4] * 12, [1, 2, 3, 9, 30, 5]], ids=["rows", "repeats", "unequal items"]
)
def test_the_standard_error_is_inspects(sizes: list[int]) -> None:
    """Over rows its stderr(), over items its stderr(cluster=...)."""
    scorer = pytest.importorskip("inspect_ai.scorer")
    values = chance_of(3).random(sum(sizes)).round(3)
    items = np.repeat(np.arange(len(sizes)), sizes)
    scores = [
        scorer.SampleScore(
            score=scorer.Score(value=float(value)), sample_id=str(at), sample_metadata={"item": str(item)}
        )
        for at, (value, item) in enumerate(zip(values, items, strict=True))
    ]
    theirs = scorer.stderr(cluster="item") if max(sizes) > 1 else scorer.stderr()

    ours = resampling.standard_error(*resampling.per_item(values, items))

    assert ours == pytest.approx(theirs(scores), **CLOSE)


@pytest.mark.parametrize(("nominal", "level"), [(True, "nominal"), (False, "interval")])
def test_alpha_is_krippendorffs_package(nominal: bool, level: str) -> None:
    reference = pytest.importorskip("krippendorff")
    chance = chance_of(4)
    for _ in range(DRAWS):
        ratings = chance.integers(0, 4, (30, 3)).astype(float)
        ratings[:, 1] = np.where(chance.random(30) < 0.7, ratings[:, 0], ratings[:, 1])
        ratings[chance.random((30, 3)) < 0.2] = math.nan
        expected = reference.alpha(ratings.T, level_of_measurement=level)
        assert alpha(ratings, nominal=nominal).value == pytest.approx(expected, **CLOSE)
