"""Responses of a scripted judge: given byte by byte, or made from the request in the API's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One received request.

    Attributes:
        at: time.monotonic() of its last byte.
        path: The path with the query.
        headers: The headers, names in lower case.
        json: The body; {} without one.
    """

    at: float
    path: str
    headers: Mapping[str, str]
    json: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.json.get("model", ""))

    @property
    def texts(self) -> list[str]:
        """The text of each message, its text parts joined."""
        messages = self.json.get("messages") or self.json.get("input") or []
        contents = [message["content"] for message in messages]
        return [
            content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
            for content in contents
        ]


@dataclass(frozen=True, slots=True)
class Step:
    """One response.

    Attributes:
        body: Bytes sent unchanged, or a dict sent as JSON.
        delay_s: Seconds before the first byte.
        cut_at: Bytes of the body after which the connection is closed, regardless of content-length.
        stall_at: Bytes of the body after which sending stops with the connection open.
        trickle_s: Seconds between pieces of seven bytes of the body.
        reset: Whether to send a TCP reset: with cut_at after those bytes, else in place of a response.
        drop: Whether to close the connection without a response.
        close: Whether to send `connection: close` and close the connection.
        chunked: Whether to send the body in chunks, without a content-length.
        raw: Bytes sent in place of an HTTP response.
    """

    status: int = 200
    body: bytes | dict[str, Any] | list[Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut_at: int | None = None
    stall_at: int | None = None
    trickle_s: float = 0.0
    reset: bool = False
    drop: bool = False
    close: bool = False
    chunked: bool = False
    raw: bytes | None = None

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer: TypeAlias = Step | Callable[[ReceivedRequest], Step]


def completion(
    received: ReceivedRequest, content: Any, *, refusal: str | None = None, finish: str = "stop",
    usage: Mapping[str, Any] | None = USAGE, model: str = "", logprobs: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """The body of an answer in the form of the requested API: /responses or /chat/completions."""
    model = model or received.model
    if "/responses" in received.path:
        part = (
            {"type": "refusal", "refusal": refusal}
            if refusal
            else {"type": "output_text", "text": content or ""}
        )
        body: dict[str, Any] = {
            "id": "resp_1",
            "object": "response",
            "model": model,
            "status": "completed" if finish == "stop" else "incomplete",
            "incomplete_details": None
            if finish == "stop"
            else {"reason": {"length": "max_output_tokens"}.get(finish, finish)},
            "output": [{"type": "message", "role": "assistant", "content": [part]}],
        }
        if usage is not None:
            body["usage"] = {
                "input_tokens": usage.get("prompt_tokens"),
                "output_tokens": usage.get("completion_tokens"),
                "total_tokens": usage.get("total_tokens"),
                "input_tokens_details": usage.get("prompt_tokens_details"),
                "output_tokens_details": usage.get("completion_tokens_details"),
            }
        return body
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, "refusal": refusal},
    }
    if logprobs is not None:
        choice["logprobs"] = {"content": logprobs}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
    }
    if usage is not None:
        body["usage"] = dict(usage)
    return body


def result_key(received: ReceivedRequest) -> str:
    """The key of the result that the request asks for: `result`, or the made-up name in its instructions."""
    for text in reversed(received.texts):
        # the last match: the instructions stand at the end, after any text of a sample
        at = text.rfind('"result_')
        if at >= 0:
            return text[at + 1 : text.index('"', at + 1)]
    return "result"


def say(answer: Any, *, delay_s: float = 0.0, **more: Any) -> Callable[[ReceivedRequest], Step]:
    """A response with a verdict (a dict, whose `result` gets the requested key) or a text."""

    def step(received: ReceivedRequest) -> Step:
        content = answer
        if isinstance(answer, dict):
            key = result_key(received)
            content = json.dumps({(key if name == "result" else name): v for name, v in answer.items()})
        return Step(body=completion(received, content, **more), delay_s=delay_s)

    return step


def fail(status: int, message: str = "", code: str | None = None, **more: Any) -> Step:
    """An error response in the API's form."""
    return Step(status, {"error": {"message": message, "type": "error", "param": None, "code": code}}, **more)
