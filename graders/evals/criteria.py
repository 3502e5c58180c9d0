"""The testing criteria of an eval: graders with a pass threshold, and their results."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import graders
from graders.ask import ModelAsk
from graders.engine.backends import Backends
from graders.engine.grader import Grader
from graders.errors import GradeError, SpecError
from graders.evals.prompts import ROLES, as_part, shown
from graders.evals.requests import InvalidRequest
from graders.evals.samples import usage_object
from graders.jsontext import dumps
from graders.messages import Message
from graders.result import RunResult
from graders.row import Row
from graders.samples import Sample
from graders.spec.model import SpecModel
from graders.stats.facts import model_of
from graders.store import ItemScore, ModelUsage
from graders.template import Template
from graders.usage import Usage

#: The largest number of criteria of one eval.
MOST = 100
#: The image tag that the service fills in for a python grader.
IMAGE_TAG = "2025-05-08"


def read_criteria(raw: Any, backends: Backends, *, strict: bool = False) -> list[dict[str, Any]]:
    """Testing criteria in the form of the service's response: in canonical words, with an id each.

    Raises:
        InvalidRequest: one is not a grader, or lacks a field that an eval requires.
    """
    if not isinstance(raw, list):
        raise InvalidRequest(
            "Invalid type for 'testing_criteria': expected an array.", "testing_criteria", "invalid_type"
        )
    if len(raw) > MOST:
        raise InvalidRequest(f"Invalid 'testing_criteria': expected at most {MOST}.", "testing_criteria")
    return [_read(one, f"testing_criteria[{n}]", backends, strict) for n, one in enumerate(raw)]


def _read(raw: Any, path: str, backends: Backends, strict: bool) -> dict[str, Any]:
    if isinstance(raw, dict) and str(raw.get("type", "")).startswith("azure_ai"):
        text = f"Invalid value: {raw['type']!r}. Types that begin with 'azure_ai' run in Azure only."
        raise InvalidRequest(text, f"{path}.type")
    try:
        grader = graders.compile(_with_known_roles(raw), backends=backends, strict=strict)
    except SpecError as error:
        first = error.problems[0]
        lines = "\n".join(map(str, error.problems))
        raise InvalidRequest(lines, f"{path}.{first.path}" if first.path else path, first.code) from None
    spec = grader.spec
    if pass_threshold(spec) is None:
        text = f"Missing required parameter: '{path}.pass_threshold'. It says which scores pass."
        raise InvalidRequest(text, f"{path}.pass_threshold", "missing_required_parameter")
    wire = {**spec.to_json(), "name": grader.name, "id": f"{grader.name}-{uuid.uuid4()}"}
    if spec.judge() is not None:
        wire = {"sampling_params": None, **wire, "input": [_message(one) for one in wire["input"]]}
    if spec.program() is not None:
        wire.setdefault("image_tag", IMAGE_TAG)
    return wire


def _with_known_roles(raw: Any) -> Any:
    """Replace unknown roles of simple messages: the service's schema allows any, its response only four."""
    messages = raw.get("input") if isinstance(raw, dict) else None
    if not isinstance(messages, list):
        return raw
    return {**raw, "input": [_known_role(one) for one in messages]}


def _known_role(message: Any) -> Any:
    if isinstance(message, dict) and isinstance(message.get("role"), str) and message["role"] not in ROLES:
        return {**message, "role": "user"}
    return message


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": message["role"], "content": as_part(message["content"])}


def pass_threshold(spec: SpecModel) -> float | None:
    """The least score of a passing row; None where the criterion has to set one.

    By default a two-valued grader passes with its higher value, a judge with the middle of its range (as Azure's own
    evaluators do), and a program with 1.
    """
    if spec.pass_threshold is not None:
        return spec.pass_threshold
    bounds = spec.reward_range()
    if spec.two_valued:
        return bounds[1] if bounds else 1.0
    if spec.judge() is not None and bounds:
        return (bounds[0] + bounds[1]) / 2
    return 1.0 if spec.program() is not None else None


def thresholds(text: str) -> list[float | None]:
    """The pass threshold of each criterion, from the store's JSON text; None where unknown.

    Criteria of an imported eval may be graders that are unknown here.
    """
    specs = [model_of(one) for one in json.loads(text)]
    return [None if spec is None else pass_threshold(spec) for spec in specs]


def _sample_reader(spec: SpecModel) -> Callable[[Sample], Any]:
    """A function that returns a sample's text if the criterion needs no more, which allows fast columnar grading."""
    if spec.program() is not None:
        return lambda sample: sample
    read = {
        path.steps
        for leaf in spec.leaves().values()
        for _, template in leaf.templates()
        for path in Template(template).paths
        if path.namespace == "sample"
    }
    if not read:
        return lambda sample: ""
    return _text_or_whole if read <= {("output_text",), ("output",)} else lambda sample: sample


def _text_or_whole(sample: Sample) -> Any:
    try:
        text = sample["output_text"]
    except (KeyError, GradeError):
        return sample
    return text if isinstance(text, str) else sample


