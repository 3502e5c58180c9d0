"""string_check: compare two texts as they are."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal

from graders.ask import Answer
from graders.errors import Problem
from graders.kinds.columns import column
from graders.result import Score
from graders.row import Row
from graders.spec.kind import ColumnScores, GradeColumns, Kind
from graders.spec.model import Field, SpecModel, TemplateText, VariableValues
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json
from graders.template import Template

# No trimming, no Unicode folding. `like` means "contains", not SQL's pattern: see docs/parity.md for the evidence.
COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "like": operator.contains,
    "ilike": lambda got, want: want.lower() in got.lower(),
}

#: Operation -> (severity, consequence) of an empty reference.
EMPTY_REFERENCE = {
    "eq": ("warning", "only an empty output equals it"),
    "ne": ("warning", "every output but an empty one passes"),
    "like": ("error", "every output contains it and passes"),
    "ilike": ("error", "every output contains it and passes"),
}
#: JSON types whose text a model rarely writes in the same form.
_JSON_TEXTS = ("boolean", "decimal number")

RIGHT, WRONG = Score(1.0), Score(0.0)


class StringCheckSpec(SpecModel):
    """1.0 when the rendered texts compare as `operation` asks, else 0.0."""

    hosted: ClassVar[bool] = True
    two_valued: ClassVar[bool] = True

    type: Literal["string_check"]
    operation: Literal["eq", "ne", "like", "ilike"] = Field(
        description="eq and ne compare whole texts; like is 'input contains reference', ilike ignores case."
    )
    input: TemplateText
    reference: TemplateText

    @classmethod
    def lenient(cls, raw: dict[str, Json], problems: Problems) -> dict[str, Json]:
        raw = super().lenient(raw, problems)
        # the guide's prose; the schema says ne
        if raw.get("operation") == "neq":
            message = "'neq' is read as 'ne', the schema's word."
            source = "the guide's prose has it, the public specification does not"
            problems.lenient(message, "neq_spelling", "operation", source=source)
            raw["operation"] = "ne"
        return raw

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        problems.template(raw.get("input"), "input")
        problems.template(raw.get("reference"), "reference")
        reference = raw.get("reference")
        text = reference if isinstance(reference, str) and raw.get("operation") in ("like", "ilike") else ""
        if len(text) > 2 and text[0] == text[-1] == "%":
            message = "like is 'contains' and no SQL pattern: '%' stands for itself."
            problems.warn(message, "like_pattern", "reference", suggestion=f"Write '{text[1:-1]}'.")

    def build(self, options: Options) -> StringCheck:
        return StringCheck(self, options)

    def compared(self) -> tuple[str, str]:
        return self.input, self.reference

    def reference_mistake(self, text: str) -> Problem | None:
        if text.strip():
            return None
        severity, follows = EMPTY_REFERENCE[self.operation]
        return Problem("reference", f"the reference is empty: {follows}", "empty_reference", severity)

    def findings(self, variables: Sequence[VariableValues]) -> Iterator[Problem]:
        for variable in variables:
            types = set(variable.types) - {"null"}
            if len(types) == 1 and variable.path.namespace == "item" and types & set(_JSON_TEXTS):
                (kind,) = types
                message = (
                    f"'{variable.path}' is a {kind} and is compared as its JSON text, "
                    f"such as {variable.examples[kind]}."
                )
                yield Problem(variable.field, message, "compared_as_json", "warning")


class StringCheck(Kind):
    def __init__(self, spec: StringCheckSpec, options: Options) -> None:
        self._compare = COMPARE[spec.operation]
        self.input = Template(spec.input, options.values)
        self.reference = Template(spec.reference, options.values)

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        return RIGHT if self._compare(self.input.render(row), self.reference.render(row)) else WRONG

    def columns(self) -> GradeColumns:
        compare, got, want = self._compare, column(self.input), column(self.reference)
        # indexed by a bool: False is 0 and True is 1
        number = (0.0, 1.0).__getitem__

        def grade(samples: Sequence[str], items: Sequence[Any]) -> ColumnScores:
            same = map(compare, got(samples, items), want(samples, items))
            return ColumnScores(list(map(number, same)))

        return grade
