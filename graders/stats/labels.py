"""How far rewards agree with a human's labels: confusion at every threshold, Cohen's kappa, correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graders.results.read import ResultsError
from graders.stats.association import (
    confusion,
    correlation,
    kappa,
    kappa_estimate,
    ranks,
    weighted_kappa,
)
from graders.stats.estimates import Estimate, pass_rate
from graders.stats.resampling import SEED, Bools, Floats, Ints

YES = ("yes", "true", "pass", "passed", "correct", "right", "good", "1")
NO = ("no", "false", "fail", "failed", "incorrect", "wrong", "bad", "0")
#: Thresholds that a report offers.
CURVE_MAX = 200
#: Bins of a reliability diagram.
BINS = 10


@dataclass(frozen=True, slots=True)
class Cut:
    """Grader and human when rewards from `threshold` on pass.

    Attributes:
        both, only_grader, only_human, neither: How many rows each says yes to.
    """

    threshold: float
    both: int
    only_grader: int
    only_human: int
    neither: int

    @property
    def kappa(self) -> float:
        """Cohen's, in these very rows; NaN where one of them always says the same and chance explains it all."""
        table = {
            (True, True): self.both,
            (True, False): self.only_grader,
            (False, True): self.only_human,
            (False, False): self.neither,
        }
        return kappa(table)


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows with rewards in [low, high] of a reliability diagram: what they were given, and what part the human passes."""

    low: float
    high: float
    reward: float
    passed: Estimate


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rewards against the label field.

    Attributes:
        n: Scored rows with a label; `unlabelled` scored rows have none.
        yes, no: How many labels say so; 0 and 0 for ratings.
        cut: At the spec's threshold, or where kappa is highest (`chosen` says which); None for ratings.
        agreement: The part on which both say the same; None for ratings. At a threshold that had to be chosen, each half
            of the items is judged at the threshold that is best on the other half.
        kappa: Cohen's, in the same way.
        chosen: How the threshold was chosen, in words.
        fitted: Whether it was chosen by these labels.
        curve: (threshold, yes labels at or above it, no labels at or above it), for at most CURVE_MAX thresholds.
        bins: A reliability diagram; () for ratings.
        correlation, rank_correlation: Pearson's and Spearman's, of rewards and labels as numbers.
        weighted_kappa: Quadratic, of ratings against rewards on the same scale of whole numbers; else None.
        distances: How far reward and label are apart, 0 to 1, for each scored row; NaN without a label.
    """

    field: str
    n: int
    unlabelled: int
    yes: int
    no: int
    cut: Cut | None
    agreement: Estimate | None
    kappa: Estimate | None
    chosen: str
    fitted: bool
    curve: tuple[tuple[float, int, int], ...]
    bins: tuple[Bin, ...]
    correlation: float
    rank_correlation: float
    weighted_kappa: float | None
    distances: Floats


# the variance of 1e200 is shown as unknown
@np.errstate(over="ignore", invalid="ignore")
def agreement(
    field: str,
    labels: Sequence[Any],
    rewards: Floats,
    threshold: float | None,
    label_threshold: float | None = None,
    items: Ints | None = None,
) -> Agreement:
    """How far rewards and labels say the same.

    Args:
        labels: One for each reward; None where there is none.
        threshold: Rewards from here on pass; None: where kappa is highest.
        label_threshold: Labels are numbers, and those from here on say yes.
        items: Which item each reward belongs to, as in `estimates`.

    Raises:
        ResultsError: the labels are neither yes and no nor numbers.
    """
    read, ratings = _read(field, labels, label_threshold)
    there = ~np.isnan(read)
    scores, told = rewards[there], read[there]
    whole = ratings and len(told) > 0 and bool(np.all(scores % 1 == 0) and np.all(told % 1 == 0))
    distances = np.full(len(rewards), math.nan)
    if ratings:
        distances[there] = np.abs(ranks(scores) - ranks(told)) / max(1, len(told) - 1)
    elif len(told):
        low, high = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
        distances[there] = np.abs((scores - low) / (high - low) - told)
    found = Agreement(
        field=field,
        n=len(told),
        unlabelled=len(rewards) - len(told),
        yes=0 if ratings else int((told == 1).sum()),
        no=0 if ratings else int((told == 0).sum()),
        cut=None,
        agreement=None,
        kappa=None,
        chosen="",
        fitted=False,
        curve=() if ratings else _curve(scores, told == 1, threshold),
        bins=(),
        correlation=correlation(scores, told),
        rank_correlation=correlation(ranks(scores), ranks(told)),
        weighted_kappa=weighted_kappa(scores, told) if whole else None,
        distances=distances,
    )
    if ratings or not len(told):
        return found
    own = None if items is None else np.unique(items[there], return_inverse=True)[1]
    return _with_verdicts(found, scores, told == 1, threshold, own)


