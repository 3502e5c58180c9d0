"""string_check: compare two texts as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from graders.ask import Answer, Ask
from graders.errors import GradeError
from graders.result import Score
from graders.row import Row
from graders.spec.reading import Field, Json, Options, Report, SpecModel, TemplateText
from graders.template import Template

# No trimming, no Unicode folding. `like` is "contains", not SQL's pattern: a published run shows it (docs/parity.md).
COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda got, want: got == want,
    "ne": lambda got, want: got != want,
    "like": lambda got, want: want in got,
    "ilike": lambda got, want: want.lower() in got.lower(),
}

RIGHT, WRONG = Score(1.0), Score(0.0)


class StringCheckSpec(SpecModel):
    """1.0 when the rendered texts compare as `operation` asks, else 0.0."""

    type: Literal["string_check"]
    operation: Literal["eq", "ne", "like", "ilike"] = Field(
        description="eq and ne compare whole texts; like is 'input contains reference', ilike ignores case."
    )
    input: TemplateText
    reference: TemplateText

    @classmethod
    def lenient(cls, raw: dict[str, Json], report: Report) -> dict[str, Json]:
        raw = super().lenient(raw, report)
        if raw.get("operation") == "neq":  # the guide's prose; the schema says ne
            report.lenient("'neq' is read as 'ne', the schema's word.", "neq_spelling", "operation")
            raw["operation"] = "ne"
        return raw

    @classmethod
    def check(cls, raw: dict[str, Json], report: Report) -> None:
        report.template(raw.get("input"), "input")
        report.template(raw.get("reference"), "reference")

    def build(self, options: Options) -> StringCheck:
        return StringCheck(self, options)


class StringCheck:
    n_asks = 0
    provenance: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, spec: StringCheckSpec, options: Options) -> None:
        self._compare = COMPARE[spec.operation]
        self.input = Template(spec.input, options.values)
        self.reference = Template(spec.reference, options.values)

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        return ()

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        return RIGHT if self._compare(self.input.render(row), self.reference.render(row)) else WRONG
