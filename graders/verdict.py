"""Verdicts: the JSON that a judge must answer with, and the reader of an answer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graders.errors import ModelParseError


class AmbiguousVerdict(ValueError):
    """An answer holds no verdict, or several different ones; the message says which."""


_STEPS: dict[str, Any] = {
    "type": "array",
    "description": "A sequence of steps outlining the reasoning process.",
    "items": {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    },
}
# In the message about a wrong label: a spec may have thousands of labels.
LABELS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """The required form of an answer: `{"steps": [...], "result": ...}`, the schema of the hosted notebook.

    Attributes:
        labels: The allowed labels; empty for a score.
        range: Inclusive bounds of a score; stated to the judge and applied by the kind, since a judge may overshoot.
        steps: Whether reasoning steps are asked for before the result (the hosted way), or the result alone.
    """

    labels: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 1.0)
    steps: bool = True

    @property
    def schema_name(self) -> str:
        return "label_classification" if self.labels else "float_score_classification"

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema for the judge's answer, in the property order that the service records."""
        result: dict[str, Any]
        if self.labels:
            result = {
                "type": "string",
                "enum": list(self.labels),
                "description": "The label assigned to the response.",
            }
        else:
            low, high = self.range
            result = {
                "type": "number",
                "description": "The float score assigned to the response. "
                f"This should be in inclusive range {low:g} to {high:g}.",
            }
        properties = {"steps": _STEPS, "result": result} if self.steps else {"result": result}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def read(self, answer: object) -> float | str:
        """The verdict in one decoded JSON answer.

        `steps` is not insisted on and no range is applied here: the caller clips. A bool is not a number.

        Raises:
            AmbiguousVerdict: the answer is not an object with a valid `result`.
        """
        if not isinstance(answer, Mapping) or "result" not in answer:
            raise AmbiguousVerdict(f"expected an object with 'result', got {_shown(answer)}")
        result = answer["result"]
        if self.labels:
            if isinstance(result, str) and result in self.labels:
                return result
            shown = ", ".join(map(repr, self.labels[:LABELS_SHOWN]))
            more = ", ..." if len(self.labels) > LABELS_SHOWN else ""
            raise AmbiguousVerdict(f"'result' is {_shown(result)}, not one of {shown}{more}")
        if isinstance(result, bool) or not isinstance(result, (int, float)) or not math.isfinite(result):
            raise AmbiguousVerdict(f"'result' is {_shown(result)}, not a finite number")
        return float(result)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 120 else text[:117] + "..."


def parse_error(error: AmbiguousVerdict, text: str) -> ModelParseError:
    """The error for an answer without a single valid verdict."""
    return ModelParseError(f"the judge's answer was not used: {error}", text)
