"""How far rewards agree with a human's labels: confusion at every threshold, Cohen's kappa, correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graders.results.read import ResultsError
from graders.stats.estimates import Estimate, Floats, correlation, kappa, pass_rate, ranks, weighted_kappa

YES = ("yes", "true", "pass", "passed", "correct", "right", "good", "1")
NO = ("no", "false", "fail", "failed", "incorrect", "wrong", "bad", "0")
CURVE_MAX = 200  # thresholds that a report offers


@dataclass(frozen=True, slots=True)
class Cut:
    """Grader and human when rewards from `threshold` on pass.

    Attributes:
        both, only_grader, only_human, neither: How many rows each says yes to.
        agreement: The part on which they say the same, with its interval.
        kappa: Cohen's; NaN where one of them always says the same and chance explains it all.
    """

    threshold: float
    both: int
    only_grader: int
    only_human: int
    neither: int
    agreement: Estimate
    kappa: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rewards against the label field.

    Attributes:
        n: Scored rows with a label; `unlabelled` scored rows have none.
        yes, no: How many labels say so; 0 and 0 for ratings.
        cut: At the spec's threshold, or where kappa is highest (`chosen` says which); None for ratings.
        curve: (threshold, yes labels at or above it, no labels at or above it), for at most CURVE_MAX thresholds.
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
    chosen: str
    curve: tuple[tuple[float, int, int], ...]
    correlation: float
    rank_correlation: float
    weighted_kappa: float | None
    distances: Floats


@np.errstate(over="ignore", invalid="ignore")  # the variance of 1e200 is shown as unknown
def agreement(
    field: str,
    labels: Sequence[Any],
    rewards: Floats,
    threshold: float | None,
    label_threshold: float | None = None,
) -> Agreement:
    """
    Args:
        labels: One for each reward; None where there is none.
        threshold: Rewards from here on pass; None: where kappa is highest.
        label_threshold: Labels are numbers, and those from here on say yes.

    Raises:
        ResultsError: the labels are neither yes and no nor numbers.
    """
    read, ratings = _read(field, labels, label_threshold)
    there = ~np.isnan(read)
    scores, told = rewards[there], read[there]
    distances = np.full(len(rewards), math.nan)
    whole = ratings and len(told) > 0 and bool(np.all(scores % 1 == 0) and np.all(told % 1 == 0))
    cut, chosen, curve = None, "", _curve(scores, told == 1, threshold)
    if ratings:
        curve = ()
        distances[there] = np.abs(ranks(scores) - ranks(told)) / max(1, len(told) - 1)
    elif len(told):
        low, high = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
        distances[there] = np.abs((scores - low) / (high - low) - told)
        chosen = "the grader's own threshold"
        if threshold is None:
            threshold = _best(curve, told == 1)
            chosen = "the threshold where kappa is highest in these very rows, which flatters it"
        cut = cut_at(threshold, scores, told == 1)
    return Agreement(
        field,
        len(told),
        len(rewards) - len(told),
        0 if ratings else int((told == 1).sum()),
        0 if ratings else int((told == 0).sum()),
        cut,
        chosen,
        curve,
        correlation(scores, told),
        correlation(ranks(scores), ranks(told)),
        weighted_kappa(scores, told) if whole else None,
        distances,
    )


def cut_at(threshold: float, rewards: Floats, yes: Any) -> Cut:
    """Grader against human when rewards from `threshold` on pass; `yes` is a bool array like `rewards`."""
    passed = rewards >= threshold
    table = {(g, h): int(((passed == g) & (yes == h)).sum()) for g in (True, False) for h in (True, False)}
    return Cut(
        threshold,
        table[True, True],
        table[True, False],
        table[False, True],
        table[False, False],
        pass_rate(passed == yes),
        kappa(table),
    )


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


def _best(curve: tuple[tuple[float, int, int], ...], yes: Any) -> float:
    n_yes, n_no = int(yes.sum()), int((~yes).sum())

    def kappa_at(point: tuple[float, int, int]) -> float:
        _, both, only_grader = point
        found = kappa(
            {
                (True, True): both, (True, False): only_grader,
                (False, True): n_yes - both, (False, False): n_no - only_grader,
            }
        )  # fmt: skip
        return -math.inf if math.isnan(found) else found

    return max(curve, key=kappa_at)[0]
