"""Request bodies that hold graders: a fine-tuning job's and an eval's, with what their own rules say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graders.documents.convert import graders_in
from graders.errors import Problem
from graders.spec.wording import bad_value, wrong_type
from graders.suggest import did_you_mean

Json: TypeAlias = Any

TRAIN_ROWS = 50_000  # rows that a reinforcement job takes for training, by its guide

#: Hyperparameter -> (lowest, whether it may be the lowest, highest, only whole numbers), by the API's reference.
HYPERPARAMETERS: dict[str, tuple[float, bool, float, bool]] = {
    "batch_size": (1, True, 256, True),
    "learning_rate_multiplier": (0, False, float("inf"), False),
    "n_epochs": (1, True, 50, True),
    "compute_multiplier": (0.00001, False, 10, False),
    "eval_interval": (1, True, float("inf"), True),
    "eval_samples": (1, True, float("inf"), True),
}
REASONING_EFFORT = ("default", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Body:
    """What a document holds.

    Attributes:
        graders: name -> the grader's JSON, not yet checked; never empty.
        problems: What the document's own rules say against it, paths in its own words.
        job: Whether it is a fine-tuning job.
    """

    graders: dict[str, Json]
    problems: tuple[Problem, ...] = ()
    job: bool = False


def read_body(document: Json) -> Body:
    """The graders of a spec, a job's or an eval's body.

    Raises:
        SpecError: it holds none.
    """
    if isinstance(document, Mapping):
        method = document.get("method", document)
        job = method.get("reinforcement") if isinstance(method, Mapping) else None
        if isinstance(job, Mapping) and "grader" in job:
            place = "method.reinforcement" if "method" in document else "reinforcement"
            return Body(graders_in(document)[0], tuple(_job(job, f"{place}.hyperparameters")), True)
        if isinstance(document.get("testing_criteria"), list) and document["testing_criteria"]:
            return Body(graders_in(document)[0], tuple(_eval(document["testing_criteria"])))
        if "type" in document and not isinstance(job, Mapping):
            return Body({str(document.get("name") or document["type"]): document})
    return Body(graders_in(document)[0])


def _job(job: Mapping[str, Json], place: str) -> list[Problem]:
    given = job.get("hyperparameters")
    if given is None:
        return []
    if not isinstance(given, Mapping):
        return [Problem(place, wrong_type(place, "an object", given), "invalid_type")]
    problems = []
    for name, value in given.items():
        path = f"{place}.{name}"
        if name == "reasoning_effort":
            if value not in REASONING_EFFORT:
                problems.append(Problem(path, bad_value(value, REASONING_EFFORT), "invalid_value"))
            continue
        if name not in HYPERPARAMETERS:
            hint = did_you_mean(name, (*HYPERPARAMETERS, "reasoning_effort"))
            problems.append(
                Problem(path, f"Unknown parameter: '{path}'.", "unknown_parameter", suggestion=hint)
            )
            continue
        low, closed, high, whole = HYPERPARAMETERS[name]
        if value == "auto":
            continue
        kinds = (int,) if whole else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        if not fits or not (low <= value <= high if closed else low < value <= high):
            wanted = f"{'a whole number' if whole else 'a number'} {'from' if closed else 'above'} {low:g}"
            if high < float("inf"):
                wanted += f" to {high:g}" if closed else f", at most {high:g}"
            message = f"Invalid value: {value!r}. Expected 'auto' or {wanted}."
            problems.append(Problem(path, message, "invalid_value"))
    return problems


def _eval(criteria: list[Json]) -> list[Problem]:
    problems = []
    for index, criterion in enumerate(criteria):
        kind = criterion.get("type") if isinstance(criterion, Mapping) else None
        path = f"testing_criteria[{index}]"
        if kind == "multi":
            message = "An eval has no multi: write its graders as criteria of their own."
            problems.append(Problem(path, message, "multi_in_eval"))
        elif kind == "text_similarity" and "pass_threshold" not in criterion:
            message = f"Missing required parameter: '{path}.pass_threshold'."
            problems.append(Problem(f"{path}.pass_threshold", message, "missing_required_parameter"))
    return problems
