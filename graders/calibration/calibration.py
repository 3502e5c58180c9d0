"""Calibrate a grader: how far it agrees with people, over whom and where, and what its verdict is worth.

rows = graded(spec, "labelled.jsonl")
found = calibrate(rows, labels=["alice", "bob"])
found.agreement.kappa.value, found.agreement.kappa.low, found.agreement.kappa.high
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from graders.calibration.bias import Effect
from graders.calibration.labelled import Labelled
from graders.report.binding import Binding, binding
from graders.results.read import ResultsError
from graders.stats.agreement.labels import Agreement, agreement, read_labels
from graders.stats.agreement.raters import alpha
from graders.stats.distributions import benjamini_hochberg, fisher_exact
from graders.stats.estimates import Estimate, pass_rate
from graders.stats.figures import to_json
from graders.stats.gates import Gate, judge
from graders.stats.resampling import Floats, Ints
from graders.stats.summary import threshold_of

#: Rows that a slice needs, to be shown.
SLICE_MIN = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows with one value of a field.

    Attributes:
        agreement: The part of them on which grader and people say the same.
        p: Of as large a difference from the other rows by chance (Fisher's exact test), adjusted over all slices by Benjamini
            and Hochberg; NaN where there are no others.
    """

    field: str
    value: str
    agreement: Estimate
    p: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A grader against people's labels.

    Attributes:
        annotators: The label fields.
        failed: Rows that could not be graded; they say nothing about agreement, and are counted in no figure.
        tied: Rows on which as many annotators say yes as no, so that they have no label.
        agreement: With the label of most annotators, or with the mean of their ratings.
        by_annotator: With each of them alone; () for one annotator.
        between: Krippendorff's alpha of the annotators among themselves; None for one annotator.
        with_grader: The same with the grader as one more annotator. Where it is not below `between`, the grader agrees with
            people as they do with one another.
        slices: Lowest agreement first.
        more_labels: About how many more labelled rows would bring kappa's interval (for ratings: none) to the wanted width;
            None where that is not known.
        width: The wanted width.
        effects: Of the probes that were made.
        binding: What the figures hold for.
    """

    annotators: tuple[str, ...]
    failed: int
    tied: int
    agreement: Agreement
    by_annotator: tuple[Agreement, ...]
    between: Estimate | None
    with_grader: Estimate | None
    slices: tuple[Slice, ...]
    more_labels: int | None
    width: float
    effects: tuple[Effect, ...]
    binding: Binding

    def figures(self) -> dict[str, Estimate]:
        """What gates can ask for, by name; only what there is."""
        found = {
            "kappa": self.agreement.kappa,
            "agreement": self.agreement.agreement,
            "sensitivity": self.agreement.sensitivity,
            "specificity": self.agreement.specificity,
            "auroc": self.agreement.auroc,
            "brier": self.agreement.brier,
            "alpha": self.between,
        }
        return {name: estimate for name, estimate in found.items() if estimate is not None}

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON, without the figures of single rows."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "binding"}
        plain["agreement"] = _without_rows(self.agreement)
        plain["by_annotator"] = [_without_rows(each) for each in self.by_annotator]
        return {**to_json(plain), "binding": self.binding.to_json()}


def calibrate(
    rows: Labelled,
    labels: Sequence[str],
    *,
    label_threshold: float | None = None,
    pass_threshold: float | None = None,
    group: str | None = None,
    slices: Sequence[str] = (),
    width: float = 0.1,
    effects: tuple[Effect, ...] = (),
) -> Calibration:
    """How far a grader agrees with people.

    Args:
        rows: From `graded` or `from_results`.
        labels: A field of the data rows for each annotator: true or false, 0 or 1, yes or no, or a number.
        label_threshold: Labels are numbers, and those from here on say yes.
        pass_threshold: Rewards from here on pass, instead of what the spec says. Where neither says it, each half of the
            items is judged at the threshold that is best on the other half.
        group: A field that says which rows are of one item; None: ids `x`, `x#2` are; "": each row is its own.
        slices: Fields by whose values the agreement is shown apart.
        width: Of kappa's interval, for `more_labels`.
        effects: From `graders.calibration.bias.probed`, to be kept with the rest.

    Raises:
        ResultsError: no row has a field that is named, labels are neither yes and no nor numbers, or no row has a reward
            and a label.
        ValueError: no label field is named.
    """
    if not labels:
        raise ValueError("name at least one field with labels")
    told, ratings = _told(rows, labels, label_threshold)
    label, tied = _consensus(told, ratings)
    scored = ~np.isnan(rows.rewards)
    if not (scored & ~np.isnan(label)).any():
        raise ResultsError("no row has both a reward and a label")
    spec, items = rows.grader.spec, rows.item_numbers(group)
    numbers = None if items is None else items[scored]
    rewards = rows.rewards[scored]
    threshold = threshold_of(spec.to_json(), rewards) if pass_threshold is None else pass_threshold
    span = spec.reward_range()

    def against(field: str, column: Floats) -> Agreement:
        known = [None if math.isnan(value) else float(value) for value in column[scored]]
        return agreement(field, known, rewards, None if ratings else threshold, items=numbers, span=span)

    found = against(", ".join(labels), label)
    between = with_grader = None
    if len(labels) > 1:
        between = alpha(told, items, nominal=not ratings)
        with_grader = _with_grader(rows, told, found, items, ratings=ratings)
    return Calibration(
        annotators=tuple(labels),
        failed=int((~scored).sum()),
        tied=tied,
        agreement=found,
        by_annotator=tuple(map(against, labels, told.T)) if len(labels) > 1 else (),
        between=between,
        with_grader=with_grader,
        slices=_slices(rows, found, scored, numbers, slices),
        more_labels=_more_labels(found.kappa, width),
        width=width,
        effects=effects,
        binding=binding(spec, rows.provenance, rows.models),
    )


def _told(rows: Labelled, labels: Sequence[str], label_threshold: float | None) -> tuple[Floats, bool]:
    """What each annotator says of each row, shape [rows, annotators], and whether those are ratings."""
    columns, ratings = [], False
    for field in labels:
        column, of_numbers = read_labels(field, rows.column(field), label_threshold)
        columns.append(column)
        ratings = ratings or of_numbers
    return np.stack(columns, axis=1), ratings


def _consensus(told: Floats, ratings: bool) -> tuple[Floats, int]:
    """The label of each row, NaN where there is none, and how many rows are tied."""
    given = (~np.isnan(told)).sum(axis=1)
    mean = np.full(len(told), math.nan)
    mean[given > 0] = np.nansum(told[given > 0], axis=1) / given[given > 0]
    if ratings:
        return mean, 0
    tied = mean == 0.5
    label = np.where(np.isnan(mean) | tied, math.nan, (mean > 0.5).astype(np.float64))
    return label, int(tied.sum())


def _with_grader(
    rows: Labelled, told: Floats, found: Agreement, items: Ints | None, *, ratings: bool
) -> Estimate | None:
    """Alpha with the grader as one more annotator; of ratings only where it uses their scale."""
    if ratings:
        same_scale = found.weighted_kappa is not None
        return alpha(np.column_stack([told, rows.rewards]), items, nominal=False) if same_scale else None
    assert found.cut is not None  # since labels are yes or no
    passed = np.where(np.isnan(rows.rewards), math.nan, rows.rewards >= found.cut.threshold)
    return alpha(np.column_stack([told, passed]), items, nominal=True)


def _slices(
    rows: Labelled, found: Agreement, scored: Any, numbers: Ints | None, names: Sequence[str]
) -> tuple[Slice, ...]:
    known = ~np.isnan(found.agreed)
    agreed = found.agreed[known] == 1
    made: list[Slice] = []
    for field in names:
        column = rows.column(field)
        values = np.array([str(column[at]) for at in np.flatnonzero(scored)])[known]
        for value in dict.fromkeys(values.tolist()):
            inside = values == value
            if inside.sum() < SLICE_MIN:
                continue
            own = None if numbers is None else np.unique(numbers[known][inside], return_inverse=True)[1]
            both, other = int((agreed & inside).sum()), int((agreed & ~inside).sum())
            p = math.nan
            if not inside.all():
                p = fisher_exact(both, int(inside.sum()) - both, other, int((~inside).sum()) - other)
            made.append(Slice(field, value, pass_rate(agreed[inside], own), p))
    tested = [place for place, slice_ in enumerate(made) if not math.isnan(slice_.p)]
    for place, p in zip(tested, benjamini_hochberg([made[place].p for place in tested]), strict=True):
        made[place] = replace(made[place], p=p)
    return tuple(sorted(made, key=lambda slice_: slice_.agreement.value))


def _more_labels(found: Estimate | None, width: float) -> int | None:
    """Labels beside those there are, for an interval of this width: it shrinks with the root of their number."""
    if found is None or math.isnan(found.width):
        return None
    return max(0, math.ceil(found.n * (found.width / width) ** 2) - found.n)


def _without_rows(found: Agreement) -> dict[str, Any]:
    by_row = ("distances", "agreed", "curve")
    return {name: value for name, value in to_json(found).items() if name not in by_row}


def gate(found: Calibration, demand: str, *, surely: bool = False) -> Gate:
    """What a demand such as `kappa>=0.7` or `brier<=0.1` comes to.

    Args:
        surely: The whole interval has to meet it, as in `stats.gates.gates`.

    Raises:
        ValueError: the demand has another form, or asks for a figure that there is not.
    """
    for sign in (">=", "<="):
        name, there, number = (part.strip() for part in demand.partition(sign))
        if not there:
            continue
        figures: Mapping[str, Estimate] = found.figures()
        if name not in figures:
            raise ValueError(f"--gate {demand}: there is no '{name}' here; there are {', '.join(figures)}")
        try:
            wanted = float(number)
        except ValueError:
            break
        estimate = figures[name]
        turned = (
            estimate
            if sign == ">="
            else replace(estimate, value=-estimate.value, low=-estimate.high, high=-estimate.low)
        )
        verdict = (
            "inconclusive"
            if math.isnan(estimate.value)
            else judge(turned, wanted if sign == ">=" else -wanted, surely=surely)
        )
        text = f"{estimate.value:.4g}, {estimate.between()}, wanted {'surely ' * surely}{sign} {wanted:g}"
        return Gate(name, verdict, text)
    raise ValueError(f"--gate {demand}: expected a figure, >= or <=, and a number, such as kappa>=0.7")
