"""Results: Score (of a kind), RunResult (for callers), and the service's JSON (`to_wire`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from graders.errors import GradeError
from graders.usage import Usage

#: The wire's `metadata.errors`, in its order: every flag and details field, with its value when nothing failed.
NO_ERRORS: MappingProxyType[str, bool | str | None] = MappingProxyType(
    {
        "formula_parse_error": False,
        "sample_parse_error": False,
        "sample_parse_error_details": None,
        "truncated_observation_error": False,
        "unresponsive_reward_error": False,
        "invalid_variable_error": False,
        "invalid_variable_error_details": None,
        "other_error": False,
        "python_grader_server_error": False,
        "python_grader_server_error_type": None,
        "python_grader_runtime_error": False,
        "python_grader_runtime_error_details": None,
        "model_grader_server_error": False,
        "model_grader_refusal_error": False,
        "model_grader_refusal_error_details": None,
        "model_grader_parse_error": False,
        "model_grader_parse_error_details": None,
        "model_grader_exceeded_max_tokens_error": False,
        "model_grader_server_error_details": None,
        "endpoint_grader_internal_error": False,
        "endpoint_grader_internal_error_details": None,
        "endpoint_grader_server_error": False,
        "endpoint_grader_server_error_details": None,
        "endpoint_grader_safety_check_error": False,
    }
)
#: The true-or-false fields of NO_ERRORS.
FLAGS = tuple(name for name, value in NO_ERRORS.items() if value is False)

# a plain dict, so that results can be pickled
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class JudgeUsage:
    """Tokens of one judge call: the model that was asked for, the one that answered, and its usage."""

    model: str
    sampled_model: str
    usage: Usage


class Score(NamedTuple):
    """The score that a kind gives one row. A tuple, the cheapest value, since there is one for every row.

    Attributes:
        value: The reward, finite, never clamped here.
        sub_rewards: multi only: key -> the value that the formula used for that grader, 0.0 where it failed.
        failures: multi only: the errors of its graders.
        judge_usage: One entry a judge call.
        provenance: What made the number, as far as the spec alone does not say it (sandbox tier, judge, mode ...).
        failed_members: multi only: key -> why that grader has no reward.
    """

    value: float
    sub_rewards: Mapping[str, float] = _NOTHING
    failures: tuple[GradeError, ...] = ()
    judge_usage: tuple[JudgeUsage, ...] = ()
    provenance: Mapping[str, Any] = _NOTHING
    failed_members: Mapping[str, GradeError] = _NOTHING


@dataclass(frozen=True, slots=True)
class Metadata:
    """The wire's `metadata`, as the run endpoint documents it.

    Attributes:
        errors: Every flag and details field of the wire (see NO_ERRORS).
        execution_time: Seconds. In a batch of local graders: the window's time over its rows; of judges and programs:
            from sending a row's questions off to its last answer.
        token_usage: Over all judge calls; None when no judge was asked.
        sampled_model_name: The judge that answered last; None when none did.
    """

    name: str
    type: str
    errors: Mapping[str, bool | str | None]
    execution_time: float
    scores: Mapping[str, float]
    token_usage: Usage | None
    sampled_model_name: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """The fields that all results of one compiled grader share."""

    name: str
    type: str
    provenance: Mapping[str, Any]


E_co = TypeVar("E_co", covariant=True)


class Explainer(Protocol[E_co]):
    """A grader that explains results, such as a `Grader`."""

    def explain(
        self, sample: object, item: Mapping[str, Any] | None = None, *, result: RunResult | None = None
    ) -> E_co: ...


class RunResult(NamedTuple):
    """One graded row. A tuple, the cheapest value, since a batch makes one for each row.

    Attributes:
        reward: A finite float. 0.0 when the row failed - so look at `ok` before you learn from it.
        failures: The errors of this row; empty when there are none.
        execution_time: Seconds; see Metadata.
        id: The row's id, "" when it has none.
        identity: The fields that it shares with every result of its grader.
        score: Sub rewards, judge calls and provenance as the kind found them. The number itself is `reward`.
        waited: Seconds of execution_time in which the row waited: in a queue behind other rows, or between attempts.
            The rest is the time of the slowest of its judges and programs.
    """

    reward: float
    failures: tuple[GradeError, ...]
    execution_time: float
    id: str
    identity: Identity
    score: Score
    waited: float = 0.0

    def __repr__(self) -> str:
        flags = f", flags={list(self.flags)}" if self.failures else ""
        subs = f", sub_rewards={dict(self.sub_rewards)}" if self.sub_rewards else ""
        return f"RunResult(reward={self.reward!r}{subs}{flags})"

    @property
    def ok(self) -> bool:
        """False when any flag is set: then `reward` says nothing about the sample."""
        return not self.failures

    @property
    def flags(self) -> tuple[str, ...]:
        """The wire flags that are set, in the wire's order."""
        raised = {flag for failure in self.failures for flag in failure.flags}
        return tuple(flag for flag in FLAGS if flag in raised)

    @property
    def sub_rewards(self) -> dict[str, float]:
        """key -> reward, 0.0 where that grader failed (see failed_members); {} unless the grader is a multi."""
        return dict(self.score.sub_rewards)

    @property
    def failed_members(self) -> dict[str, str]:
        """key -> flag of each grader of a multi that failed; the 0.0 in `sub_rewards` for it is not a score."""
        return {key: failure.flag for key, failure in self.score.failed_members.items()}

    @property
    def errors(self) -> dict[str, bool | str | None]:
        """The wire's `metadata.errors`, every field present."""
        errors = NO_ERRORS.copy()
        for failure in self.failures:
            errors.update(dict.fromkeys(failure.flags, True))
            if failure.details_field and errors[failure.details_field] is None:
                errors[failure.details_field] = failure.details
        return errors

    @property
    def judge_usage(self) -> tuple[JudgeUsage, ...]:
        """Tokens of every judge call of this row, failed calls included."""
        return (
            self.score.judge_usage + tuple(failed_usage(self.failures))
            if self.failures
            else self.score.judge_usage
        )

    @property
    def provenance(self) -> dict[str, Any]:
        """The provenance of the number: engine and metric versions and options, sandbox tier, judge. Not on the wire."""
        return _joined(self.identity.provenance, self.score.provenance)

    @property
    def metadata(self) -> Metadata:
        judge_usage = self.judge_usage
        return Metadata(
            name=self.identity.name,
            type=self.identity.type,
            errors=self.errors,
            execution_time=self.execution_time,
            scores={},
            token_usage=_total(judge_usage),
            sampled_model_name=judge_usage[-1].sampled_model if judge_usage else None,
        )

    @property
    def model_grader_token_usage_per_model(self) -> dict[str, Usage]:
        """model -> its tokens in this row; {} when no judge was asked."""
        totals: dict[str, Usage] = {}
        for one in self.judge_usage:
            totals[one.sampled_model] = totals.get(one.sampled_model, Usage()) + one.usage
        return totals

    def explain(self, grader: Explainer[E_co], sample: object, item: Mapping[str, Any] | None = None) -> E_co:
        """The steps to this reward, without grading again. A result holds no row and no grader, so both are given."""
        return grader.explain(sample, item, result=self)

    def to_dict(self) -> dict[str, Any]:
        """The row as one flat record for JSON and data frames; `reward` is None when the row failed."""
        return {
            "id": self.id,
            "reward": self.reward if self.ok else None,
            "ok": self.ok,
            "flags": list(self.flags),
            "errors": [str(failure) for failure in self.failures],
            "sub_rewards": {
                key: value for key, value in self.sub_rewards.items() if key not in self.score.failed_members
            },
        }

    def _repr_html_(self) -> str:
        from graders.notebook import table

        rows: list[tuple[object, ...]] = [("reward", self.reward if self.ok else "none: the row failed")]
        rows += [
            (key, self.failed_members.get(key, value), "of a member")
            for key, value in self.sub_rewards.items()
        ]
        rows += [(failure.flag, failure) for failure in self.failures]
        for model, usage in self.model_grader_token_usage_per_model.items():
            rows.append((model, f"{usage.total_tokens} tokens"))
        rows.append(("seconds", self.execution_time))
        return table(f"{self.identity.name} ({self.identity.type})", rows)

    def to_wire(self) -> dict[str, Any]:
        """The run endpoint's JSON, every field present."""
        judge_usage = self.judge_usage
        total = _total(judge_usage)
        return {
            "reward": self.reward,
            # the fields of Metadata, without making one
            "metadata": {
                "name": self.identity.name,
                "type": self.identity.type,
                "errors": self.errors,
                "execution_time": self.execution_time,
                "scores": {},
                "token_usage": total.to_wire() if total else None,
                "sampled_model_name": judge_usage[-1].sampled_model if judge_usage else None,
            },
            "sub_rewards": self.sub_rewards,
            "model_grader_token_usage_per_model": {
                model: usage.to_wire() for model, usage in self.model_grader_token_usage_per_model.items()
            },
        }


def failed_usage(failures: Iterable[GradeError]) -> list[JudgeUsage]:
    """Tokens of the judge calls that failed."""
    return [
        JudgeUsage(failure.model or "", failure.model or "", failure.usage)
        for failure in failures
        if failure.usage is not None
    ]


def _joined(known: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings merged: some graders of a multi give their provenance at compile time, some per row."""
    joined = dict(known)
    for key, value in found.items():
        nested = isinstance(value, Mapping) and isinstance(joined.get(key), Mapping)
        joined[key] = _joined(joined[key], value) if nested else value
    return joined


def _total(judge_usage: tuple[JudgeUsage, ...]) -> Usage | None:
    if not judge_usage:
        return None
    total = Usage()
    for one in judge_usage:
        total += one.usage
    return total
