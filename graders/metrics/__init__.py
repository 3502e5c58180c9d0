"""Text similarity metrics of the wire, each equal to its reference library to the last bit.

    metric = bind("rouge_l")
    metric.score("the cat sat", "a cat sat")            # hypothesis first, reference second
    metric.scores(hypotheses, references)               # many pairs
    metric.provenance                                   # which metric, implementation, version and options

The definitions are in docs/metrics.md. `cosine` is not here: it needs vectors, see graders.metrics.cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import starmap
from typing import Any, TypeAlias

from graders.plugins import installed
from graders.suggest import did_you_mean

#: Metric's name on the wire -> the module with its `make(name, options, implementation)`.
METRICS: dict[str, str] = {
    "fuzzy_match": "graders.metrics.fuzzy",
    "bleu": "graders.metrics.bleu",
    "gleu": "graders.metrics.gleu",
    "meteor": "graders.metrics.meteor",
    "rouge_1": "graders.metrics.rouge",
    "rouge_2": "graders.metrics.rouge",
    "rouge_3": "graders.metrics.rouge",
    "rouge_4": "graders.metrics.rouge",
    "rouge_5": "graders.metrics.rouge",
    "rouge_l": "graders.metrics.rouge",
}

#: The entry-point group in which other distributions offer metrics: name -> module.
GROUP = "graders.metrics"
IMPLEMENTATIONS = ("fast", "reference")

#: (hypothesis, reference) -> a fraction from 0 to 1. Raises TextTooLong.
Score: TypeAlias = Callable[[str, str], float]
#: The same for many pairs.
Scores: TypeAlias = Callable[[Sequence[str], Sequence[str]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its options. Thread-safe.

    Attributes:
        score: (hypothesis, reference) -> 0..1. A repeated reference is prepared once (see limits.py). Raises
            TextTooLong for texts whose computation would take too long and cannot be interrupted.
        scores: (hypotheses, references) -> the `score` of each pair, bit for bit, with the same exceptions.
        provenance: `metric`, `implementation` (a library, or "graders" for our own), its `version`, the `reference`
            it equals, and the `options`, defaults included.
    """

    score: Score
    scores: Scores
    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReferenceMistake:
    """Why a metric gives every text 0 against some reference: a code for programs, and a clause for people."""

    code: str
    message: str


def _no_mistake(name: str, reference: str) -> ReferenceMistake | None:
    return None


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """Facts of a metric, taken from its module's HOSTED, EQUAL_TEXTS and reference_mistake.

    Attributes:
        hosted: Whether the hosted service has it; `strict` refuses the others.
        equal_texts: Why equal texts score below 1, a clause; "" where they score 1.
        reference_mistake: (name, reference) -> why every score against it is 0; None where it is not.
    """

    hosted: bool
    equal_texts: str
    reference_mistake: Callable[[str, str], ReferenceMistake | None]


def known_metrics() -> tuple[str, ...]:
    """Every metric that `bind` takes; metrics of other distributions come last."""
    return (*METRICS, *(name for name in installed(GROUP) if name not in METRICS))


def is_known(name: str) -> bool:
    return name in METRICS or name in installed(GROUP)


def _family(name: str) -> Any:
    """The module that makes a metric.

    Raises:
        KeyError: there is no such metric, here or in another distribution.
    """
    return import_module(METRICS.get(name) or installed(GROUP)[name].home)


def facts_of(name: str) -> MetricFacts:
    """The facts of a metric that `is_known`."""
    family = _family(name)
    return MetricFacts(
        getattr(family, "HOSTED", False),
        getattr(family, "EQUAL_TEXTS", ""),
        getattr(family, "reference_mistake", _no_mistake),
    )


def bind(name: str, options: Mapping[str, Any] | None = None, implementation: str = "fast") -> Metric:
    """The metric, with its library imported.

    Args:
        name: As on the wire.
        options: Beyond the wire, from the configuration: docs/metrics.md lists each metric's.
        implementation: "fast", or "reference": the reference library's own call, many times slower.

    Raises:
        ValueError: the name, an option, its value or the implementation is unknown; the message lists the known ones.
        ImportError: `implementation` needs a library or data that is not installed; the message says how to install it.
    """
    if not is_known(name):
        names = known_metrics()
        raise ValueError(
            f"unknown metric {name!r}; there are {', '.join(names)}. {did_you_mean(name, names)}"
        )
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"metrics.implementation: expected one of {', '.join(IMPLEMENTATIONS)}, found {implementation!r}"
        )
    family = _family(name)
    made: Metric = family.make(name, _checked(name, options or {}, family.OPTIONS), implementation)
    if name in METRICS:
        return made
    return replace(made, provenance={**made.provenance, "distribution": installed(GROUP)[name].distribution})


def options_in(table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Metric -> its options, from the configuration's table [metrics]; `bind` checks the options themselves.

    Raises:
        ValueError: a key is neither `implementation` nor a metric, or a metric's is not a table.
    """
    keys = ("implementation", *known_metrics())
    for key, value in table.items():
        if key not in keys:
            raise ValueError(
                f"metrics.{key}: unknown key; the keys are {', '.join(keys)}. {did_you_mean(key, keys)}"
            )
        if key != "implementation" and not isinstance(value, Mapping):
            raise ValueError(f"metrics.{key}: expected a table of options, found {value!r}")
    return {key: value for key, value in table.items() if key != "implementation"}


def _checked(name: str, options: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """All options; one that is not given has its default, the first of the allowed values."""
    for key, value in options.items():
        if key not in allowed:
            raise ValueError(
                f"metrics.{name}.{key}: unknown option; the options are {', '.join(allowed)}. {did_you_mean(key, allowed)}"
            )
        if not any(
            value is choice or (value == choice and type(value) is type(choice)) for choice in allowed[key]
        ):
            raise ValueError(
                f"metrics.{name}.{key}: expected one of {', '.join(map(_word, allowed[key]))}, found {_word(value)}"
            )
    return {key: options.get(key, choices[0]) for key, choices in allowed.items()}


def provenance(
    name: str, options: Mapping[str, Any], *, implementation: str, version: str, reference: str
) -> dict[str, str]:
    """Metric.provenance."""
    words = " ".join(f"{key}={_word(value)}" for key, value in options.items())
    return {
        "metric": name,
        "implementation": implementation,
        "version": version,
        "reference": reference,
        "options": words,
    }


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def each(score: Score) -> Scores:
    """The batch form of a metric that has no faster one."""
    return lambda hypotheses, references: list(starmap(score, zip(hypotheses, references, strict=True)))
