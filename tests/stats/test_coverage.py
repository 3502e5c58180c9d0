"""The intervals hold the true value as often as they say, in the shapes of benchmarks/coverage.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.coverage import CALIBRATION, HARD, NAMED, RESAMPLES, Shape, coverage
from graders.stats import resampling
from graders.stats.distributions import holm
from graders.stats.paired import sign_flip, simultaneous_differences

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("shape", [*NAMED, *HARD, *CALIBRATION], ids=lambda shape: shape.name)
def test_intervals_hold_the_true_value(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 intervals from fresh data, as many as the shape asks for."""
    monkeypatch.setattr(resampling, "DRAWS", RESAMPLES)

    assert shape.least <= coverage(shape, 1000) <= shape.most


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_many_differences_are_held_to_one_error(alike: float) -> None:
    """S6: of 300 comparisons of 12 sub-rewards of noise, at most 6 % show a difference, independent or alike."""
    chance, by_interval, by_test = np.random.default_rng(5), 0, 0
    for _ in range(300):
        common = chance.normal(0, 1, (60, 1))
        noise: Any = np.sqrt(alike) * common + np.sqrt(1 - alike) * chance.normal(0, 1, (60, 12))
        columns = list(noise.T)
        found = simultaneous_differences(columns, None, [None] * 12)
        by_interval += any(each.low > 0 or each.high < 0 for each in found)
        by_test += min(holm([sign_flip(column) for column in columns])) < 0.05

    assert by_interval / 300 <= 0.06
    assert by_test / 300 <= 0.06
