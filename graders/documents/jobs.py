"""Fine-tuning jobs: the grader of `method.reinforcement`, and the rules of its hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graders.documents.document import Document, Steps
from graders.errors import Problem
from graders.spec.wording import Json, bad_value, path_text, wrong_type
from graders.suggest import did_you_mean

#: Rows that a reinforcement job takes for training, by its guide.
TRAIN_ROWS = 50_000

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


def reinforcement_of(document: Mapping[str, Json]) -> tuple[Mapping[str, Json], Steps] | None:
    """The reinforcement method of a job's body, or of the method alone, and where it stands."""
    places: tuple[tuple[str, ...], ...] = (("method", "reinforcement"), ("reinforcement",))
    for at in places:
        found: Json = document
        for step in at:
            found = found.get(step) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping) and "grader" in found:
            return found, at
    return None


def read_job(document: Mapping[str, Json]) -> Document:
    found = reinforcement_of(document)
    assert found is not None
    method, at = found
    job = Document("a fine-tuning job", for_training=True)
    job.add(method["grader"], (*at, "grader"), "grader")
    job.lost = [f"reinforcement.{key} is not part of a grader" for key in method if key != "grader"]
    given = method.get("hyperparameters")
    if given is not None:
        job.problems = list(_hyperparameter_problems(given, path_text((*at, "hyperparameters"))))
    return job


def _hyperparameter_problems(given: Json, place: str) -> Iterator[Problem]:
    if not isinstance(given, Mapping):
        yield Problem(place, wrong_type(place, "an object", given), "invalid_type")
        return
    for name, value in given.items():
        path = f"{place}.{name}"
        if name == "reasoning_effort":
            if value not in REASONING_EFFORT:
                yield Problem(path, bad_value(value, REASONING_EFFORT), "invalid_value")
        elif name not in HYPERPARAMETERS:
            hint = did_you_mean(name, (*HYPERPARAMETERS, "reasoning_effort"))
            yield Problem(path, f"Unknown parameter: '{path}'.", "unknown_parameter", suggestion=hint)
        elif value != "auto" and (expected := _unmet(name, value)):
            message = f"Invalid value: {value!r}. Expected 'auto' or {expected}."
            yield Problem(path, message, "invalid_value")


def _unmet(name: str, value: Json) -> str:
    """What a hyperparameter has to be, when the value is something else; else ""."""
    low, closed, high, whole = HYPERPARAMETERS[name]
    kinds = (int,) if whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if fits and (low <= value <= high if closed else low < value <= high):
        return ""
    wanted = f"{'a whole number' if whole else 'a number'} {'from' if closed else 'above'} {low:g}"
    if high < float("inf"):
        wanted += f" to {high:g}" if closed else f", at most {high:g}"
    return wanted
