"""A grader type and a metric that are not of this project: each is what one file and one line have to be.

`number_check` passes when two numbers differ by at most a tolerance; `jaccard` is the share of words that two texts
have in common. docs/extending.md shows both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from graders.ask import Answer
from graders.errors import Problem, SampleParseError
from graders.metrics import Metric, each, provenance
from graders.result import Score
from graders.row import Row
from graders.spec.kind import Kind
from graders.spec.model import Field, SpecModel, TemplateText
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json
from graders.template import Template

# --- a grader type ---


class NumberCheckSpec(SpecModel):
    """1.0 when the two texts are numbers that differ by at most `tolerance`, else 0.0."""

    two_valued: ClassVar[bool] = True

    type: Literal["number_check"]
    input: TemplateText
    reference: TemplateText
    tolerance: float = Field(0.0, ge=0, description="The largest difference that passes.")

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        problems.template(raw.get("input"), "input")
        problems.template(raw.get("reference"), "reference")

    def build(self, options: Options) -> NumberCheck:
        return NumberCheck(self, options)

    def compared(self) -> tuple[str, str]:
        return self.input, self.reference

    def reference_mistake(self, text: str) -> Problem | None:
        if number_in(text) is not None:
            return None
        return Problem(
            "reference", f"the reference is no number: {text!r}", "reference_not_a_number", "error"
        )


class NumberCheck(Kind):
    def __init__(self, spec: NumberCheckSpec, options: Options) -> None:
        self._input = Template(spec.input, options.values)
        self._reference = Template(spec.reference, options.values)
        self._tolerance = spec.tolerance

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        want = number_in(self._reference.render(row))
        if want is None:
            raise SampleParseError("the reference is no number")
        got = number_in(self._input.render(row))
        return Score(1.0 if got is not None and abs(got - want) <= self._tolerance else 0.0)


def number_in(text: str) -> float | None:
    """The number that a text is, thousands separators left out; None when it is none."""
    try:
        number = float(text.replace(",", "").strip())
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# --- a metric ---

OPTIONS: dict[str, tuple[Any, ...]] = {"lower": (True, False)}


def make(name: str, options: Mapping[str, Any], implementation: str) -> Metric:
    """The size of the intersection of the two sets of words over that of their union; 1 for two empty texts."""

    def score(hypothesis: str, reference: str) -> float:
        if options["lower"]:
            hypothesis, reference = hypothesis.lower(), reference.lower()
        mine, theirs = set(hypothesis.split()), set(reference.split())
        union = mine | theirs
        return len(mine & theirs) / len(union) if union else 1.0

    made = provenance(name, options, implementation="toys", version="1", reference="by definition")
    return Metric(score=score, scores=each(score), provenance=made)
