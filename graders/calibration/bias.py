"""Probes of a judge's biases: length, form, signature, language, position, randomness; one line in PROBES each.

A probe grades two forms of an answer that deserve the same reward. Its effect is the mean difference, as a fraction of
the scale, with an interval over items and a test; tests of several probes are adjusted together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graders.calibration.rows import GradedRows
from graders.stats.distributions import benjamini_hochberg, binomial_tail
from graders.stats.estimates import Estimate, difference, pass_rate
from graders.stats.paired import sign_flip
from graders.stats.resampling import LEVEL, Floats, Ints, per_item
from graders.suggest import known_names

MOST_ROWS = 100
#: Fraction of the scale from which a difference counts as another verdict.
ANOTHER = 0.25
#: Fraction of the rows whose verdict may change when repeated.
MAY_CHANGE = 0.05

_PADDING = (
    "\n\nTo put the same thing at greater length: the above is what there is to say in reply to what was asked, and it is "
    "said here once more that it is the reply. Nothing is added to it and nothing is taken away from it. Whoever reads it "
    "may take it as it stands, since it has been stated in full, and stating it again would not make it another reply."
)
_OTHER_MODEL = "another assistant"


@dataclass(frozen=True, slots=True)
class ProbePair:
    """Two forms of one row: samples and items. With `reversed` the second one has the opposite verdict."""

    one: tuple[Any, Mapping[str, Any]]
    other: tuple[Any, Mapping[str, Any]]
    reversed: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """The result of a probe.

    Attributes:
        probe: A key of PROBES.
        pays: The property that a positive effect rewards.
        n: Number of rows with both forms graded.
        effect: The mean difference as a fraction of the scale, -1 to 1; for `repeats`, the fraction of rows whose
            verdict changes.
        p: The p value.
        adjusted: The p value adjusted by Benjamini and Hochberg over all probes of one run.
    """

    probe: str
    pays: str
    n: int
    effect: Estimate
    p: float
    adjusted: float = math.nan

    @property
    def found(self) -> bool:
        """Whether the effect is significant at a false discovery rate of 5 %."""
        return self.adjusted < 1 - LEVEL


@dataclass(frozen=True, slots=True)
class BiasProbe:
    """One probe of a bias.

    Attributes:
        pays: What a positive effect pays for.
        forms: The two forms of a row; None for a row without them.
    """

    pays: str
    forms: Callable[[Any, Mapping[str, Any], GradedRows, tuple[str, str] | None], ProbePair | None]


def _of_text(change: Callable[[str, GradedRows], tuple[str, str]]) -> Callable[..., ProbePair | None]:
    """Forms that differ only in the sample's text."""

    def forms(sample: Any, item: Mapping[str, Any], rows: GradedRows, swap: object) -> ProbePair | None:
        if not isinstance(sample, str) or not sample.strip():
            return None
        one, other = change(sample.strip(), rows)
        return ProbePair((one, item), (other, item))

    return forms


def _longer(text: str, rows: GradedRows) -> tuple[str, str]:
    return text, text + _PADDING


def _decorated(text: str, rows: GradedRows) -> tuple[str, str]:
    plain = re.sub(r"(?m)^[^\S\n]*(?:#+|[-*])[^\S\n]+|\*\*", "", text)
    lines = [line for line in plain.splitlines() if line.strip()]
    return plain, "## Answer\n\n" + "\n".join(f"- **{line.strip()}**" for line in lines)


def _signed(text: str, rows: GradedRows) -> tuple[str, str]:
    own = next(iter(sorted(rows.models)), "") or next(
        (name for leaf in rows.grader.spec.leaves().values() if (name := leaf.judge())), _OTHER_MODEL
    )
    return f"{text}\n\n(written by {_OTHER_MODEL})", f"{text}\n\n(written by {own})"


def _in_french(text: str, rows: GradedRows) -> tuple[str, str]:
    return f"My answer is this: {text}", f"Voici ma réponse : {text}"


def _swapped(
    sample: Any, item: Mapping[str, Any], rows: GradedRows, swap: tuple[str, str] | None
) -> ProbePair | None:
    if swap is None:
        return None
    one, other = swap
    values = {"sample": sample, **item}
    if one not in values or other not in values:
        return None
    values[one], values[other] = values[other], values[one]
    turned = {name: values[name] for name in item}
    return ProbePair(
        (sample, item), (sample if "sample" not in swap else values["sample"], turned), reversed=True
    )


