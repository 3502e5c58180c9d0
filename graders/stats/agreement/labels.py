"""Agreement of rewards with human labels: confusion at every threshold, Cohen's kappa, correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graders.results.read import ResultsError
from graders.stats.agreement.association import correlation, kappa_estimate, ranks, weighted_kappa
from graders.stats.agreement.scores import auroc, brier
from graders.stats.agreement.thresholds import ThresholdCounts, best, curve, cut_at, held_out
from graders.stats.estimates import Estimate, pass_rate
from graders.stats.resampling import Bools, Floats, Ints

YES = ("yes", "true", "pass", "passed", "correct", "right", "good", "1")
NO = ("no", "false", "fail", "failed", "incorrect", "wrong", "bad", "0")
#: Bins of a reliability diagram.
BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of a reliability diagram: rows with rewards in [low, high], their mean reward and the human's pass rate."""

    low: float
    high: float
    reward: float
    passed: Estimate


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of rewards with a label field.

    Attributes:
        n: Scored rows with a label; `unlabelled` counts the scored rows without one.
        yes, no: Numbers of yes and no labels; 0 and 0 for ratings.
        cut: The confusion at the spec's threshold, or at the highest kappa (`chosen` says which); None for ratings.
        agreement: Fraction of rows with equal verdicts; None for ratings. For a fitted threshold it is cross-validated:
            each half of the items is judged at the best threshold of the other half.
        kappa: Cohen's kappa, cross-validated in the same way.
        sensitivity, specificity: Fraction of the yes labels that the grader passes, and of the no labels that it fails,
            cross-validated in the same way; None for ratings and where there is no such label.
        auroc: The probability that of a yes row and a no row the yes row has the higher reward; None for ratings.
        brier: Brier score of rewards taken as probabilities of a yes; None for ratings and unless the scale is 0 to 1.
        chosen: The way in which the threshold was chosen, in words.
        fitted: Whether the threshold was chosen with these labels.
        curve: (threshold, yes labels at or above it, no labels at or above it), for at most CURVE_MAX thresholds.
        bins: A reliability diagram; () for ratings.
        correlation, rank_correlation: Pearson's and Spearman's correlation of rewards and labels as numbers.
        weighted_kappa: Kappa with quadratic weights, for ratings and rewards on one scale of whole numbers; else None.
        distances: Distance between reward and label of each scored row, 0 to 1; NaN without a label.
        agreed: 1 where reward and label agree, 0 where they differ, for each scored row; NaN without a label.
    """

    field: str
    n: int
    unlabelled: int
    yes: int
    no: int
    cut: ThresholdCounts | None
    agreement: Estimate | None
    kappa: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    auroc: Estimate | None
    brier: Estimate | None
    chosen: str
    fitted: bool
    curve: tuple[tuple[float, int, int], ...]
    bins: tuple[Bin, ...]
    correlation: float
    rank_correlation: float
    weighted_kappa: float | None
    distances: Floats
    agreed: Floats


# a variance that overflows is shown as unknown
@np.errstate(over="ignore", invalid="ignore")
def agreement(
    field: str,
    labels: Sequence[Any],
    rewards: Floats,
    threshold: float | None,
    label_threshold: float | None = None,
    items: Ints | None = None,
    span: tuple[float, float] | None = None,
) -> Agreement:
    """The agreement of rewards with labels.

    Args:
        labels: One for each reward, or None.
        threshold: The least reward that passes; None: the one with the highest kappa.
        label_threshold: For labels that are numbers: the least label that means yes.
        items: The item of each reward, as in `estimates`.
        span: The least and the largest possible reward; None: 0 to 1 if all rewards are within that.

    Raises:
        ResultsError: the labels are neither yes and no nor numbers.
    """
    read, ratings = read_labels(field, labels, label_threshold)
    there = ~np.isnan(read)
    scores, given = rewards[there], read[there]
    whole = ratings and len(given) > 0 and bool(np.all(scores % 1 == 0) and np.all(given % 1 == 0))
    distances = np.full(len(rewards), math.nan)
    if ratings:
        distances[there] = np.abs(ranks(scores) - ranks(given)) / max(1, len(given) - 1)
    elif len(given):
        low, high = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
        distances[there] = np.abs((scores - low) / (high - low) - given)
    found = Agreement(
        field=field,
        n=len(given),
        unlabelled=len(rewards) - len(given),
        yes=0 if ratings else int((given == 1).sum()),
        no=0 if ratings else int((given == 0).sum()),
        cut=None,
        agreement=None,
        kappa=None,
        sensitivity=None,
        specificity=None,
        auroc=None,
        brier=None,
        chosen="",
        fitted=False,
        curve=() if ratings else curve(scores, given == 1, threshold),
        bins=(),
        correlation=correlation(scores, given),
        rank_correlation=correlation(ranks(scores), ranks(given)),
        weighted_kappa=weighted_kappa(scores, given) if whole else None,
        distances=distances,
        agreed=np.full(len(rewards), math.nan),
    )
    if ratings or not len(given):
        return found
    return _with_verdicts(found, scores, given == 1, threshold, _some(items, there), span)


def _with_verdicts(
    found: Agreement,
    rewards: Floats,
    yes: Bools,
    threshold: float | None,
    items: Ints | None,
    span: tuple[float, float] | None,
) -> Agreement:
    """The fields that only labels of yes or no have."""
    if threshold is None:
        at, passed = best(rewards, yes), held_out(rewards, yes, items)
        chosen = "the threshold where kappa is highest in these very rows"
    else:
        at, passed, chosen = threshold, rewards >= threshold, "the grader's own threshold"
    agreed = found.agreed.copy()
    agreed[~np.isnan(found.distances)] = passed == yes
    if span is None and rewards.min() >= 0 and rewards.max() <= 1:
        span = (0.0, 1.0)
    return replace(
        found,
        cut=cut_at(at, rewards, yes),
        agreement=pass_rate(passed == yes, items),
        kappa=kappa_estimate(passed, yes, items),
        sensitivity=pass_rate(passed[yes], _some(items, yes)) if yes.any() else None,
        specificity=pass_rate(~passed[~yes], _some(items, ~yes)) if not yes.all() else None,
        auroc=auroc(rewards, yes, items),
        brier=None if span is None else brier((rewards - span[0]) / (span[1] - span[0]), yes, items),
        chosen=chosen,
        fitted=threshold is None,
        bins=_bins(rewards, yes, items),
        agreed=agreed,
    )


def _some(items: Ints | None, chosen: Bools) -> Ints | None:
    """The items of the chosen rows, renumbered."""
    return None if items is None else np.unique(items[chosen], return_inverse=True)[1]


def _bins(rewards: Floats, yes: Bools, items: Ints | None) -> tuple[Bin, ...]:
    """Up to BINS bins with equal numbers of rows; equal rewards share a bin."""
    edges = np.unique(np.quantile(rewards, np.linspace(0, 1, BINS + 1)))
    places = np.searchsorted(edges[1:-1], rewards, side="right")
    made = []
    for place in np.unique(places):
        inside = places == place
        some, passed = rewards[inside], pass_rate(yes[inside], _some(items, inside))
        made.append(Bin(float(some.min()), float(some.max()), float(some.mean()), passed))
    return tuple(made)


def read_labels(field: str, labels: Sequence[Any], label_threshold: float | None) -> tuple[Floats, bool]:
    """The labels as numbers, NaN for a missing one, and whether they are ratings (else yes or no).

    Raises:
        ResultsError: a label is not yes, no or a number.
    """
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
