"""Calibration of a grader: its agreement with people, by annotator and slice, and corrected pass rates.

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
from graders.calibration.rows import GradedRows
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

#: Least number of rows of a slice that is shown.
SLICE_MIN = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows with one value of a field.

    Attributes:
        agreement: Fraction of rows on which grader and people agree.
        p: p value of the difference from the other rows (Fisher's exact test), adjusted over all slices by Benjamini
            and Hochberg; NaN without other rows.
    """

    field: str
    value: str
    agreement: Estimate
    p: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A grader's agreement with people's labels.

    Attributes:
        annotators: The label fields.
        failed: Number of rows that could not be graded, which are excluded from all figures.
        tied: Number of rows with equally many yes and no, which have no label.
        agreement: Agreement with the majority label, or with the mean rating.
        by_annotator: Agreement with each annotator; () for a single one.
        between: Krippendorff's alpha of the annotators; None for a single one.
        with_grader: Alpha with the grader as another annotator. If it is not below `between`, the grader agrees with
            people as well as they do with each other.
        slices: Slices, the lowest agreement first.
        more_labels: Estimated number of further labels until kappa's interval has the wanted width; None for ratings
            and where unknown.
        width: The wanted width.
        effects: Results of the probes.
        binding: The grader and judges for which the figures hold.
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
        """The figures that gates can use, by name."""
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
        """The calibration as plain JSON, without single rows."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "binding"}
        plain["agreement"] = _without_rows(self.agreement)
        plain["by_annotator"] = [_without_rows(each) for each in self.by_annotator]
        return {**to_json(plain), "binding": self.binding.to_json()}


def calibrate(
    rows: GradedRows,
    labels: Sequence[str],
    *,
    label_threshold: float | None = None,
    pass_threshold: float | None = None,
    group: str | None = None,
    slices: Sequence[str] = (),
    width: float = 0.1,
    effects: tuple[Effect, ...] = (),
) -> Calibration:
    """Compare a grader with people's labels.

    Args:
        rows: From `graded` or `from_results`.
        labels: A field of the data rows for each annotator: true or false, 0 or 1, yes or no, or a number.
        label_threshold: For labels that are numbers: the least label that means yes.
        pass_threshold: The least reward that passes, in place of the spec's. Without either, each half of the items is
            judged at the best threshold of the other half.
        group: A field with equal values for rows of one item; None: by ids `x`, `x#2`; "": each row is its own item.
        slices: Fields by whose values the agreement is shown separately.
        width: The wanted width of kappa's interval, for `more_labels`.
        effects: The result of `graders.calibration.bias.probed`, to be included.

    Raises:
        ResultsError: no row has a named field, labels are neither yes and no nor numbers, or no row has both a reward
            and a label.
        ValueError: no label field is named.
    """
    if not labels:
        raise ValueError("name at least one field with labels")
    matrix, ratings = _label_matrix(rows, labels, label_threshold)
    label, tied = _consensus(matrix, ratings)
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
        between = alpha(matrix, items, nominal=not ratings)
        with_grader = _with_grader(rows, matrix, found, items, ratings=ratings)
    return Calibration(
        annotators=tuple(labels),
        failed=int((~scored).sum()),
        tied=tied,
        agreement=found,
        by_annotator=tuple(map(against, labels, matrix.T)) if len(labels) > 1 else (),
        between=between,
        with_grader=with_grader,
        slices=_slices(rows, found, scored, numbers, slices),
        more_labels=_more_labels(found.kappa, width),
        width=width,
        effects=effects,
        binding=binding(spec, rows.provenance, rows.models),
    )


def _label_matrix(
    rows: GradedRows, labels: Sequence[str], label_threshold: float | None
) -> tuple[Floats, bool]:
    """The labels of shape [rows, annotators], and whether they are ratings."""
    columns, ratings = [], False
    for field in labels:
        column, of_numbers = read_labels(field, rows.column(field), label_threshold)
        columns.append(column)
        ratings = ratings or of_numbers
    return np.stack(columns, axis=1), ratings


def _consensus(matrix: Floats, ratings: bool) -> tuple[Floats, int]:
    """The label of each row, NaN without one, and the number of tied rows."""
    given = (~np.isnan(matrix)).sum(axis=1)
    mean = np.full(len(matrix), math.nan)
    mean[given > 0] = np.nansum(matrix[given > 0], axis=1) / given[given > 0]
    if ratings:
        return mean, 0
    tied = mean == 0.5
    label = np.where(np.isnan(mean) | tied, math.nan, (mean > 0.5).astype(np.float64))
    return label, int(tied.sum())


def _with_grader(
    rows: GradedRows, matrix: Floats, found: Agreement, items: Ints | None, *, ratings: bool
) -> Estimate | None:
    """Alpha with the grader as another annotator; for ratings only if it uses their scale."""
    if ratings:
        same_scale = found.weighted_kappa is not None
        return alpha(np.column_stack([matrix, rows.rewards]), items, nominal=False) if same_scale else None
    assert found.cut is not None  # since labels are yes or no
    passed = np.where(np.isnan(rows.rewards), math.nan, rows.rewards >= found.cut.threshold)
    return alpha(np.column_stack([matrix, passed]), items, nominal=True)


def _slices(
    rows: GradedRows, found: Agreement, scored: Any, numbers: Ints | None, names: Sequence[str]
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
    """Number of further labels for an interval of this width, which shrinks with the root of their number."""
    if found is None or math.isnan(found.width):
        return None
    return max(0, math.ceil(found.n * (found.width / width) ** 2) - found.n)


def _without_rows(found: Agreement) -> dict[str, Any]:
    by_row = ("distances", "agreed", "curve")
    return {name: value for name, value in to_json(found).items() if name not in by_row}


def gate(found: Calibration, demand: str, *, surely: bool = False) -> Gate:
    """The gate for a condition such as `kappa>=0.7` or `brier<=0.1`.

    Args:
        surely: Whether the whole interval has to meet it, as in `stats.gates.gates`.

    Raises:
        ValueError: the condition has another form, or names an unknown figure.
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
