"""What a row needs from outside, as values: asks, and the answers that come back.

A kind returns asks and reads answers; it never sees a socket, a process or a clock. `backends.py` fetches.
An answer is the reply that belongs to the ask, or the GradeError that came instead (`unwrap` raises it).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar, cast

from graders.errors import GradeError, ModelParseError
from graders.usage import NO_USAGE, ZERO_USAGE, Usage


@dataclass(frozen=True, slots=True)
class TextPart:
    """`input_text`, or `output_text` when `output` is set."""

    text: str
    output: bool = False

    @property
    def n_chars(self) -> int:
        return len(self.text)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """`input_image`: a URL or data URL, and the wire's `detail` (None when absent)."""

    image_url: str
    detail: str | None = None

    @property
    def n_chars(self) -> int:
        return len(self.image_url)


@dataclass(frozen=True, slots=True)
class AudioPart:
    """`input_audio`: base64 data and its format, "mp3" or "wav"."""

    data: str
    format: str

    @property
    def n_chars(self) -> int:
        return len(self.data)


Part: TypeAlias = TextPart | ImagePart | AudioPart


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message; `role` is user, assistant, system or developer."""

    role: str
    parts: tuple[Part, ...]


def with_text(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    """The messages with one more text of the user at their end.

    It goes into the last message where that is the user's: many chat templates refuse two of one role in a row.
    """
    last = messages[-1] if messages else None
    if last is None or last.role != "user":
        return (*messages, Message("user", (TextPart(text),)))
    *before, end = last.parts
    if isinstance(end, TextPart):  # a single text goes out as a plain string, which has the widest support
        parts = (*before, TextPart(f"{end.text}\n\n{text}"))
    else:
        parts = (*last.parts, TextPart(text))
    return (*messages[:-1], Message("user", parts))


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


class Ambiguous(ValueError):
    """An answer holds no verdict, or several different ones; the message says which."""


_STEPS: dict[str, Any] = {
    "type": "array",
    "description": "A sequence of steps outlining the reasoning process.",
    "items": {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    },
}


# In the message on a wrong one: an answer may hold thousands of those.
LABELS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge must answer with: `{"steps": [...], "result": ...}`, the schema of the hosted notebook.

    Attributes:
        labels: The allowed labels; empty for a score.
        range: Inclusive bounds of a score; told to the judge, applied by the kind (a judge may overshoot).
        steps: Whether reasoning steps are asked for before the result (the hosted way), or the result alone.
    """

    labels: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 1.0)
    steps: bool = True

    @property
    def schema_name(self) -> str:
        return "label_classification" if self.labels else "float_score_classification"

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema for the judge's answer, in the property order that the service records."""
        result: dict[str, Any]
        if self.labels:
            result = {
                "type": "string",
                "enum": list(self.labels),
                "description": "The label assigned to the response.",
            }
        else:
            low, high = self.range
            result = {
                "type": "number",
                "description": "The float score assigned to the response. "
                f"This should be in inclusive range {low:g} to {high:g}.",
            }
        properties = {"steps": _STEPS, "result": result} if self.steps else {"result": result}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def read(self, answer: object) -> float | str:
        """The verdict in one decoded JSON answer.

        `steps` is not insisted on and no range is applied here: the caller clips. A bool is not a number.

        Raises:
            Ambiguous: the answer is not an object with a valid `result`.
        """
        if not isinstance(answer, Mapping) or "result" not in answer:
            raise Ambiguous(f"expected an object with 'result', got {_shown(answer)}")
        result = answer["result"]
        if self.labels:
            if isinstance(result, str) and result in self.labels:
                return result
            shown = ", ".join(map(repr, self.labels[:LABELS_SHOWN]))
            more = ", ..." if len(self.labels) > LABELS_SHOWN else ""
            raise Ambiguous(f"'result' is {_shown(result)}, not one of {shown}{more}")
        if isinstance(result, bool) or not isinstance(result, (int, float)) or not math.isfinite(result):
            raise Ambiguous(f"'result' is {_shown(result)}, not a finite number")
        return float(result)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 120 else text[:117] + "..."