@dataclass(frozen=True, slots=True)
class CriterionOutcome:
    """The result of one criterion for one row: in the wire's form, its score, and the judges' usage."""

    result: dict[str, Any]
    score: ItemScore
    usage: tuple[ModelUsage, ...] = ()


class Criterion:
    """One compiled testing criterion.

    Attributes:
        place: Its index in the eval.
        name: Its id, which is the name in results.
        grader: The grader.
        is_local: Whether it makes no asks, so that many rows are graded at a time.
    """

    def __init__(self, place: int, wire: Mapping[str, Any], backends: Backends) -> None:
        self.place = place
        self.name: str = wire["id"]
        self.grader: Grader = graders.compile(dict(wire), backends=backends)
        self.is_local = self.grader.kind.n_asks == 0
        spec = self.grader.spec
        self.threshold = pass_threshold(spec)
        self._sample_of = _sample_reader(spec)

    def batch_row(self, sample: Sample, item: Mapping[str, Any]) -> dict[str, Any]:
        """A row for `Grader.run_batch`, with only the sample's text if the criterion needs no more."""
        return {"sample": self._sample_of(sample), "item": item}

    def outcome(self, result: RunResult, row: Row | None = None) -> CriterionOutcome:
        """A row's result in the wire's form, with the judge's messages if the row is given."""
        used = [(one.sampled_model or one.model, one.usage) for one in result.judge_usage]
        usage = tuple(model_usage(model, "grader", tokens) for model, tokens in used)
        if not result.ok:
            error = result.failures[0]
            return self._failed(error, usage)
        passed = self.threshold is not None and result.reward >= self.threshold
        wire = {
            "name": self.name,
            "type": self.grader.type,
            "passed": passed,
            "score": result.reward,
            "sample": None if row is None else self._judged(result, row),
        }
        if result.sub_rewards:
            wire["sub_scores"] = result.sub_rewards
        if printed := result.score.provenance.get("printed"):
            wire["printed"] = printed
        return CriterionOutcome(wire, ItemScore(self.place, result.reward, passed), usage)

    def failed(self, error: GradeError) -> CriterionOutcome:
        """The result of a row that could not be graded by this criterion."""
        return self._failed(error, ())

    def _failed(self, error: GradeError, usage: tuple[ModelUsage, ...]) -> CriterionOutcome:
        wire = {
            "name": self.name,
            "type": self.grader.type,
            "passed": False,
            "score": 0.0,
            "sample": None,
            "error": {"code": error.flag, "message": error.details or str(error)},
        }
        if printed := error.provenance.get("printed"):
            wire["printed"] = printed
        return CriterionOutcome(wire, ItemScore(self.place, None, False, error.flag), usage)

    def _judged(self, result: RunResult, row: Row) -> dict[str, Any] | None:
        """Question and answer of the judge; None without a judge, or with several."""
        asks = [ask for ask in self.grader.kind.ask(row) if isinstance(ask, ModelAsk)]
        text = result.score.provenance.get("judge", {}).get("text")
        if len(asks) != 1 or text is None:
            return None
        ask = asks[0]
        return {
            "input": [
                {"role": one["role"], "content": one["content"]} for one in shown(map(_plain, ask.messages))
            ],
            "output": [{"role": "assistant", "content": text}],
            "finish_reason": "stop",
            "model": result.metadata.sampled_model_name,
            "usage": usage_object(result.metadata.token_usage or Usage()),
            "error": None,
            "seed": ask.sampling.seed,
            "temperature": ask.sampling.temperature,
            "top_p": ask.sampling.top_p,
            "reasoning_effort": ask.sampling.reasoning_effort,
            "max_completions_tokens": ask.sampling.max_completions_tokens,
        }


def _plain(message: Message) -> dict[str, Any]:
    parts = [
        {key: value for key in ("text", "image_url") if (value := getattr(part, key, None)) is not None}
        for part in message.parts
    ]
    return {"role": message.role, "content": parts}


def model_usage(model: str, role: str, usage: Usage | None) -> ModelUsage:
    """One call's tokens, for the run's counts."""
    tokens = usage or Usage()
    return ModelUsage(
        model,
        role,
        1,
        tokens.prompt_tokens or 0,
        tokens.completion_tokens or 0,
        tokens.total_tokens or 0,
        tokens.cached_tokens or 0,
    )


def status_of(scores: Iterable[ItemScore]) -> str:
    """An item's status: it fails when a criterion fails, else it is an error when one could not be graded."""
    found = list(scores)
    if any(not one.passed and one.error is None for one in found):
        return "fail"
    return "error" if any(one.error is not None for one in found) else "pass"


def results_text(outcomes: Sequence[CriterionOutcome]) -> str:
    """The wire's `results`, as JSON text."""
    return dumps([one.result for one in outcomes]).decode()


def compile_criteria(text: str, backends: Backends) -> tuple[Criterion, ...]:
    """The compiled criteria of an eval, from the store's JSON text."""
    return tuple(Criterion(place, wire, backends) for place, wire in enumerate(json.loads(text)))
