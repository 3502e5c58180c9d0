"""How kinds are built, beyond what the wire says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """How kinds are built, beyond what the wire says.

    Attributes:
        metrics: "fast" or "reference": which implementation of text_similarity's metrics.
        metric_options: wire metric name -> options beyond the wire, such as {"rouge_l": {"stemmer": True}}.
        values: "json" or "python": how values that are not strings are rendered in templates.
        judge_steps: Whether judges are asked for reasoning steps before the result, as the service does.
        harden: Whether judges get the row's texts between marks that no text can forge, chat markup in them broken.
    """

    metrics: str = "fast"
    metric_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: str = "json"
    judge_steps: bool = True
    harden: bool = False
