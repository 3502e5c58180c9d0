"""A report of a results file: its statistics and selected rows. As a page, Markdown, JSON or JUnit.

    report = make_report("results.jsonl", label="human")
    text = page(report)          # one self-contained HTML file, see page.py

Up to EVERYTHING rows, all are shown. A larger file is represented by a random sample, the failed rows (up to FAILED),
the worst and the best rows, and those with the largest distance between reward and label; `Report.held` says which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graders.report.claims import GraderClaim, claims_about
from graders.report.rendered import JudgeMessages, ReferenceText
from graders.results.read import ResultRow, read_rows
from graders.stats.agreement.labels import Agreement, agreement
from graders.stats.facts import reward_range
from graders.stats.figures import Summary, to_json
from graders.stats.gates import Gate, gates
from graders.stats.gather import Columns, gather
from graders.stats.resampling import SEED, Floats
from graders.stats.summary import summarise
from graders.usage import Usage

#: Number of rows up to which all are shown.
EVERYTHING = 5000
#: Rows shown of a larger file: a random sample; failed rows; the worst, and the best; the furthest from their label.
SAMPLE = 2000
FAILED = 5000
EXTREMES = 50
FAR = 300


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A row of the report.

    Attributes:
        place: Its position in the results file, from 0.
        reasons: The reasons for showing it: "all", "sample", "failed", "worst", "best", "far" from its label.
        reference: The reference text; "" when unknown.
        messages: Messages to judges: (grader and role, text).
        label: The human's label; None without one.
        distance: Distance between reward and label, 0 to 1; NaN without a label.
    """

    place: int
    row: ResultRow
    reasons: tuple[str, ...]
    reference: str
    messages: tuple[tuple[str, str], ...]
    label: Any
    distance: float


@dataclass(frozen=True, slots=True)
class Report:
    """Attributes:
    held: A sentence that says which rows are shown.
    claims: Audit claims about the grader, checked against these results.
    """

    summary: Summary
    gates: tuple[Gate, ...]
    agreement: Agreement | None
    rows: tuple[ReportRow, ...]
    held: str
    claims: tuple[GraderClaim, ...] = ()

    def _repr_html_(self) -> str:
        return self.summary._repr_html_()

    def to_json(self) -> dict[str, Any]:
        """Everything but the rows, as plain JSON."""
        agreed = None
        if self.agreement is not None:
            by_row = ("distances", "agreed")
            agreed = {name: value for name, value in to_json(self.agreement).items() if name not in by_row}
        return {
            **self.summary.to_json(),
            "gates": to_json(self.gates),
            "agreement": agreed,
            "claims": to_json(self.claims),
        }


def make_report(
    path: str | Path,
    *,
    group: str | None = None,
    label: str | None = None,
    label_threshold: float | None = None,
    reference: str | None = None,
    fail_under: float | None = None,
    min_coverage: float | None = None,
    surely: bool = False,
    pass_threshold: float | None = None,
    claims: str | Path | None = None,
    price: Callable[[str, Usage], float | None] = lambda model, usage: None,
    rows: bool = True,
) -> Report:
    """
    Args:
        group, label: As in `stats.gather.gather`.
        label_threshold: For labels that are numbers: the least label that means yes.
        reference: The field of item or row that holds the reference; None: the spec's reference, else a field with a
            name of REFERENCE_FIELDS.
        fail_under, min_coverage, surely: As in `stats.gates.gates`.
        claims: A claims file, see `report.claims`.
        price, pass_threshold: As in `stats.summary.summarise`.
        rows: Whether to collect rows beside the statistics.

    Raises:
        ResultsError: the file or the claims file cannot be read, or no row has a requested field.
    """
    columns = gather(path, group=group, label=label)
    summary = summarise(columns, price, pass_threshold=pass_threshold)
    agreed = None
    if label is not None:
        agreed = agreement(
            label,
            columns.labels,
            columns.rewards,
            summary.threshold,
            label_threshold,
            columns.items,
            reward_range(columns.header.spec),
        )
    chosen, held = choose(columns, None if agreed is None else agreed.distances) if rows else ({}, "")
    return Report(
        summary,
        tuple(gates(summary, fail_under, min_coverage, surely=surely)),
        agreed,
        tuple(_rows(path, columns, chosen, agreed, reference)),
        held,
        ()
        if claims is None
        else claims_about(claims, columns.header, columns.usage, columns.rewards, columns.items),
    )


def choose(columns: Columns, distances: Floats | None = None) -> tuple[Mapping[int, tuple[str, ...]], str]:
    """The rows that a report shows, position -> reasons, and a sentence that describes them."""
    scored, failed = columns.places, columns.failed_places
    n = len(scored) + len(failed)
    reasons: defaultdict[int, list[str]] = defaultdict(list)

    def take(places: Iterable[int], reason: str) -> None:
        for place in places:
            reasons[int(place)].append(reason)

    if n <= EVERYTHING:
        take(range(n), "all")
        parts = []
    else:
        take(np.sort(np.random.default_rng(SEED).choice(n, SAMPLE, replace=False)), "sample")
        parts = [f"a random sample of {SAMPLE:,}", f"the {EXTREMES} lowest and the {EXTREMES} highest"]
    if len(failed) > FAILED:
        take(failed[np.linspace(0, len(failed) - 1, FAILED).astype(int)], "failed")
        parts.append(f"{FAILED:,} of the {len(failed):,} failed ones, evenly taken from the file")
    else:
        take(failed, "failed")
        parts += [f"all {len(failed):,} failed ones"] if len(failed) else []
    order = np.argsort(columns.rewards, kind="stable")
    take(scored[order[:EXTREMES]], "worst")
    take(scored[order[::-1][:EXTREMES]], "best")
    if distances is not None:
        far = np.argsort(-np.nan_to_num(distances, nan=-1.0), kind="stable")[:FAR]
        far = far[distances[far] > 0]
        take(scored[far], "far")
        parts.append(f"the {len(far):,} furthest from their label")
    held = (
        f"Of {n:,} rows: {'; '.join(parts)}."
        if n > EVERYTHING
        else "The only row."
        if n == 1
        else f"All {n:,} rows."
    )
    return {place: tuple(reasons[place]) for place in sorted(reasons)}, held


def _rows(
    path: str | Path,
    columns: Columns,
    chosen: Mapping[int, tuple[str, ...]],
    agreed: Agreement | None,
    reference: str | None,
) -> Iterable[ReportRow]:
    find, asked = ReferenceText(columns.header.spec, reference), JudgeMessages(columns.header)
    index = {int(place): n for n, place in enumerate(columns.places)} if agreed is not None else {}
    for place, row in read_rows(path, chosen) if chosen else ():
        label, distance, n = None, float("nan"), index.get(place)
        if agreed is not None and n is not None:
            label, distance = columns.labels[n], float(agreed.distances[n])
        yield ReportRow(place, row, chosen[place], find.text(row), tuple(asked.texts(row)), label, distance)
