"""What `grader check` finds: findings, and the report that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graders.errors import Problem
from graders.wording import plural

if TYPE_CHECKING:
    from graders.endpoints.spending import SpendingEstimate

NAMED = 3  # rows that a finding names


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before grading.

    Attributes:
        severity: "error": rows will fail, or be graded for nothing. "warning": probably not what was meant.
        code: A stable word for programs; docs/problems.md lists them all.
        message: What was found and what follows.
        grader: The grader's name, "" when it is about the data or the document.
        path: Where in the grader's spec, "" when nowhere in particular.
        count: How many rows it is about; 0 when it is not about rows.
        rows: The ids of the first of them.
        numbers: Their line or record numbers in the data, from 1.
        suggestion: What was probably meant, or "".
        file, line, column: Where in the spec's file; "" and 0 when unknown.
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
    """All that `check` found.

    Attributes:
        findings: Errors first.
        rows: Rows looked at.
        graders: Names of the graders that were checked.
        has_samples: Whether the data holds model outputs; without them only items are looked at.
        estimates: Judge model -> what asking it about all rows would take.
    """

    findings: tuple[Finding, ...]
    rows: int
    graders: tuple[str, ...]
    has_samples: bool
    estimates: Mapping[str, SpendingEstimate]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(finding.severity == "error" for finding in self.findings)

    def _repr_html_(self) -> str:
        from graders.notebook import table

        found = ((f.severity, f.grader, f.path, f"{f.message} {f.suggestion}", f.code) for f in self.findings)
        return table(f"{plural(len(self.findings), 'finding')} in {plural(self.rows, 'row')}", found)


@dataclass(slots=True)
class RowCount:
    """How many rows, the first of them, and what the first of all looked like."""

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
    """Collects findings. One that stands already, for the same field and with the same code, is not repeated."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, str], Finding] = {}

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
        self._keep(Finding(severity, code, message, grader, path, count, ids, numbers, suggestion))

    def problem(self, problem: Problem, grader: str) -> None:
        """What `validate` says of a spec or a document."""
        self._keep(
            Finding(
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

    def _keep(self, finding: Finding) -> None:
        self._found.setdefault((finding.grader, finding.path, finding.code, _subject(finding)), finding)

    def sorted(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._found.values(), key=lambda finding: finding.severity != "error"))


def _subject(finding: Finding) -> str:
    """Several findings with one code may be about one field where it names several variables."""
    return finding.message.partition("'")[2].partition("'")[0]
