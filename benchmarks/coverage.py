"""How often the 95 % intervals of this project hold the true value, in simulated datasets.

    python benchmarks/coverage.py [--draws 2000] [--only WORD]

Each shape makes fresh data and an interval for a value that is known. NAMED are twenty everyday ones, which should be held
93 to 97 % of the time; HARD are small, lopsided or unequal ones, which should be held at least 92 % (88 % where the rate
is 0.9 and items are few); CALIBRATION are figures of calibrations, at least 92 %. An interval that does not exist counts as holding.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from graders.stats import resampling
from graders.stats.agreement.association import kappa, kappa_estimate
from graders.stats.agreement.correction import rogan_gladen
from graders.stats.agreement.raters import alpha
from graders.stats.agreement.scores import auroc
from graders.stats.estimates import Estimate, difference, mean, pass_rate

#: Resamples of a bootstrap: a fifth of the usual, to be quick; fewer only make an interval less steady.
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Shape:
    """A way to draw data.

    Attributes:
        true: The value that the interval should hold.
        draw: Makes data with a generator, and an estimate of it.
        least, most: How often the interval should hold the value.
    """

    name: str
    true: float
    draw: Callable[[Any], Estimate]
    least: float = 0.93
    most: float = 0.97


def rows(n: int, values: Callable[[Any, int], Any], span: tuple[float, float] | None = (0.0, 1.0)) -> Any:
    """The mean of n independent rewards."""
    return lambda chance: mean(values(chance, n).astype(float), None, span)


def rate(n: int, p: float) -> Any:
    """The pass rate of n independent rows."""
    return lambda chance: pass_rate(chance.random(n) < p)


def items(sizes: Sequence[int], p: float, spread: float) -> Any:
    """The pass rate of items that have a rate of their own, Beta distributed around p; less spread out the larger `spread`."""
    of = np.repeat(np.arange(len(sizes)), sizes)

    def draw(chance: Any) -> Estimate:
        rates = chance.beta(p * spread, (1 - p) * spread, len(sizes))
        return pass_rate(chance.random(len(of)) < rates[of], of)

    return draw


def rewards_of_items(sizes: Sequence[int]) -> Any:
    """The mean of continuous rewards of items that have a mean of their own around 0.4."""
    of = np.repeat(np.arange(len(sizes)), sizes)

    def draw(chance: Any) -> Estimate:
        return mean(chance.beta(2, 3, len(sizes))[of] + chance.normal(0, 0.2, len(of)), of)

    return draw


def paired_passes(n: int, p: float, lift: float, alike: float) -> Any:
    """The difference of two runs' passes; `alike` of the rows are as hard for both."""

    def draw(chance: Any) -> Estimate:
        a = chance.random(n)
        b = np.where(chance.random(n) < alike, a, chance.random(n))
        return difference((b < p + lift).astype(float) - (a < p), None, 1.0)

    return draw


def paired_rewards(n: int, lift: float, skewed: bool) -> Any:
    """The difference of two runs' continuous rewards."""

    def draw(chance: Any) -> Estimate:
        noise = chance.exponential(0.2, n) - 0.2 if skewed else chance.normal(0, 0.2, n)
        return difference(lift + noise, None, 1.0)

    return draw


def judge(n: int, yes: float, sensitivity: float, specificity: float) -> Any:
    """Cohen's kappa of a judge with known errors against labels."""

    def draw(chance: Any) -> Estimate:
        label = chance.random(n) < yes
        right = chance.random(n) < np.where(label, sensitivity, specificity)
        return kappa_estimate(np.where(right, label, ~label), label)

    return draw


def true_kappa(yes: float, sensitivity: float, specificity: float) -> float:
    """The kappa that such a judge has in endless labels."""
    rows_of = 10**9
    both, neither = yes * sensitivity, (1 - yes) * specificity
    return kappa(
        {
            (True, True): int(both * rows_of),
            (True, False): int((1 - yes - neither) * rows_of),
            (False, True): int((yes - both) * rows_of),
            (False, False): int(neither * rows_of),
        }
    )


def scores(n: int, apart: float, yes: float) -> Any:
    """The AUROC of normal scores; those of rows with a yes are higher by `apart`."""

    def draw(chance: Any) -> Estimate:
        label = chance.random(n) < yes
        return auroc(chance.normal(size=n) + apart * label, label)

    return draw


#: A judge with a planted bias: the logistic of an answer's quality and of noise, both standard normal, with so much more for a
#: longer form of the answer. People say yes where the quality is above 0, and the judge where its score is at least one half.
LENGTH_BIAS = 0.8