def _repeated(sample: Any, item: Mapping[str, Any], rows: GradedRows, swap: object) -> ProbePair:
    return ProbePair((sample, item), (sample, item))


PROBES: Mapping[str, BiasProbe] = {
    "verbosity": BiasProbe("length", _of_text(_longer)),
    "formatting": BiasProbe("headings, bullets and bold", _of_text(_decorated)),
    "self_preference": BiasProbe("the judge's own name under the answer", _of_text(_signed)),
    "language": BiasProbe("French around the answer", _of_text(_in_french)),
    "position": BiasProbe("the first place of two", _swapped),
    "repeats": BiasProbe("another verdict when asked again", _repeated),
}


def probed(
    rows: GradedRows,
    probes: Collection[str] = tuple(PROBES),
    *,
    swap: tuple[str, str] | None = None,
    group: str | None = None,
    most_rows: int = MOST_ROWS,
) -> tuple[Effect, ...]:
    """Measure a grader's biases.

    Args:
        probes: Keys of PROBES. `position` needs `swap` and is skipped without it.
        swap: For a judge that compares two candidates, the two fields that hold them: of the item, or "sample".
        group: As in `GradedRows.item_numbers`.
        most_rows: Largest number of rows, evenly taken; each takes two calls for each probe.

    Raises:
        ValueError: there is no such probe.
        ModelStop: a judge's endpoint refused the key or has no quota left.
    """
    known_names(probes, PROBES, "probe")
    places = np.unique(np.linspace(0, len(rows.ids) - 1, min(most_rows, len(rows.ids))).astype(int))
    numbers = rows.item_numbers(group)
    effects = [
        effect
        for name in probes
        if (effect := _effect(name, rows, places.tolist(), numbers, swap)) is not None
    ]
    adjusted = benjamini_hochberg([effect.p for effect in effects])
    return tuple(replace(effect, adjusted=p) for effect, p in zip(effects, adjusted, strict=True))


def _effect(
    name: str, rows: GradedRows, places: Sequence[int], numbers: Ints | None, swap: tuple[str, str] | None
) -> Effect | None:
    probe = PROBES[name]
    pairs = {at: probe.forms(rows.samples[at], rows.items[at], rows, swap) for at in places}
    made = {at: pair for at, pair in pairs.items() if pair is not None}
    if not made:
        return None
    one, other = np.array(list(_rewards(rows, made))).T
    low, high = rows.grader.spec.reward_range() or (
        min(0.0, np.nanmin(rows.rewards)),
        max(1.0, np.nanmax(rows.rewards)),
    )
    reversed_ = np.array([pair.reversed for pair in made.values()])
    # of a swapped pair, a judge without a favourite place gives both ends of the scale, or its middle twice
    deltas = np.where(reversed_, one + other - low - high, other - one) / (high - low)
    there = ~np.isnan(deltas)
    if not there.any():
        return None
    deltas = deltas[there]
    own = None if numbers is None else np.unique(numbers[list(made)][there], return_inverse=True)[1]
    if name == "repeats":
        changed = np.abs(deltas) >= ANOTHER
        sums, _ = per_item(changed.astype(np.float64), own)
        p = binomial_tail(int((sums > 0).sum()), len(sums), MAY_CHANGE)
        return Effect(name, probe.pays, len(deltas), pass_rate(changed, own), p)
    return Effect(name, probe.pays, len(deltas), difference(deltas, own, 1.0), _p_value(deltas, own))


def _p_value(deltas: Floats, items: Ints | None) -> float:
    return sign_flip(per_item(deltas, items)[0])


def _rewards(rows: GradedRows, pairs: Mapping[int, ProbePair]) -> Iterator[tuple[float, float]]:
    """The rewards of both forms of each pair; NaN for failures. Equal forms are not merged."""
    forms = [form for pair in pairs.values() for form in (pair.one, pair.other)]
    parts = ({"id": str(at), "sample": sample, "item": item} for at, (sample, item) in enumerate(forms))
    found = [result.reward if result.ok else math.nan for result in rows.grader.run_batch(parts, merge=False)]
    return zip(found[::2], found[1::2], strict=True)
