"""Chat completions of tuned models: reads requests, and makes responses and streams in the service's form."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graders.evals.requests import Fields, InvalidRequest
from graders.store.ids import base62_id

CHOICES_MOST = 128
STOPS_MOST = 4
#: Unsupported parameter -> its values without effect.
UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "tool_choice": (None, "auto", "none"),
    "functions": (None, []),
    "modalities": (None, ["text"]),
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request for text.

    Attributes:
        messages: Messages with plain text.
        max_tokens: Token limit; None: the rest of the model's context.
        seed: Seed of sampling; None: random.
        include_usage: Whether a stream's last chunk has the tokens.
    """

    messages: list[dict[str, Any]]
    tools: list[Any] | None
    n: int
    stop: list[str]
    temperature: float
    top_p: float
    max_tokens: int | None
    seed: int | None
    stream: bool
    include_usage: bool

    def message(self) -> dict[str, Any]:
        """The fields of the generator's request."""
        names = ("messages", "tools", "n", "stop", "temperature", "top_p", "max_tokens", "seed")
        return {name: getattr(self, name) for name in names}


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """
    Raises:
        InvalidRequest: a field is invalid or unsupported by these models.
    """
    fields = Fields(body, "")
    for name, harmless in UNSUPPORTED.items():
        if body.get(name) not in harmless:
            text = f"Unsupported parameter: '{name}' is not supported with models that were tuned here."
            raise InvalidRequest(text, name, "unsupported_parameter")
    messages = fields.need("messages", list, "an array")
    if not messages:
        raise InvalidRequest("Invalid 'messages': expected at least one message.", "messages")
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else fields.get("stop", list, "a string or an array") or []
    if len(stops) > STOPS_MOST or not all(isinstance(one, str) and one for one in stops):
        raise InvalidRequest(f"Invalid 'stop': expected 1 to {STOPS_MOST} texts that are not empty.", "stop")
    options = fields.object("stream_options").value if body.get("stream_options") is not None else {}
    most = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    return ChatRequest(
        messages=[_message(one, f"messages[{at}]") for at, one in enumerate(messages)],
        tools=fields.get("tools", list, "an array") or None,
        n=_integer(fields, "n", 1, CHOICES_MOST) or 1,
        stop=stops,
        temperature=_number(fields, "temperature", 2.0),
        top_p=_number(fields, "top_p", 1.0),
        max_tokens=_integer(fields, most, 1, 2**31),
        seed=_integer(fields, "seed", -(2**63), 2**63 - 1),
        stream=bool(fields.get("stream", bool, "a boolean")),
        include_usage=bool(options.get("include_usage")),
    )


def _message(message: Any, path: str) -> dict[str, Any]:
    fields = Fields(message, path)
    fields.need("role", str, "a string")
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise InvalidRequest(f"Invalid '{path}.content': expected parts of text.", f"{path}.content")
        content = "".join(part["text"] for part in content)
    elif content is not None and not isinstance(content, str):
        fields.need("content", str, "a string or an array of parts")
    return {**message, "content": content or ""}


def _integer(fields: Fields, name: str, least: int, most: int) -> int | None:
    value = fields.get(name, int, "an integer")
    if value is not None and not least <= value <= most:
        raise InvalidRequest(f"Invalid '{name}': expected {least} to {most}, but got {value}.", name)
    return value


def _number(fields: Fields, name: str, most: float) -> float:
    value = fields.get(name, (int, float), "a number")
    if value is not None and not 0 <= value <= most:
        raise InvalidRequest(f"Invalid '{name}': expected 0 to {most:g}, but got {value}.", name)
    return 1.0 if value is None else float(value)


@dataclass(slots=True)
class ChatCompletion:
    """A completion that is assembled from a generator's messages (trainer/graders_train/README.md)."""

    model: str
    n: int
    completion_id: str = field(default_factory=lambda: base62_id("chatcmpl"))
    created: int = field(default_factory=lambda: int(time.time()))
    texts: list[str] = field(init=False)
    reasons: list[str | None] = field(init=False)
    usage: dict[str, int] | None = None

    def __post_init__(self) -> None:
        self.texts = [""] * self.n
        self.reasons = [None] * self.n

    def feed(self, message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Add one message; returns its chunks of a stream."""
        match message["type"]:
            case "text":
                self.texts[message["index"]] += message["text"]
                yield self.chunk(message["index"], {"content": message["text"]})
            case "finish":
                self.reasons[message["index"]] = message["reason"]
                yield self.chunk(message["index"], {}, message["reason"])
            case "answered":
                prompt, completion = message["prompt_tokens"], message["completion_tokens"]
                self.usage = {
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": prompt + completion,
                }

    def start(self) -> Iterator[dict[str, Any]]:
        """The first chunk of each choice."""
        for index in range(self.n):
            yield self.chunk(index, {"role": "assistant", "content": "", "refusal": None})

    def chunk(self, index: int, delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self) -> dict[str, Any]:
        """The last chunk of a stream with `include_usage`."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage}

    def whole(self) -> dict[str, Any]:
        """The completion."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": reason,
            }
            for index, (text, reason) in enumerate(zip(self.texts, self.reasons, strict=True))
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": self.usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.completion_id, "object": kind, "created": self.created, "model": self.model}
