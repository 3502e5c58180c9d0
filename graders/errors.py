"""The two families of errors.

SpecError: the spec cannot be used; it lists every problem at once and `compile` raises it.
GradeError: one row could not be graded; there is one subclass per flag of the wire's `metadata.errors`, and only
`engine.settle` turns one into flags. `run` never raises a GradeError.

    GradeError                        other_error
    +-- Interrupted                   (cancelled: a batch leaves the row for later)
    +-- FormulaError                  formula_parse_error
    +-- SampleParseError              sample_parse_error
    +-- TruncatedObservation          truncated_observation_error
    +-- UnresponsiveReward            unresponsive_reward_error
    +-- MissingVariable               invalid_variable_error
    +-- PythonRuntimeError            python_grader_runtime_error
    +-- PythonServerError             python_grader_server_error
    +-- ModelServerError              model_grader_server_error
    |   +-- ModelStop                   (auth or quota: no later call can succeed either)
    +-- ModelRefusal                  model_grader_refusal_error
    +-- ModelParseError               model_grader_parse_error
    |   +-- ModelExceededMaxTokens      model_grader_exceeded_max_tokens_error as well
    +-- EndpointServerError           endpoint_grader_server_error
    +-- EndpointParseError            endpoint_grader_internal_error
    +-- EndpointNotAllowed            endpoint_grader_safety_check_error
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from graders.usage import Usage


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about a spec.

    Attributes:
        path: Where, in the user's own words: `graders.exact.operation`; "" is the spec itself.
        message: What was found, what was expected.
        code: A stable word for programs: `missing_required_parameter`, `invalid_type`, `invalid_value`, ...
        severity: "error" (the spec cannot run) or "warning" (it runs; read this first).
        suggestion: What was probably meant, or "".
        line, column: 1-based position in the file the spec came from; 0 when unknown.
        file: That file's name, or "".
    """

    path: str
    message: str
    code: str
    severity: str = "error"
    suggestion: str = ""
    line: int = 0
    column: int = 0
    file: str = ""

    def __str__(self) -> str:
        where = ":".join(part for part in (self.file, str(self.line or ""), str(self.column or "")) if part)
        hint = f" {self.suggestion}" if self.suggestion else ""
        return f"{where}: {self.message}{hint}" if where else f"{self.message}{hint}"


class SpecError(ValueError):
    """The spec is not valid; `problems` lists all of them, not the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class GradeError(Exception):
    """A row could not be graded. Never changed after it was made: one failure may belong to several rows.

    Attributes:
        flag: The wire field of `metadata.errors` that this sets to true.
        exact_flag: A second wire field that is set beside `flag` and says more; "" for most. The published types lack
            it, so that `flag` alone must show the failure.
        details_field: The wire field that `details` goes to; "" where the flag has none.
        usage, model: Tokens that a judge used before it failed, and the judge's name; None when none was asked.
        provenance: How the judge was asked, as in ModelReply; the output of a program.
        seconds: Seconds until judge or program failed, without the wait for a free place.
    """

    flag: ClassVar[str] = "other_error"
    exact_flag: ClassVar[str] = ""
    details_field: ClassVar[str] = ""
    usage: Usage | None = None
    model: str | None = None
    provenance: Mapping[str, Any] = {}
    seconds: float = 0.0

    def replace(
        self,
        *,
        usage: Usage | None,
        model: str | None = None,
        provenance: Mapping[str, Any],
        seconds: float | None = None,
    ) -> Self:
        """A copy with the cost of the failure. None for `model` or `seconds` keeps the present value."""
        state = {
            **self.__dict__,
            "usage": usage,
            "model": model or self.model,
            "provenance": provenance,
            "seconds": self.seconds if seconds is None else seconds,
        }
        made = type(self).__new__(type(self), str(self))
        made.__dict__.update(state)
        made.__cause__ = self.__cause__
        return made

    @property
    def flags(self) -> tuple[str, ...]:
        """Every wire field that this sets to true."""
        return (self.flag, self.exact_flag) if self.exact_flag else (self.flag,)

    @property
    def details(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle calls an exception's class with its message, and several constructors below take other arguments
        return _unpickled, (type(self), str(self), self.__dict__)


def _unpickled(kind: type[GradeError], message: str, state: dict[str, Any]) -> GradeError:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


class Interrupted(GradeError):
    """The row was cancelled before it had all answers; it can be graded again."""


class FormulaError(GradeError):
    """`calculate_output` has no finite real value for these scores."""

    flag = "formula_parse_error"


class SampleParseError(GradeError):
    """The sample is not in the form that the grader reads (JSON, messages, encodable text)."""

    flag = "sample_parse_error"
    details_field = "sample_parse_error_details"


class TruncatedObservation(GradeError):
    """The sample was cut off before it was complete, and the caller asked for that to be an error."""

    flag = "truncated_observation_error"


class UnresponsiveReward(GradeError):
    """The grader gave no answer within the caller's deadline."""

    flag = "unresponsive_reward_error"


class MissingVariable(GradeError):
    """A template names a path that the row does not have."""

    flag = "invalid_variable_error"
    details_field = "invalid_variable_error_details"

    def __init__(self, path: str, have: Iterable[str] = ()) -> None:
        self.path = path
        self.have = tuple(have)
        super().__init__(f"no {path!r} in this row; it has {', '.join(self.have) or 'nothing'} there")


class PythonRuntimeError(GradeError):
    """The grader's own program failed: it raised, or returned something that is not a finite number."""

    flag = "python_grader_runtime_error"
    details_field = "python_grader_runtime_error_details"


class PythonServerError(GradeError):
    """The sandbox ended the program (time, memory, disk) or could not run it.

    Attributes:
        kind: The wire's `python_grader_server_error_type`: timeout, memory, disk, crash, infrastructure, ...
        infrastructure: True when the program is not to blame, so that the row says nothing about the sample.
    """

    flag = "python_grader_server_error"
    details_field = "python_grader_server_error_type"

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.infrastructure = kind in ("infrastructure", "protocol")

    @property
    def details(self) -> str:
        return self.kind


class ModelServerError(GradeError):
    """The judge could not be asked: network, time-out, status, quota, a response that is not the API's."""

    flag = "model_grader_server_error"
    details_field = "model_grader_server_error_details"


class ModelStop(ModelServerError):
    """No later call to this endpoint can succeed either (bad key, no quota): a batch stops here."""


class ModelRefusal(GradeError):
    """The judge refused, or its content filter did."""

    flag = "model_grader_refusal_error"
    details_field = "model_grader_refusal_error_details"


class ModelParseError(GradeError):
    """The judge answered, but not with one valid verdict: cut off, empty, wrong schema, two different ones.

    Attributes:
        text: The raw answer.
    """

    flag = "model_grader_parse_error"
    details_field = "model_grader_parse_error_details"

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class ModelExceededMaxTokens(ModelParseError):
    """The judge's answer was cut off by its token limit before it held a whole verdict."""

    exact_flag = "model_grader_exceeded_max_tokens_error"


class EndpointServerError(GradeError):
    """The grader's endpoint could not be asked: network, time-out, status."""

    flag = "endpoint_grader_server_error"
    details_field = "endpoint_grader_server_error_details"


class EndpointParseError(GradeError):
    """The grader's endpoint answered, but not with a score."""

    flag = "endpoint_grader_internal_error"
    details_field = "endpoint_grader_internal_error_details"


class EndpointNotAllowed(GradeError):
    """The configuration does not allow the host of the grader's endpoint: nothing was sent."""

    flag = "endpoint_grader_safety_check_error"
