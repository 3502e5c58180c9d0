"""Rewards against a human's labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from graders.results.read import ResultsError
from graders.stats.agreement.labels import agreement


def test_agreement_with_labels() -> None:
    """Confusion and kappa at the threshold, rows without a label apart; the curve holds every threshold's counts."""
    labels = [True, "pass", 1, "no", 0.0, None, "wrong"]
    rewards = np.array([0.9, 0.4, 0.8, 0.7, 0.1, 0.5, 0.2])

    found = agreement("right", labels, rewards, 0.6)

    assert (found.n, found.unlabelled, found.yes, found.no) == (6, 1, 3, 3)
    assert found.cut is not None
    assert (found.cut.both, found.cut.only_grader, found.cut.only_human, found.cut.neither) == (2, 1, 1, 2)
    assert found.cut.kappa == pytest.approx(1 / 3)
    assert {at: (yes, no) for at, yes, no in found.curve}[0.6] == (2, 1)
    assert found.distances[[0, 3]].tolist() == pytest.approx([0.1, 0.7])
    assert math.isnan(found.distances[5])


def test_a_fitted_threshold_is_not_agreement() -> None:
    """M11: rewards that know nothing agree no better than chance, however well a threshold fits them."""
    chance = np.random.default_rng(3)
    fitted, held_out = [], []
    for _ in range(40):
        found = agreement("right", chance.integers(0, 2, 40).tolist(), chance.random(40), None)
        assert found.cut is not None
        assert found.kappa is not None
        assert found.fitted
        fitted.append(found.cut.kappa)
        held_out.append(found.kappa.value)

    assert np.mean(fitted) > 0.12
    assert abs(np.mean(held_out)) < 0.08


def test_a_threshold_is_chosen_on_one_half_and_judged_on_the_other() -> None:
    """Where any threshold between the two kinds is right, both halves find one."""
    found = agreement("right", [0] * 20 + [1] * 20, np.linspace(0, 1, 40) ** 3, None)

    assert found.cut is not None
    assert found.agreement is not None
    assert found.cut.kappa == 1.0
    assert found.agreement.value >= 0.95


def test_agreement_uses_items() -> None:
    """S3: 6 items of 40 repeats, one of them wrong: an interval of 6 items, not of 240 rows."""
    items = np.repeat(np.arange(6), 40)
    labels = [True] * 240
    rewards = np.where(items == 5, 0.0, 1.0)

    found = agreement("right", labels, rewards, 1.0, items=items).agreement

    assert found is not None
    assert found.items == 6
    assert found.low < 0.5
    assert found.high > 0.95


def test_the_reliability_diagram_holds_every_label() -> None:
    """Bins in order; in each, the part that the human passes, with its interval."""
    chance = np.random.default_rng(1)
    rewards = chance.random(200)
    labels = (chance.random(200) < rewards).tolist()

    bins = agreement("right", labels, rewards, 0.5).bins

    assert sum(each.passed.n for each in bins) == 200
    assert all(one.high < other.low for one, other in itertools.pairwise(bins))
    assert sum(each.passed.low <= each.reward <= each.passed.high for each in bins) >= len(bins) - 2


def test_ratings_are_correlated() -> None:
    """Labels that are numbers have no confusion, unless a threshold makes them yes and no."""
    labels, rewards = [1, 2, 3, 5, 4], np.array([1.0, 2.0, 3.0, 4.0, 5.0])

    found = agreement("stars", labels, rewards, None)
    cut = agreement("stars", labels, rewards, 4.0, label_threshold=4).cut

    assert (found.cut, found.curve) == (None, ())
    assert found.correlation == pytest.approx(0.9)
    assert found.weighted_kappa == pytest.approx(0.9)
    assert cut is not None
    assert (cut.both, cut.neither) == (2, 3)


def test_an_unreadable_label_is_refused() -> None:
    """The message shows it, and what would do."""
    with pytest.raises(ResultsError, match="holds 'perhaps': expected true or false, 0 or 1, a number"):
        agreement("right", [True, "perhaps"], np.array([1.0, 0.0]), 1.0)
