"""Options of compiling: settings that are not on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """Settings for building kinds that are not on the wire.

    Attributes:
        metrics: "fast" or "reference": which implementation of text_similarity's metrics.
        metric_options: wire metric name -> options beyond the wire, such as {"rouge_l": {"stemmer": True}}.
        values: "json" or "python": how values that are not strings are rendered in templates.
        judge_steps: Whether judges are asked for reasoning steps before the result, as the service does.
        harden: Whether judges get the row's texts between tags that no text can forge, with chat markup broken up.
    """

    metrics: str = "fast"
    metric_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: str = "json"
    judge_steps: bool = True
    harden: bool = False