def logistic(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def true_length_effect() -> float:
    """By quantiles of the normal distribution; the score is of the sum of two."""
    middle = np.array([NormalDist().inv_cdf((at + 0.5) / 20_000) for at in range(20_000)]) * math.sqrt(2)
    return float((logistic(middle + LENGTH_BIAS) - logistic(middle)).mean())


#: Figure -> its value in endless labels, and its estimate of labels and of the scores of both forms. Quality and noise spread
#: alike, so that 3 of 4 scores lie on the side of their quality, and 5 of 6 pairs in their order.
PLANTED: dict[str, tuple[float, Callable[[Any, Any, Any], Estimate]]] = {
    "kappa": (1 / 2, lambda yes, short, long: kappa_estimate(short >= 0.5, yes)),
    "sensitivity": (3 / 4, lambda yes, short, long: pass_rate(short[yes] >= 0.5)),
    "specificity": (3 / 4, lambda yes, short, long: pass_rate(short[~yes] < 0.5)),
    "AUROC": (5 / 6, lambda yes, short, long: auroc(short, yes)),
    "length effect": (true_length_effect(), lambda yes, short, long: difference(long - short, None, 1.0)),
}


def planted_judge(n: int, figure: Callable[[Any, Any, Any], Estimate]) -> Any:
    """A figure of the planted judge, from n labels."""

    def draw(chance: Any) -> Estimate:
        quality = chance.normal(size=n)
        short, long = (logistic(quality + more + chance.normal(size=n)) for more in (0.0, LENGTH_BIAS))
        return figure(quality > 0, short, long)

    return draw


def annotators(n: int, wrong: float) -> Any:
    """Krippendorff's alpha of three annotators, each of whom is wrong on a part of the rows."""

    def draw(chance: Any) -> Estimate:
        truth = chance.random((n, 1)) < 0.5
        return alpha((truth ^ (chance.random((n, 3)) < wrong)).astype(float), nominal=True)

    return draw


def corrected(n: int, labels: int, rate_of_yes: float, sensitivity: float, specificity: float) -> Any:
    """The corrected pass rate of n rows, with the errors known from so many labels of each kind."""

    def draw(chance: Any) -> Estimate:
        yes = chance.random(n) < rate_of_yes
        passed = chance.random(n) < np.where(yes, sensitivity, 1 - specificity)
        of_yes, of_no = (pass_rate(chance.random(labels) < right) for right in (sensitivity, specificity))
        return rogan_gladen(pass_rate(passed), of_yes, of_no)

    return draw


def two(low: float, high: float, p: float) -> Callable[[Any, int], Any]:
    return lambda chance, n: np.where(chance.random(n) < p, high, low)


def zeros(part: float) -> Callable[[Any, int], Any]:
    """Rewards of which a part is 0 and the others are anywhere up to 1."""
    return lambda chance, n: np.where(chance.random(n) < part, 0.0, chance.random(n))


STEPS = np.linspace(1, 30, 100).astype(int).tolist()

NAMED = [
    Shape("120 rows, pass rate 0.3", 0.3, rate(120, 0.3)),
    Shape("400 rows, pass rate 0.85", 0.85, rate(400, 0.85)),
    Shape("50 rows, pass rate 0.6", 0.6, rate(50, 0.6)),
    Shape("1,000 rows, pass rate 0.97", 0.97, rate(1000, 0.97)),
    Shape("200 rewards of 0 and 5, rate 0.4", 2.0, rows(200, two(0, 5, 0.4), None)),
    Shape("150 rewards of -1 and 1, rate 0.7", 0.4, rows(150, two(-1, 1, 0.7), None)),
    Shape("30 continuous rewards", 0.4, rows(30, lambda c, n: c.beta(2, 3, n))),
    Shape("80 skewed rewards", 2 / 7, rows(80, lambda c, n: c.beta(2, 5, n))),
    Shape("60 rewards, half of them 0", 0.25, rows(60, zeros(0.5))),
    Shape("200 rewards at both ends", 0.5, rows(200, lambda c, n: c.beta(0.3, 0.3, n))),
    Shape(
        "200 grades from 1 to 5",
        3.4,
        rows(200, lambda c, n: c.choice([1, 2, 3, 4, 5], n, p=[0.1, 0.1, 0.3, 0.3, 0.2]), (1, 5)),
    ),
    Shape("100 items of 4 samples", 0.5, items([4] * 100, 0.5, 2.0)),
    Shape("60 items of 8 samples, nearly always alike", 0.5, items([8] * 60, 0.5, 0.6)),
    Shape("100 items of 1 to 30 rows", 0.5, items(STEPS, 0.5, 2.0)),
    Shape("100 items of 4 samples, pass rate 0.9", 0.9, items([4] * 100, 0.9, 4.0)),
    Shape("50 items of 1 to 5 continuous rewards", 0.4, rewards_of_items([1, 2, 3, 4, 5] * 10)),
    Shape("200 pairs of passes, no difference", 0.0, paired_passes(200, 0.5, 0.0, 0.5)),
    Shape("40 pairs of continuous rewards", 0.1, paired_rewards(40, 0.1, False)),
    Shape("kappa of 300 labels", true_kappa(0.5, 0.9, 0.85), judge(300, 0.5, 0.9, 0.85)),
    Shape("kappa of 100 labels", true_kappa(0.4, 0.8, 0.9), judge(100, 0.4, 0.8, 0.9)),
]

HARD = [
    *(
        Shape(f"{n:,} rewards of {low:g} and {high:g}, rate {p:g}", low + (high - low) * p, rows(n, two(low, high, p), (low, high)), 0.92, 1.0)
        for low, high in ((0.0, 5.0), (-1.0, 1.0), (0.0, 0.9)) for p in (0.01, 0.5, 0.99) for n in (10, 100, 1000)
    ),
    *(
        Shape(f"{name}, pass rate {p:g}", p, items(sizes, p, 2.0), least, 1.0)
        for p, least in ((0.5, 0.92), (0.9, 0.88))
        for name, sizes in (
            ("items of 200, 4, 4, 4, 4", [200, 4, 4, 4, 4]), ("29 items of 4 and one of 200", [200, *[4] * 29]),
            ("5 items of 1 to 30", [1, 8, 15, 22, 30]), ("10 items of 1 to 30", [*range(1, 31, 3)]),
            ("5 equal items", [8] * 5), ("10 equal items", [8] * 10), ("100 equal items", [4] * 100),
        )
    ),
    Shape("30 rewards, 90 % of them 0", 0.05, rows(30, zeros(0.9)), 0.92, 1.0),
    Shape("100 rewards, 90 % of them 0", 0.05, rows(100, zeros(0.9)), 0.92, 1.0),
    Shape("3 continuous rewards", 2 / 7, rows(3, lambda c, n: c.beta(2, 5, n)), 0.92, 1.0),
    Shape("10 pairs of passes, no difference", 0.0, paired_passes(10, 0.5, 0.0, 0.5), 0.92, 1.0),
    Shape("kappa of 30 labels", true_kappa(0.4, 0.8, 0.9), judge(30, 0.4, 0.8, 0.9), 0.92, 1.0),
]  # fmt: skip

CALIBRATION = [
    *(
        Shape(f"AUROC of {n} labels, {area:.2f}", area, scores(n, apart, 0.4), 0.92, 1.0)
        for n in (30, 100, 300) for apart in (0.5, 1.5, 2.5) for area in [NormalDist().cdf(apart / math.sqrt(2))]
    ),
    *(
        # two annotators agree where both are right or both are wrong; chance gives one half
        Shape(f"alpha of {n} rows, {true:.2f}", true, annotators(n, wrong), 0.92, 1.0)
        for n in (30, 100, 300) for wrong in (0.05, 0.2) for true in [2 * ((1 - wrong) ** 2 + wrong**2) - 1]
    ),
    *(
        Shape(f"corrected pass rate {rate_of:g}, {labels} labels of each kind", rate_of, corrected(400, labels, rate_of, 0.9, 0.8), 0.92, 1.0)
        for labels in (30, 120) for rate_of in (0.1, 0.5, 0.85)
    ),
    *(
        Shape(f"{name} of a planted judge, {n} labels", true, planted_judge(n, figure), 0.92, 1.0)
        for n in (60, 240) for name, (true, figure) in PLANTED.items()
    ),
]  # fmt: skip


def coverage(shape: Shape, draws: int, seed: int = 11) -> float:
    """The part of the intervals that hold the true value."""
    chance = np.random.default_rng(seed)
    held = 0
    for _ in range(draws):
        found = shape.draw(chance)
        held += math.isnan(found.low) or found.low - 1e-12 <= shape.true <= found.high + 1e-12
    return held / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    resampling.DRAWS = RESAMPLES
    for title, shapes in (("named", NAMED), ("hard", HARD), ("calibration", CALIBRATION)):
        print(f"\n| {title} | held | wanted |\n| --- | ---: | ---: |")
        for shape in shapes:
            if arguments.only in shape.name:
                held = coverage(shape, arguments.draws)
                wrong = "" if shape.least <= held <= shape.most else " (missed)"
                print(
                    f"| {shape.name} | {held:.1%} | {shape.least:.0%} to {shape.most:.0%}{wrong} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