def _with_verdicts(
    found: Agreement, rewards: Floats, yes: Bools, threshold: float | None, items: Ints | None
) -> Agreement:
    """What passing at a threshold adds, where labels are yes or no."""
    if threshold is None:
        at, passed = _best(rewards, yes), _held_out(rewards, yes, items)
        chosen = "the threshold where kappa is highest in these very rows"
    else:
        at, passed, chosen = threshold, rewards >= threshold, "the grader's own threshold"
    return replace(
        found,
        cut=cut_at(at, rewards, yes),
        agreement=pass_rate(passed == yes, items),
        kappa=kappa_estimate(passed, yes, items),
        chosen=chosen,
        fitted=threshold is None,
        bins=_bins(rewards, yes, items),
    )


def cut_at(threshold: float, rewards: Floats, yes: Bools) -> Cut:
    """Grader against human when rewards from `threshold` on pass."""
    table = confusion(rewards >= threshold, yes)
    return Cut(threshold, table[True, True], table[True, False], table[False, True], table[False, False])


def _held_out(rewards: Floats, yes: Bools, items: Ints | None) -> Bools:
    """Which rows pass at the threshold that is best for the other half of the items.

    The halves have as many items that the human passes, so that both thresholds are chosen on both kinds.
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
            passed[here] = rewards[here] >= _best(rewards[other], yes[other])
    return passed


def _bins(rewards: Floats, yes: Bools, items: Ints | None) -> tuple[Bin, ...]:
    """Up to BINS bins with as many rows each; equal rewards stay together."""
    edges = np.unique(np.quantile(rewards, np.linspace(0, 1, BINS + 1)))
    places = np.searchsorted(edges[1:-1], rewards, side="right")
    made = []
    for place in np.unique(places):
        inside = places == place
        own = None if items is None else np.unique(items[inside], return_inverse=True)[1]
        some = rewards[inside]
        made.append(
            Bin(float(some.min()), float(some.max()), float(some.mean()), pass_rate(yes[inside], own))
        )
    return tuple(made)


def _read(field: str, labels: Sequence[Any], label_threshold: float | None) -> tuple[Floats, bool]:
    """The labels as numbers, NaN where there is none, and whether they are ratings and not yes or no."""
    numbers = [_number(label) for label in labels]
    for label, number in zip(labels, numbers, strict=True):
        if number is None:
            raise ResultsError(
                f"the label field '{field}' holds {label!r}: expected true or false, 0 or 1, a number, or one of "
                f"{', '.join(YES)}; {', '.join(NO)}"
            )
    read = np.array(numbers, np.float64)
    there = ~np.isnan(read)
    if label_threshold is not None:
        read[there] = read[there] >= label_threshold
    return read, not np.isin(read[there], (0.0, 1.0)).all()


def _number(label: Any) -> float | None:
    if label is None or label == "":
        return math.nan
    if isinstance(label, (bool, int, float)):
        return float(label)
    word = label.strip().lower() if isinstance(label, str) else ""
    if word in YES:
        return 1.0
    if word in NO:
        return 0.0
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _curve(rewards: Floats, yes: Any, threshold: float | None) -> tuple[tuple[float, int, int], ...]:
    """Every reward as a threshold, or CURVE_MAX even steps; and the spec's own."""
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


def _best(rewards: Floats, yes: Bools) -> float:
    """The threshold at which kappa is highest; the lowest of several."""
    n_yes, n_no = int(yes.sum()), int((~yes).sum())

    def kappa_at(point: tuple[float, int, int]) -> float:
        threshold, both, only_grader = point
        found = Cut(threshold, both, only_grader, n_yes - both, n_no - only_grader).kappa
        return -math.inf if math.isnan(found) else found

    return max(_curve(rewards, yes, None), key=kappa_at)[0]
