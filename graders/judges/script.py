"""The answers of a scripted judge: responses byte for byte, or made from the request in the API's own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived.

    Attributes:
        at: time.monotonic() of its last byte.
        path: With the query.
        headers: Names in lower case.
        json: The body; {} when there is none.
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
        """The text of every message, its text parts joined, in order."""
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
        body: Bytes as they are; a dict as JSON.
        delay_s: Before the first byte.
        cut_at: Bytes of the body after which the connection ends, whatever content-length promised.
        stall_at: Bytes of the body after which nothing more comes, with the connection left open.
        trickle_s: Between pieces of seven bytes of the body.
        reset: End with a TCP reset; with cut_at after those bytes, else instead of any response.
        drop: End the connection without a response.
        close: Say `connection: close` and do it.
        chunked: Send the body in chunks, without a content-length.
        raw: Sent as it is, instead of an HTTP response.
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


Answer: TypeAlias = Step | Callable[[Received], Step]


def completion(
    received: Received, content: Any, *, refusal: str | None = None, finish: str = "stop",
    usage: Mapping[str, Any] | None = USAGE, model: str = "", logprobs: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """The body of an answer, in the form of the API that was asked: /responses or /chat/completions."""
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


def result_key(received: Received) -> str:
    """The key that the request wants the result under: `result`, or the made-up name in its instructions."""
    for text in reversed(received.texts):
        # the instructions stand at the end, after whatever a sample says
        at = text.rfind('"result_')
        if at >= 0:
            return text[at + 1 : text.index('"', at + 1)]
    return "result"


def say(answer: Any, *, delay_s: float = 0.0, **more: Any) -> Callable[[Received], Step]:
    """Answer with a verdict (a dict, whose `result` is put under the key the request asked for) or a text."""

    def step(received: Received) -> Step:
        content = answer
        if isinstance(answer, dict):
            key = result_key(received)
            content = json.dumps({(key if name == "result" else name): v for name, v in answer.items()})
        return Step(body=completion(received, content, **more), delay_s=delay_s)

    return step


def fail(status: int, message: str = "", code: str | None = None, **more: Any) -> Step:
    """An error in the API's own form."""
    return Step(status, {"error": {"message": message, "type": "error", "param": None, "code": code}}, **more)
