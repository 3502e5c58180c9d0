"""Wire formats that judges and samplers share: roles of a request, and responses of both APIs as completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.usage import Usage

#: Other providers' finish reasons, in lower case, that gateways pass on -> OpenAI's.
_FINISH_REASONS = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
}
#: Fields of a chat message that may hold the answer when `content` is empty.
_ELSEWHERE = ("reasoning_content", "reasoning", "tool_calls", "function_call", "parsed")


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion of either API.

    Attributes:
        text: The answer's text; "" when there is none.
        refusal: The refusal's text, or "".
        finish_reason: "stop", "length", "content_filter", "tool_calls", ...; "" when unknown.
        model: The model that the server names, or "".
        usage: Its tokens; fields are None where the server reports none.
        logprobs: Token log-probabilities in the server's form, or None.
        elsewhere: For an empty text, the field with text: "`reasoning_content` holds 120 characters".
        acts: Whether it calls tools or is audio, so that an empty text is normal.
        raw: The whole body.
    """

    text: str
    refusal: str
    finish_reason: str
    model: str
    usage: Usage
    raw: Mapping[str, Any]
    logprobs: Any = None
    elsewhere: str = ""
    acts: bool = False


class NotSendable(ValueError):
    """Raised for a question that the chosen API has no form for."""


class NotAnAnswer(ValueError):
    """Raised for a response of status 200 whose body is not the API's.

    Attributes:
        status: The status in the body, if that is an error; else 0.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def fit_roles(messages: Sequence[Mapping[str, Any]], refused: frozenset[str]) -> list[dict[str, Any]]:
    """A request's messages, changed to the roles that an endpoint accepts.

    Args:
        messages: With `role` and `content`, a text or a list of parts.
        refused: "developer": they become system messages. "system": both are put before the first user message's text.
            "repeated_roles": consecutive messages of one role are merged.
    """
    fitted = [dict(message) for message in messages]
    if "system" in refused:
        rest = [message for message in fitted if message["role"] not in ("system", "developer")]
        if len(rest) < len(fitted):
            front = [message for message in fitted if message["role"] in ("system", "developer")]
            first = next((at for at, message in enumerate(rest) if message["role"] == "user"), None)
            before = rest[first] if first is not None else None
            user = _joined([*front, *([before] if before is not None else [])], "user")
            fitted = [user, *rest] if first is None else [*rest[:first], user, *rest[first + 1 :]]
    elif "developer" in refused:
        for message in fitted:
            if message["role"] == "developer":
                message["role"] = "system"
    if "repeated_roles" in refused:
        merged: list[dict[str, Any]] = []
        for message in fitted:
            if merged and merged[-1]["role"] == message["role"]:
                merged[-1] = _joined([merged[-1], message], message["role"])
            else:
                merged.append(message)
        fitted = merged
    return fitted


def _joined(messages: Sequence[Mapping[str, Any]], role: str) -> dict[str, Any]:
    """One message with the contents of several."""
    contents = [message.get("content") or "" for message in messages]
    if all(isinstance(content, str) for content in contents):
        return {"role": role, "content": "\n\n".join(contents)}
    parts = [[{"type": "text", "text": c}] if isinstance(c, str) else list(c) for c in contents]
    return {"role": role, "content": [part for content in parts for part in content]}


def read_completion(body: bytes, api: str) -> Completion:
    """The completion in a 200 body.

    Raises:
        NotAnAnswer: it is not JSON, not an object, an error, or without a choice.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        start = body[:60].decode("utf-8", "replace")
        raise NotAnAnswer(f"status 200, but the body is not JSON: {start!r}") from None
    if not isinstance(data, dict):
        raise NotAnAnswer(f"status 200, but the body is a JSON {type(data).__name__}")
    if error := data.get("error"):
        raise _error_in("body", error)
    return _read_response(data) if api == "responses" else _read_chat(data)


def completion_of(data: Mapping[str, Any]) -> Completion:
    """The completion in a response's body, of either API. Raises NotAnAnswer."""
    return _read_response(data) if "output" in data else _read_chat(data)


def _error_in(what: str, error: Any) -> NotAnAnswer:
    code = error.get("code") if isinstance(error, dict) else None
    status = code if type(code) is int and 400 <= code <= 599 else 0
    return NotAnAnswer(f"status 200, but the {what} is an error: {json.dumps(error)[:300]}", status)


def _read_chat(data: Mapping[str, Any]) -> Completion:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NotAnAnswer("status 200, but without a choice")
    choice = choices[0]
    message = choice.get("message")
    if choice.get("finish_reason") == "error" or choice.get("error"):
        raise _error_in("choice", choice.get("error"))
    if not isinstance(message, dict):
        raise NotAnAnswer("status 200, but its choice has no message")
    content, logprobs = message.get("content"), choice.get("logprobs")
    # some servers give the content in parts
    if isinstance(content, list):
        content = "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    text = _text(content)
    return Completion(
        text=text,
        refusal=_text(message.get("refusal")),
        finish_reason=_finish_reason(choice.get("finish_reason")),
        model=_text(data.get("model")),
        usage=_usage(data.get("usage"), "prompt_tokens", "completion_tokens"),
        raw=data,
        logprobs=logprobs.get("content") if isinstance(logprobs, dict) else None,
        elsewhere="" if text.strip() else _other_text(message),
        acts=any(message.get(name) for name in ("tool_calls", "function_call", "audio")),
    )


def _other_text(message: Mapping[str, Any]) -> str:
    """A description of the field that has text, in a message without content."""
    for name in _ELSEWHERE:
        if value := message.get(name):
            shown = value if isinstance(value, str) else json.dumps(value)
            return f"`{name}` holds {len(shown):,} characters"
    content = message.get("content")
    return f"`content` is a {type(content).__name__}" if content and not isinstance(content, str) else ""


def _read_response(data: Mapping[str, Any]) -> Completion:
    outputs = data.get("output")
    if not isinstance(outputs, list):
        raise NotAnAnswer("status 200, but without an output")
    outputs = [output for output in outputs if isinstance(output, dict)]
    parts = [part for output in outputs for part in output.get("content") or () if isinstance(part, dict)]
    reason = _object(data.get("incomplete_details")).get("reason")
    if reason is None and data.get("status") in ("incomplete", "failed", "cancelled"):
        reason = data["status"]
    text = "".join(_text(part.get("text")) for part in parts if part.get("type") == "output_text")
    others = sorted({_text(output.get("type")) for output in outputs} - {"message", ""})
    return Completion(
        text=text,
        refusal="".join(_text(part.get("refusal")) for part in parts if part.get("type") == "refusal"),
        finish_reason=_finish_reason(reason or "stop"),
        model=_text(data.get("model")),
        usage=_usage(data.get("usage"), "input_tokens", "output_tokens"),
        raw=data,
        elsewhere="" if text.strip() or not others else f"the output holds {' and '.join(others)}",
        acts=bool(set(others) - {"reasoning"}),
    )


def _finish_reason(value: Any) -> str:
    reason = _text(value)
    return _FINISH_REASONS.get(reason.lower(), reason)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(value: Any, prompt: str, completion: str) -> Usage:
    usage = _object(value)
    counts = (
        usage.get(prompt),
        usage.get(completion),
        usage.get("total_tokens"),
        _object(usage.get(f"{prompt}_details")).get("cached_tokens"),
        _object(usage.get(f"{completion}_details")).get("reasoning_tokens"),
    )
    return Usage(*(count if type(count) is int and count >= 0 else None for count in counts))