@dataclass(frozen=True, slots=True)
class ModelAsk:
    """One question to a judge. Hashable: equal asks may be merged by a batch."""

    model: str
    messages: tuple[Message, ...]
    verdict: Verdict
    sampling: Sampling = Sampling()

    @property
    def n_chars(self) -> int:
        """Of the messages' texts and data."""
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
    """Texts whose vectors are wanted."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleAsk:
    """One answer wanted from a model: a sample to be graded.

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
        requests_per_minute: A limit that the grader asks for; 0 is none.
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
        verdict: What `Verdict.read` made of the answer: a finite float, not yet clipped, or a label.
        text: The raw answer.
        model: The model the server says it used (may differ from the one asked for).
        usage: Tokens over all attempts that reported them.
        provenance: How it was asked: endpoint, rung of structured output, parameters dropped, votes, cache hit ...
    """

    verdict: float | str
    text: str
    model: str
    usage: Usage = NO_USAGE
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CodeReply:
    """What a python grader returned.

    Attributes:
        value: A finite float.
        tier: Of the sandbox that held it.
        printed: What the program printed, at most 8 kB.
    """

    value: float
    tier: str
    printed: str = ""


@dataclass(frozen=True, slots=True)
class EmbedReply:
    """One float64 vector for each text asked for (shape [texts, dims]), and the model that made them."""

    vectors: Any
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleReply:
    """A model's answer.

    Attributes:
        completion: The response's body as the server sent it, a chat completion or a response: Row takes it as a sample.
        text: Its text; "" where it calls tools, or speaks, without one.
        finish_reason: "stop", "length", "tool_calls", ...; "" where the server does not say.
        model: The model the server says it used.
        usage: Tokens over all attempts that reported them.
        provenance: How it was asked: endpoint, parameters dropped, attempts, request id ...
    """

    completion: Mapping[str, Any]
    text: str
    finish_reason: str
    model: str
    usage: Usage = NO_USAGE
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndpointReply:
    """What a grader behind an address answered.

    Attributes:
        score: A finite float.
        body: The whole answer.
        provenance: How it was asked: address, attempts, seconds.
    """

    score: float
    body: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)


Reply: TypeAlias = ModelReply | CodeReply | EmbedReply | SampleReply | EndpointReply
Answer: TypeAlias = Reply | GradeError

R = TypeVar("R", ModelReply, CodeReply, EmbedReply, SampleReply, EndpointReply)


def unwrap(answer: Answer, kind: type[R]) -> R:
    """The reply, or raise the failure that came back instead."""
    if isinstance(answer, GradeError):
        raise answer
    assert isinstance(answer, kind), f"a {kind.__name__} was asked for, {type(answer).__name__} came"
    return answer


#: Keys of an answer's provenance that tell of the request which brought it.
_OF_A_REQUEST = ("attempts", "latency_s", "request_id")


A = TypeVar("A", bound=Answer)


def without_usage(answer: A, reason: str) -> A:
    """A judge's answer as it is for a row that sent no request for it: the row that did reports what it used.

    Args:
        reason: Why nothing was sent, as provenance names it: "merged" or "cached".
    """
    if not isinstance(answer, ModelReply) and not (isinstance(answer, GradeError) and answer.model):
        return answer
    kept = {name: value for name, value in answer.provenance.items() if name not in _OF_A_REQUEST}
    provenance = {**kept, reason: True}
    if isinstance(answer, ModelReply):
        return cast(A, replace(answer, usage=ZERO_USAGE, provenance=provenance))
    return cast(A, answer.replace(usage=answer.usage and ZERO_USAGE, provenance=provenance))


def parse_error(error: Ambiguous, text: str) -> ModelParseError:
    """The flag for an answer that holds no single valid verdict."""
    return ModelParseError(f"the judge's answer was not used: {error}", text)
