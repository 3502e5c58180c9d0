"""Renders a spec's templates for a row of a results file: the reference text, and the messages to judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graders.ask import ModelAsk
from graders.errors import GradeError
from graders.fields import field_of
from graders.messages import TextPart
from graders.results.read import Header, ResultRow
from graders.row import Row
from graders.spec.options import Options
from graders.stats.facts import model_of
from graders.template import Template

#: Fields of an item that may hold the reference, where the spec does not compare texts.
REFERENCE_FIELDS = (
    "reference",
    "reference_answer",
    "answer",
    "correct_answer",
    "ground_truth",
    "expected",
    "expected_output",
    "target",
    "solution",
)


class ReferenceText:
    """Finds the reference text of a row."""

    def __init__(self, spec: Mapping[str, Any], field: str | None = None) -> None:
        self._field = field
        template = None if field else _reference_template(spec)
        self._template = None if template is None else Template(template)

    def text(self, row: ResultRow) -> str:
        """The row's reference; "" when it has none."""
        if self._template is not None:
            try:
                return self._template.render(Row(row.sample, row.item))
            except GradeError:
                return ""
        for field in (self._field,) if self._field else REFERENCE_FIELDS:
            for source in (row.item, row.row):
                value = field_of(source, field, None)
                if isinstance(value, (str, int, float)):
                    return str(value)
        return ""


def _reference_template(spec: Mapping[str, Any]) -> str | None:
    """The side of the first comparison that names the item and not the sample; real specs have both orders."""
    model = model_of(spec)
    for grader in model.leaves().values() if model is not None else ():
        fixed = [side for side in grader.compared() or () if not _shows(side, "sample")]
        if len(fixed) == 1 and _shows(fixed[0], "item"):
            return fixed[0]
    return None


def _shows(side: str, namespace: str) -> bool:
    return any(path.namespace == namespace for path in Template(side).paths)


class JudgeMessages:
    """Renders the messages that judges got about a row."""

    def __init__(self, header: Header) -> None:
        model, stated = model_of(header.spec), header.options
        options = Options(values=stated.get("values", "json"), judge_steps=stated.get("steps", True))
        leaves = {} if model is None else model.leaves()
        self._judges = {
            path: leaf.build(options) for path, leaf in leaves.items() if leaf.judge() is not None
        }

    def texts(self, row: ResultRow) -> Iterator[tuple[str, str]]:
        """(title, text) of each message of each judge; images and audio are only named."""
        for path, judge in self._judges.items():
            try:
                asks = judge.ask(Row(row.sample, row.item))
            except GradeError:
                continue
            key = path.removeprefix("graders.").rstrip(".")
            for ask in asks:
                for message in ask.messages if isinstance(ask, ModelAsk) else ():
                    parts = (
                        part.text if isinstance(part, TextPart) else f"[{type(part).__name__}]"
                        for part in message.parts
                    )
                    yield f"{key} {message.role}".strip(), "\n".join(parts)
