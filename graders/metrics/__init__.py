"""The metrics of text_similarity: one file a family, one line a metric.

Each equals its reference library bit for bit: the plain definition, which is the library's own call, can be selected
(`implementation="reference"`), and tests hold the fast version to it. docs/metrics.md defines each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from graders.errors import GradeError
from graders.suggest import did_you_mean

#: wire name -> what makes it: make(name, options, implementation) -> Metric
METRICS: dict[str, str] = {
    "fuzzy_match": "graders.metrics.fuzzy:make",
    "bleu": "graders.metrics.bleu:make",
    "gleu": "graders.metrics.gleu:make",
    "meteor": "graders.metrics.meteor:make",
    "rouge_1": "graders.metrics.rouge:make",
    "rouge_2": "graders.metrics.rouge:make",
    "rouge_3": "graders.metrics.rouge:make",
    "rouge_4": "graders.metrics.rouge:make",
    "rouge_5": "graders.metrics.rouge:make",
    "rouge_l": "graders.metrics.rouge:make",
}

IMPLEMENTATIONS = ("fast", "reference")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its options bound.

    Attributes:
        score: (hypothesis, reference) -> a fraction in [0, 1]. Raises TextTooLong for a pair whose comparison could
            not be interrupted in time.
        provenance: What makes the number: metric, implementation and its version, the reference it equals, options.
        many: The batch form where one is faster: (hypotheses, references) -> one value a pair, or None.
    """

    score: Callable[[str, str], float]
    provenance: Mapping[str, Any]
    many: Callable[[Sequence[str], Sequence[str]], Sequence[float]] | None = None

    def scores(self, hypotheses: Sequence[str], references: Sequence[str]) -> Sequence[float | GradeError]:
        """One value a pair, equal to `score`; a pair that fails has its error as its value."""
        if self.many is not None:
            try:
                return self.many(hypotheses, references)
            except GradeError:
                pass  # one of them is too long: find out which
        return [
            self._one(hypothesis, reference)
            for hypothesis, reference in zip(hypotheses, references, strict=True)
        ]

    def _one(self, hypothesis: str, reference: str) -> float | GradeError:
        try:
            return self.score(hypothesis, reference)
        except GradeError as error:
            return error


def bind(name: str, options: Mapping[str, Any] | None = None, implementation: str = "fast") -> Metric:
    """The metric, ready to score; its library is imported now.

    Args:
        name: A key of METRICS.
        options: Beyond the wire format, from the configuration only; docs/metrics.md lists each metric's.
        implementation: "fast", or "reference" for the library's own call.

    Raises:
        ValueError: the implementation, an option or its value is unknown.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"metrics.implementation is {implementation!r}; expected one of {', '.join(IMPLEMENTATIONS)}"
        )
    module, _, function = METRICS[name].partition(":")
    make: Callable[[str, Mapping[str, Any], str], Metric] = getattr(import_module(module), function)
    return make(name, options or {}, implementation)


def chosen(name: str, options: Mapping[str, Any], allowed: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The options with defaults filled in: each is the first of its allowed values.

    Raises:
        ValueError: an option or its value is unknown; the message names what is allowed.
    """
    for option, value in options.items():
        if option not in allowed:
            known = ", ".join(allowed) or "none"
            raise ValueError(
                f"metrics.{name}.{option} is unknown; the options are {known}. {did_you_mean(option, allowed)}"
            )
        if value not in allowed[option]:
            raise ValueError(
                f"metrics.{name}.{option} is {value!r}; expected one of {', '.join(map(repr, allowed[option]))}"
            )
    return {option: options.get(option, values[0]) for option, values in allowed.items()}
