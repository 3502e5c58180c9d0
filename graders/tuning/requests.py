"""Reads the body of a request that creates a job; reports all problems with paths, in the service's words."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graders.documents.jobs import METHODS, job_method, method_problems
from graders.errors import Problem, SpecError
from graders.evals.requests import Fields, InvalidRequest
from graders.kinds.reading import read
from graders.spec.reading import Source
from graders.spec.wording import Json, missing, wrong_type
from graders.suggest import did_you_mean

KEYS = (
    "model",
    "training_file",
    "validation_file",
    "method",
    "hyperparameters",
    "suffix",
    "seed",
    "integrations",
    "metadata",
)
SUFFIX_CHARS = 64
SEED_MOST = 2**31 - 1


class InvalidJob(ValueError):
    """Raised for an invalid body.

    Attributes:
        problems: All problems.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(f"{one.message} {one.suggestion}".rstrip() for one in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A checked request for a job.

    Attributes:
        method: The wire's object, `type` and the method's own fields, hyperparameters included.
        metadata: JSON text, or None without metadata.
    """

    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    method: Mapping[str, Json]
    integrations: list[Json] | None
    metadata: str | None

    @property
    def type(self) -> str:
        """The method's name."""
        return str(self.method["type"])

    @property
    def hyperparameters(self) -> Mapping[str, Json]:
        """The hyperparameters of the request."""
        inner = self.method.get(self.type) or {}
        given: Mapping[str, Json] = inner.get("hyperparameters") or {}
        return given


def read_request(body: Json, *, strict: bool = False) -> JobRequest:
    """
    Args:
        strict: Whether to refuse graders that the hosted service would refuse.

    Raises:
        InvalidJob: with every problem.
    """
    if not isinstance(body, Mapping):
        raise InvalidJob([Problem("", wrong_type("body", "an object", body), "invalid_type")])
    problems = [*_problems(body), *method_problems(body), *_grader_problems(body, strict)]
    metadata = None
    if body.get("metadata") is not None:
        try:
            metadata = Fields(dict(body), "").metadata()
        except InvalidRequest as error:
            problems.append(Problem(error.param, str(error), error.code))
    if problems:
        raise InvalidJob(problems)
    seed = body.get("seed")
    return JobRequest(
        model=body["model"],
        training_file=body["training_file"],
        validation_file=body.get("validation_file"),
        suffix=body.get("suffix"),
        seed=secrets.randbelow(SEED_MOST + 1) if seed is None else seed,
        method=_method(body),
        integrations=body.get("integrations"),
        metadata=metadata,
    )


def _method(body: Mapping[str, Json]) -> dict[str, Json]:
    """The method, with the deprecated top-level hyperparameters moved into it."""
    name = job_method(body) or "supervised"
    inner = dict((body.get("method") or {}).get(name) or {})
    inner["hyperparameters"] = {**(body.get("hyperparameters") or {}), **(inner.get("hyperparameters") or {})}
    return {"type": name, name: inner}


def _problems(body: Mapping[str, Json]) -> Iterator[Problem]:
    for key in body:
        if key not in KEYS:
            hint = did_you_mean(key, KEYS)
            yield Problem(key, f"Unknown parameter: '{key}'.", "unknown_parameter", suggestion=hint)
    for key in ("model", "training_file"):
        if body.get(key) is None:
            yield Problem(key, missing(key), "missing_required_parameter")
    for key in ("model", "training_file", "validation_file", "suffix"):
        if body.get(key) is not None and not isinstance(body[key], str):
            yield Problem(key, wrong_type(key, "a string", body[key]), "invalid_type")
    suffix = body.get("suffix")
    if isinstance(suffix, str) and not 1 <= len(suffix) <= SUFFIX_CHARS:
        text = (
            f"Invalid 'suffix': expected a string with 1 to {SUFFIX_CHARS} characters, but got {len(suffix)}."
        )
        yield Problem("suffix", text, "invalid_value")
    seed = body.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        yield Problem("seed", wrong_type("seed", "an integer", seed), "invalid_type")
    elif seed is not None and not 0 <= seed <= SEED_MOST:
        yield Problem("seed", f"Invalid 'seed': expected 0 to {SEED_MOST}, but got {seed}.", "invalid_value")
    yield from _integration_problems(body.get("integrations"))


def _integration_problems(integrations: Json) -> Iterator[Problem]:
    if integrations is None:
        return
    if not isinstance(integrations, list):
        yield Problem("integrations", wrong_type("integrations", "an array", integrations), "invalid_type")
        return
    for index, one in enumerate(integrations):
        place = f"integrations[{index}]"
        inner = one.get("wandb") if isinstance(one, Mapping) and one.get("type") == "wandb" else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("project"), str):
            text = f"Invalid '{place}': expected type 'wandb' and 'wandb.project'."
            yield Problem(place, text, "invalid_value")


def _grader_problems(body: Mapping[str, Json], strict: bool) -> Iterator[Problem]:
    """Report problems of a reinforcement job's grader before training."""
    method = body.get("method")
    inner = method.get("reinforcement") if isinstance(method, Mapping) else None
    if not isinstance(inner, Mapping) or "grader" not in inner:
        return
    at = "method.reinforcement.grader"
    if not isinstance(inner["grader"], Mapping):
        yield Problem(at, wrong_type(at, "an object", inner["grader"]), "invalid_type")
        return
    try:
        read(Source(inner["grader"]), strict=strict)
    except SpecError as error:
        for problem in error.problems:
            if problem.severity == "error":
                place = f"{at}.{problem.path}" if problem.path else at
                yield Problem(place, problem.message, problem.code, suggestion=problem.suggestion)


def resolved(method: str, given: Mapping[str, Json], rows: int) -> dict[str, Any]:
    """Hyperparameters as numbers: the given ones, and for "auto" by the service's rules where known.

    Args:
        rows: Number of rows of the training file.
    """
    automatic = {**_AUTO, "n_epochs": _auto_epochs(rows), "batch_size": max(1, min(256, round(0.002 * rows)))}
    chosen = {name: automatic[name] for name in METHODS[method]}
    return {**chosen, **{name: value for name, value in given.items() if value != "auto"}}


#: For "auto": the reference's defaults where it has them, TRL's for beta.
_AUTO: Mapping[str, Any] = {
    "learning_rate_multiplier": 1.0,
    "beta": 0.1,
    "compute_multiplier": 1.0,
    "eval_interval": 10,
    "eval_samples": 1,
    "reasoning_effort": "default",
}


def _auto_epochs(rows: int) -> int:
    """By the service's notebook on preparing data: 3, but no fewer than 100 examples in all and no more than 25,000."""
    rows = max(1, rows)
    if rows * 3 < 100:
        return min(25, max(1, 100 // rows))
    return max(1, 25_000 // rows) if rows * 3 > 25_000 else 3
