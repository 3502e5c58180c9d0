"""Findings of `grader check`, and the report with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graders.errors import Problem
from graders.wording import plural

if TYPE_CHECKING:
    from graders.endpoints.spending import SpendingEstimate

#: Rows that a finding lists by id.
NAMED = 3


@dataclass(frozen=True, slots=True)
class PreflightFinding:
    """One finding before grading.

    Attributes:
        severity: "error": rows will fail, or their rewards will be useless. "warning": probably a mistake.
        code: A stable word for programs; docs/problems.md lists them all.
        message: The finding and its consequence.
        grader: The grader's name, "" for findings about the data or the document.
        path: The path in the grader's spec, or "".
        count: Number of affected rows; 0 when it is not about rows.
        rows: The ids of the first of these rows.
        numbers: The line or record numbers of these rows in the data, from 1.
        suggestion: A suggested replacement, or "".
        file, line, column: The position in the spec's file; "" and 0 when unknown.
    """

    severity: str
    code: str
    message: str
    grader: str = ""
    path: str = ""
    count: int = 0
    rows: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    suggestion: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of `check`.

    Attributes:
        findings: The findings, errors first.
        rows: Number of rows that were checked.
        graders: Names of the graders that were checked.
        has_samples: Whether the data has model outputs; without them only items are checked.
        estimates: Judge model -> the expected spending for all rows.
    """

    findings: tuple[PreflightFinding, ...]
    rows: int
    graders: tuple[str, ...]
    has_samples: bool
    estimates: Mapping[str, SpendingEstimate]

    @property
    def ok(self) -> bool:
        """Whether there are no errors; there may be warnings."""
        return not any(finding.severity == "error" for finding in self.findings)

    def _repr_html_(self) -> str:
        from graders.notebook import table

        found = ((f.severity, f.grader, f.path, f"{f.message} {f.suggestion}", f.code) for f in self.findings)
        return table(f"{plural(len(self.findings), 'finding')} in {plural(self.rows, 'row')}", found)


@dataclass(slots=True)
class RowCount:
    """A number of rows, the ids and numbers of the first ones, and an example."""

    example: str = ""
    n: int = 0
    ids: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def add(self, row_id: str, number: int) -> None:
        self.n += 1
        if len(self.ids) < NAMED:
            self.ids.append(row_id)
            self.numbers.append(number)


class Findings:
    """A collector of findings, at most one for a field and code."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, str], PreflightFinding] = {}

    def add(
        self,
        severity: str,
        code: str,
        message: str,
        *,
        grader: str = "",
        path: str = "",
        rows: RowCount | None = None,
        suggestion: str = "",
    ) -> None:
        count, ids, numbers = (rows.n, tuple(rows.ids), tuple(rows.numbers)) if rows else (0, (), ())
        self._keep(PreflightFinding(severity, code, message, grader, path, count, ids, numbers, suggestion))

    def problem(self, problem: Problem, grader: str) -> None:
        """Add a problem of a spec or a document."""
        self._keep(
            PreflightFinding(
                problem.severity,
                problem.code,
                problem.message,
                grader,
                problem.path,
                suggestion=problem.suggestion,
                file=problem.file,
                line=problem.line,
                column=problem.column,
            )
        )

    def _keep(self, finding: PreflightFinding) -> None:
        self._found.setdefault((finding.grader, finding.path, finding.code, _subject(finding)), finding)

    def sorted(self) -> tuple[PreflightFinding, ...]:
        return tuple(sorted(self._found.values(), key=lambda finding: finding.severity != "error"))


def _subject(finding: PreflightFinding) -> str:
    """The key of a finding. A field with several variables may have several findings with one code."""
    return finding.message.partition("'")[2].partition("'")[0]
