"""Checks one grader over all rows: its variables, its references, and its spec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from graders.errors import GradeError, Problem
from graders.preflight.findings import Findings, RowCount
from graders.preflight.formulas import constant, range_of, witness
from graders.preflight.rows import NamedRow
from graders.preflight.variables import Variable
from graders.spec.model import SpecModel
from graders.template import Template
from graders.wording import plural


@dataclass(slots=True)
class ReferenceCheck:
    """The reference text of a comparison whose variables are in the item, and the mistakes found in it, by code."""

    at: str
    spec: SpecModel
    template: Template
    mistakes: dict[str, tuple[Problem, RowCount]] = field(default_factory=dict)

    def inspect(self, rows: Sequence[NamedRow]) -> None:
        if self.template.constant is not None:
            return
        for row in rows:
            try:
                text = self.template.render(row.row)
            except GradeError:
                # its missing variable is reported elsewhere
                continue
            mistake = self.spec.reference_mistake(text)
            if mistake is not None:
                _, count = self.mistakes.setdefault(mistake.code, (mistake, RowCount()))
                count.add(row.id, row.number)

    def report(self, findings: Findings, grader: str) -> None:
        constant = self.template.constant
        if constant is not None and (always := self.spec.reference_mistake(constant)):
            message = f"{always.message[:1].upper()}{always.message[1:]}."
            findings.add(always.severity, always.code, message, grader=grader, path=self.at + always.path)
        for mistake, count in self.mistakes.values():
            message = f"In {plural(count.n, 'row')} {mistake.message}."
            findings.add(
                mistake.severity,
                mistake.code,
                message,
                grader=grader,
                path=self.at + mistake.path,
                rows=count,
            )


class GraderCheck:
    """The checks of one grader and its members."""

    def __init__(self, name: str, spec: SpecModel, findings: Findings, has_samples: bool) -> None:
        self._name, self._spec, self._findings = name, spec, findings
        self._variables: dict[str, dict[tuple[str, str], Variable]] = {}
        self._references: list[ReferenceCheck] = []
        for at, leaf in spec.leaves().items():
            seen = self._variables.setdefault(at, {})
            for place, text in leaf.templates():
                for path in Template(text).paths:
                    if path.namespace == "item" or has_samples:
                        seen.setdefault((place, str(path)), Variable(at + place, path))
            texts = leaf.compared()
            reference = Template(texts[1]) if texts else None
            if reference and all(path.namespace == "item" for path in reference.paths):
                self._references.append(ReferenceCheck(at, leaf, reference))

    def inspect(self, rows: Sequence[NamedRow]) -> None:
        """Check some rows."""
        for variables in self._variables.values():
            for variable in variables.values():
                variable.inspect(rows)
        for reference in self._references:
            reference.inspect(rows)

    def report(self, n_rows: int) -> None:
        """Report the findings, after the last rows."""
        for variables in self._variables.values():
            for variable in variables.values():
                variable.report(self._findings, self._name, n_rows)
        for reference in self._references:
            reference.report(self._findings, self._name)
        for at, leaf in self._spec.leaves().items():
            self._report_templates(at, leaf)
            values = [variable.values(at) for variable in self._variables[at].values()]
            for problem in leaf.findings(values):
                self._error(problem.code, problem.message, at + problem.path, problem.severity)
        self._report_formula()

    def _error(self, code: str, message: str, path: str, severity: str = "error") -> None:
        self._findings.add(severity, code, message, grader=self._name, path=path)

    def _report_templates(self, at: str, leaf: SpecModel) -> None:
        """Report templates whose texts are the same for every row."""
        templates = list(leaf.templates())
        texts = leaf.compared()
        if texts and _without_blanks(texts[0]) == _without_blanks(texts[1]):
            message = "input and reference are the same template: every row gets the same reward."
            self._error("same_on_both_sides", message, at + templates[0][0])
        elif templates and not any(Template(text).paths for _, text in templates):
            seen = "the judge sees" if leaf.judge() else "the grader compares"
            message = f"No text has a variable: {seen} the same for every row."
            self._error("no_variable", message, at + templates[0][0].partition("[")[0])

    def _report_formula(self) -> None:
        formula = self._spec.formula()
        if formula is None:
            return
        ranges = [range_of(member) for member in self._spec.members().values()]
        error = witness(formula, ranges)
        if error is not None:
            self._error("formula_can_fail", f"The formula can fail: {error}.", "calculate_output")
        elif constant(formula, ranges):
            message = "The formula gives the same for whatever its graders give."
            self._error("formula_constant", message, "calculate_output")


def _without_blanks(text: str) -> str:
    """A template's text without blanks inside double braces."""
    return re.sub(r"\{\{([^{}]*)\}\}", lambda braces: f"{{{{{braces[1].strip()}}}}}", text)
