"""Asks and answers: what a row needs from outside, and what it gets, as values.

A kind returns asks and reads answers; it never sees a socket, a process or a clock. `backends.py` fetches.
An answer is the reply that belongs to the ask, or a GradeError in its place (`unwrap` raises it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar, cast

from graders.errors import GradeError
from graders.messages import Message
from graders.usage import NO_USAGE, ZERO_USAGE, Usage
from graders.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Sampling:
    """`sampling_params` in canonical spelling; None means not sent."""

    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_completions_tokens: int | None = None
    reasoning_effort: str | None = None

    @property
    def repeatable(self) -> bool:
        """Whether equal requests are meant to give equal answers, so that a batch may send one for all."""
        return self.seed is not None or self.temperature == 0


@dataclass(frozen=True, slots=True)
class ModelAsk:
    """One question to a judge. Hashable: equal asks may be merged by a batch."""

    model: str
    messages: tuple[Message, ...]
    verdict: Verdict
    sampling: Sampling = Sampling()

    @property
    def n_chars(self) -> int:
        """Characters of the messages' texts and data."""
        return sum(part.n_chars for message in self.messages for part in message.parts)


@dataclass(frozen=True, slots=True)
class CodeAsk:
    """One run of a python grader. `sample` and `item` are JSON values; `key` seeds the program's randomness."""

    source: str
    sample: Any
    item: Any
    key: str = ""


@dataclass(frozen=True, slots=True)
class EmbedAsk:
    """A request for the vectors of some texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleAsk:
    """A request for one answer of a model, which becomes the sample to grade.

    Attributes:
        model: As the run names it; the model map of graders.toml says where it goes.
        messages: In the form of either API: `role` and `content` (a text, one part or a list of parts) with whatever
            else the API has (tool_calls, tool_call_id), or the items of a response (function_call, ...).
        params: By their names on the wire, in either API's form: temperature, top_p, seed, reasoning_effort, tools,
            tool_choice, response_format or text, max_completion_tokens in any of its spellings; others go as they
            are. A value of None is not sent.
        api: "chat" or "responses"; "" for what the endpoint's configuration says.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    api: str = ""


@dataclass(frozen=True, slots=True)
class EndpointAsk:
    """One row for a grader behind an address of its own.

    Attributes:
        url: Where {"sample", "item"} is posted to. Its host has to be allowed by the configuration.
        sample, item: JSON values.
        headers: Added to the request.
        requests_per_minute: The rate limit that the spec sets; 0 is none.
    """

    url: str
    sample: Any
    item: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    requests_per_minute: int = 0


Ask: TypeAlias = ModelAsk | CodeAsk | EmbedAsk | SampleAsk | EndpointAsk


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A judge's valid verdict.

    Attributes:
        verdict: The verdict that `Verdict.read` found in the answer: a finite float, not yet clipped, or a label.
        text: The raw answer.
        model: The model the server says it used (may differ from the one asked for).
        usage: Tokens over all attempts that reported them.
        provenance: How it was asked: endpoint, rung of structured output, parameters dropped, votes, cache hit ...
        seconds: Duration of the request, without the wait for a free place; 0 where no request was sent.
    """

    verdict: float | str
    text: str
    model: str
    usage: Usage = NO_USAGE
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CodeReply:
    """The number that a python grader returned.

    Attributes:
        value: A finite float.
        tier: The sandbox tier that the program ran in.
        printed: The program's output, at most 8 kB.
        seconds: Duration of the program, from the fork on.
    """

    value: float
    tier: str
    printed: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class EmbedReply:
    """One float64 vector for each text asked for (shape [texts, dims]), and the model that made them.

    Attributes:
        seconds: Duration of the embedder's call, which may have held texts of other rows too.
    """

    vectors: Any
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SampleReply:
    """A model's answer.

    Attributes:
        completion: The response's body as the server sent it, a chat completion or a response: Row takes it as a
            sample.
        text: Its text; "" where it calls tools, or speaks, without one.
        finish_reason: "stop", "length", "tool_calls", ...; "" where the server does not say.
        model: The model the server says it used.
        usage: Tokens over all attempts that reported them.
        provenance: How it was asked: endpoint, parameters dropped, attempts, request id ...
        seconds: Duration of the request, without the wait for a free place.
    """

    completion: Mapping[str, Any]
    text: str
    finish_reason: str
    model: str
    usage: Usage = NO_USAGE
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class EndpointReply:
    """The answer of a grader behind an address.

    Attributes:
        score: A finite float.
        body: The whole answer.
        provenance: How it was asked: address, attempts, seconds.
        seconds: Duration of the request, without the wait for a free place.
    """

    score: float
    body: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


Reply: TypeAlias = ModelReply | CodeReply | EmbedReply | SampleReply | EndpointReply
Answer: TypeAlias = Reply | GradeError

R = TypeVar("R", ModelReply, CodeReply, EmbedReply, SampleReply, EndpointReply)


def unwrap(answer: Answer, kind: type[R]) -> R:
    """The reply; raises the answer if it is a GradeError."""
    if isinstance(answer, GradeError):
        raise answer
    assert isinstance(answer, kind), f"a {kind.__name__} was asked for, {type(answer).__name__} came"
    return answer


#: Keys of an answer's provenance that describe the request.
_OF_A_REQUEST = ("attempts", "latency_s", "request_id")


A = TypeVar("A", bound=Answer)


def without_usage(answer: A, reason: str) -> A:
    """A judge's answer for a row that sent no request of its own; the usage is reported by the row that did.

    Args:
        reason: Why nothing was sent, as provenance names it: "merged" or "cached".
    """
    if not isinstance(answer, ModelReply) and not (isinstance(answer, GradeError) and answer.model):
        return answer
    kept = {name: value for name, value in answer.provenance.items() if name not in _OF_A_REQUEST}
    provenance = {**kept, reason: True}
    if isinstance(answer, ModelReply):
        return cast(A, replace(answer, usage=ZERO_USAGE, provenance=provenance, seconds=0.0))
    return cast(A, answer.replace(usage=answer.usage and ZERO_USAGE, provenance=provenance, seconds=0.0))
