"""Pass thresholds: the one with the best agreement with labels, and its held-out agreement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from graders.stats.agreement.association import confusion, kappa
from graders.stats.resampling import SEED, Bools, Floats, Ints

#: Thresholds in a report's curve.
CURVE_MAX = 200


@dataclass(frozen=True, slots=True)
class ThresholdCounts:
    """The confusion of grader and human where rewards of at least `threshold` pass.

    Attributes:
        both, only_grader, only_human, neither: Numbers of rows by who passes them.
    """

    threshold: float
    both: int
    only_grader: int
    only_human: int
    neither: int

    @property
    def kappa(self) -> float:
        """Cohen's kappa on these rows; NaN where it is undefined."""
        table = {
            (True, True): self.both,
            (True, False): self.only_grader,
            (False, True): self.only_human,
            (False, False): self.neither,
        }
        return kappa(table)


def cut_at(threshold: float, rewards: Floats, yes: Bools) -> ThresholdCounts:
    """The confusion at a threshold."""
    table = confusion(rewards >= threshold, yes)
    return ThresholdCounts(
        threshold, table[True, True], table[True, False], table[False, True], table[False, False]
    )


def held_out(rewards: Floats, yes: Bools, items: Ints | None) -> Bools:
    """Whether each row passes at the best threshold of the other half of the items.

    Both halves have equally many items that the human passes, so that each threshold is chosen on both labels.
    """
    own = np.arange(len(rewards)) if items is None else items
    n_items = int(own.max()) + 1
    passed_part = np.bincount(own, yes, n_items) / np.bincount(own, minlength=n_items)
    shuffled = np.random.default_rng(SEED).permutation(n_items)
    half_of = np.empty(n_items, np.int64)
    half_of[shuffled[np.argsort(passed_part[shuffled], kind="stable")]] = np.arange(n_items) % 2
    half = half_of[own]
    passed = np.zeros(len(rewards), bool)
    for judged in (0, 1):
        here, other = half == judged, half != judged
        if other.any():
            passed[here] = rewards[here] >= best(rewards[other], yes[other])
    return passed


def curve(rewards: Floats, yes: Bools, threshold: float | None) -> tuple[tuple[float, int, int], ...]:
    """(threshold, yes labels, no labels at or above it) for every reward, or CURVE_MAX even steps and the spec's."""
    thresholds = np.unique(rewards)
    if len(thresholds) > CURVE_MAX:
        thresholds = np.linspace(thresholds[0], thresholds[-1], CURVE_MAX)
    if threshold is not None:
        thresholds = np.union1d(thresholds, [threshold])
    of_yes, of_no = np.sort(rewards[yes]), np.sort(rewards[~yes])
    return tuple(
        (
            float(at),
            len(of_yes) - int(np.searchsorted(of_yes, at)),
            len(of_no) - int(np.searchsorted(of_no, at)),
        )
        for at in thresholds
    )


def best(rewards: Floats, yes: Bools) -> float:
    """The threshold with the highest kappa; the lowest of several."""
    n_yes, n_no = int(yes.sum()), int((~yes).sum())

    def kappa_at(point: tuple[float, int, int]) -> float:
        threshold, both, only_grader = point
        found = ThresholdCounts(threshold, both, only_grader, n_yes - both, n_no - only_grader).kappa
        return -math.inf if math.isnan(found) else found

    return max(curve(rewards, yes, None), key=kappa_at)[0]
