"""Reads fine-tuning jobs: the grader of `method.reinforcement`, and the rules of the hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from graders.documents.document import Document, Steps
from graders.errors import Problem
from graders.spec.wording import Json, bad_value, missing, path_text, wrong_type
from graders.suggest import did_you_mean

#: Rows of training data that a reinforcement job accepts, by its guide.
TRAIN_ROWS = 50_000

#: Hyperparameter -> (lower bound, whether it is inclusive, upper bound, integers only), by the API's reference.
HYPERPARAMETERS: dict[str, tuple[float, bool, float, bool]] = {
    "batch_size": (1, True, 256, True),
    "learning_rate_multiplier": (0, False, float("inf"), False),
    "n_epochs": (1, True, 50, True),
    "compute_multiplier": (0.00001, False, 10, False),
    "eval_interval": (1, True, float("inf"), True),
    "eval_samples": (1, True, float("inf"), True),
    "beta": (0, False, 2, False),
}
#: Method -> its hyperparameters.
METHODS: dict[str, tuple[str, ...]] = {
    "supervised": ("batch_size", "learning_rate_multiplier", "n_epochs"),
    "dpo": ("batch_size", "beta", "learning_rate_multiplier", "n_epochs"),
    "reinforcement": (
        "batch_size", "compute_multiplier", "eval_interval", "eval_samples", "learning_rate_multiplier", "n_epochs",
        "reasoning_effort",
    ),
}  # fmt: skip
REASONING_EFFORT = ("default", "low", "medium", "high")


def reinforcement_of(document: Mapping[str, Json]) -> tuple[Mapping[str, Json], Steps] | None:
    """The reinforcement method of a job's body, or of a bare method, and its path."""
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
        place = path_text((*at, "hyperparameters"))
        job.problems = list(_hyperparameter_problems(given, place, METHODS["reinforcement"]))
    return job


def job_method(document: Json) -> str | None:
    """The name of the method of a job's body, or of a bare method; None when the document is not a job.

    A body without a method has the service's default, supervised.
    """
    if not isinstance(document, Mapping):
        return None
    method = document.get("method")
    if isinstance(method, Mapping):
        return str(method.get("type") or next((name for name in METHODS if name in method), "supervised"))
    if document.get("type") in METHODS and "grader" not in document:
        return str(document["type"])
    return "supervised" if "training_file" in document else None


def method_problems(document: Mapping[str, Json]) -> Iterator[Problem]:
    """The problems of `method` and `hyperparameters` of a job's body, without those of its grader."""
    method = document.get("method")
    top = document.get("hyperparameters")
    if top is not None:
        yield from _hyperparameter_problems(top, "hyperparameters", METHODS["supervised"])
    if method is None:
        return
    if not isinstance(method, Mapping):
        yield Problem("method", wrong_type("method", "an object", method), "invalid_type")
        return
    name = method.get("type")
    if name is None:
        yield Problem("method.type", missing("method.type"), "missing_required_parameter")
        return
    if name not in METHODS:
        hint = did_you_mean(str(name), METHODS)
        yield Problem("method.type", bad_value(name, tuple(METHODS)), "invalid_value", suggestion=hint)
        return
    inner = method.get(name)
    for key in method:
        place = f"method.{key}"
        if key not in ("type", *METHODS):
            hint = did_you_mean(key, METHODS)
            yield Problem(place, f"Unknown parameter: '{place}'.", "unknown_parameter", suggestion=hint)
        # the wire allows other methods' blocks beside the chosen one's; without that one, `type` is wrong
        elif key not in ("type", name) and method[key] is not None and inner is None:
            text = f"'{place}' has no meaning for a method of type {name!r}."
            yield Problem(place, text, "unknown_parameter")
    if inner is not None and not isinstance(inner, Mapping):
        yield Problem(f"method.{name}", wrong_type(f"method.{name}", "an object", inner), "invalid_type")
        return
    if name == "reinforcement" and "grader" not in (inner or {}):
        place = "method.reinforcement.grader"
        yield Problem(place, missing(place), "missing_required_parameter")
    given = (inner or {}).get("hyperparameters")
    if given is not None:
        yield from _hyperparameter_problems(given, f"method.{name}.hyperparameters", METHODS[name])


def _hyperparameter_problems(given: Json, place: str, known: Sequence[str]) -> Iterator[Problem]:
    if not isinstance(given, Mapping):
        yield Problem(place, wrong_type(place, "an object", given), "invalid_type")
        return
    for name, value in given.items():
        path = f"{place}.{name}"
        if name not in known:
            hint = did_you_mean(name, known)
            yield Problem(path, f"Unknown parameter: '{path}'.", "unknown_parameter", suggestion=hint)
        elif name == "reasoning_effort":
            if value not in REASONING_EFFORT:
                yield Problem(path, bad_value(value, REASONING_EFFORT), "invalid_value")
        elif value != "auto" and (expected := _unmet(name, value)):
            message = f"Invalid value: {value!r}. Expected 'auto' or {expected}."
            yield Problem(path, message, "invalid_value")


def _unmet(name: str, value: Json) -> str:
    """The requirement that a hyperparameter's value does not meet; "" when it is valid."""
    low, closed, high, whole = HYPERPARAMETERS[name]
    kinds = (int,) if whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if fits and (low <= value <= high if closed else low < value <= high):
        return ""
    wanted = f"{'a whole number' if whole else 'a number'} {'from' if closed else 'above'} {low:g}"
    if high < float("inf"):
        wanted += f" to {high:g}" if closed else f", at most {high:g}"
    return wanted
