"""Explanations of a reward: rendered texts, questions to judges and their answers, the formula's steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graders.ask import ModelAsk
from graders.errors import FormulaError, GradeError
from graders.messages import AudioPart, ImagePart, Part, TextPart
from graders.result import RunResult
from graders.row import Row
from graders.spec.model import SpecModel
from graders.spec.options import Options
from graders.template import Template

#: Keys of a result's provenance that other steps show or that are the same for every row.
_SAID_ELSEWHERE = ("engine", "graders")


@dataclass(frozen=True, slots=True)
class ExplanationStep:
    """One step on the way to the reward.

    Attributes:
        at: The spec's field, or a part of the formula.
        text: Its value, as text.
    """

    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A graded row and the steps to its reward, in the order in which they were taken; printed, a page of text."""

    result: RunResult
    steps: tuple[ExplanationStep, ...]

    def __str__(self) -> str:
        result = self.result
        lines = [_indented(step.at, step.text) for step in self.steps]
        lines += [f"{failure.flag}: {failure}" for failure in result.failures]
        reward = f"reward: {result.reward:g}"
        return "\n".join([*lines, reward if result.ok else f"{reward}, which is no score: the row failed"])

    def _repr_html_(self) -> str:
        from graders.notebook import block

        return block("How the row got its reward", str(self))

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        steps = [{"at": step.at, "text": step.text} for step in self.steps]
        return {"result": self.result.to_wire(), "steps": steps}


def explain(spec: SpecModel, options: Options, row: Row | None, result: RunResult) -> Explanation:
    """The explanation of a graded row's reward.

    Args:
        spec: The spec that graded it.
        options: The options of its templates.
        row: The row; None when sample or item could not be read, as the result then says.
        result: The grader's result.
    """
    return Explanation(result, () if row is None else tuple(_steps(spec, options, row, result)))


def _steps(spec: SpecModel, options: Options, row: Row, result: RunResult) -> Iterator[ExplanationStep]:
    for at, leaf in spec.leaves().items():
        yield from _texts(at, leaf, row, options)
        key = at.removeprefix("graders.").rstrip(".")
        own = result.provenance.get("graders", {}).get(key, {}) if key else result.provenance
        for name, value in own.items():
            if name not in _SAID_ELSEWHERE:
                yield ExplanationStep(
                    f"{at}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                )
        if key in result.failed_members:
            yield ExplanationStep(
                at.rstrip("."), f"failed ({result.failed_members[key]}); the formula takes 0"
            )
        elif key in result.sub_rewards:
            yield ExplanationStep(at.rstrip("."), f"{result.sub_rewards[key]:g}")
    formula = spec.formula()
    if formula is not None:
        try:
            for text, value in formula.steps(tuple(result.sub_rewards.values())):
                yield ExplanationStep(text, f"{value:g}")
        except FormulaError:
            # the result says why
            return


def _texts(at: str, leaf: SpecModel, row: Row, options: Options) -> Iterator[ExplanationStep]:
    """The texts that a grader compares, or asks its judge."""
    try:
        asked = [ask for ask in leaf.build(options).ask(row) if isinstance(ask, ModelAsk)]
    except GradeError:
        # a variable is missing; the loop below says which text names it
        asked = []
    for ask in asked:
        for message in ask.messages:
            yield ExplanationStep(
                f"{at}input ({message.role} to {ask.model})", "\n".join(map(_part, message.parts))
            )
    for place, text in () if asked else leaf.templates():
        try:
            yield ExplanationStep(f"{at}{place}", Template(text, options.values).render(row))
        except GradeError as error:
            yield ExplanationStep(f"{at}{place}", f"no text: {error}")


def _part(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, ImagePart):
        return f"[image, {part.n_chars} characters]"
    assert isinstance(part, AudioPart)
    return f"[{part.format} audio, {part.n_chars} characters]"


def _indented(title: str, text: str) -> str:
    return f"{title}: {text}" if "\n" not in text else f"{title}:\n  " + text.replace("\n", "\n  ")
