"""Reads other tools' logs as logged completions: request-response pairs, LiteLLM's payloads, OpenTelemetry spans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from graders.evals.logs import logged
from graders.jsontext import loads
from graders.store import LoggedCompletion

Json: TypeAlias = Mapping[str, Any]


class LogError(ValueError):
    """Raised for a line of no known form."""


class LoggedPair(NamedTuple):
    """A request and its response in the API's form."""

    api: str
    request: Json
    response: Json


def read_logs(lines: Iterable[bytes]) -> Iterator[LoggedCompletion]:
    """The logged completions in lines of JSON.

    Raises:
        LogError: a line has no known form; the message names the line and the forms.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = loads(line)
        except ValueError as error:
            raise LogError(f"line {number} is not JSON: {error}") from None
        form = next((one for one in FORMS if isinstance(value, dict) and one.matches(value)), None)
        if form is None:
            names = ", ".join(one.name for one in FORMS)
            raise LogError(f"line {number} is a log of no known form; known are {names}")
        try:
            pair = form.read(value)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise LogError(
                f"line {number} looks like {form.name}, but: {type(error).__name__}: {error}"
            ) from None
        yield logged(*pair)


def _object(value: Any) -> dict[str, Any]:
    """An object, given itself or as JSON text."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, got {type(found).__name__}")
    return found


def _pair(value: Json) -> LoggedPair:
    request, response = _object(value["request"]), _object(value["response"])
    request, response = _object(request.get("body", request)), _object(response.get("body", response))
    if "metadata" in value and "metadata" not in request:
        request = {**request, "metadata": value["metadata"]}
    return LoggedPair("responses" if "output" in response else "chat", request, response)


def _litellm(value: Json) -> LoggedPair:
    """LiteLLM's StandardLoggingPayload, as its callbacks write it."""
    response = _object(value["response"])
    metadata = value.get("metadata") or {}
    texts = {key: inner for key, inner in metadata.items() if isinstance(inner, str)}
    request = {
        **(value.get("model_parameters") or {}),
        "model": value.get("model"),
        "messages": value["messages"],
        "metadata": {**texts, **(metadata.get("requester_metadata") or {})},
    }
    created = value.get("startTime")
    known = {"id": value.get("id"), "created": created, "model": value.get("model")}
    whole = {**{key: inner for key, inner in known.items() if inner is not None}, **response}
    return LoggedPair("responses" if "output" in response else "chat", request, whole)


def _attributes(value: Json) -> dict[str, Any]:
    """A span's attributes as a mapping; in OTLP they are a list of keys and typed values."""
    given = value.get("attributes") or {}
    if isinstance(given, Mapping):
        return dict(given)
    return {one["key"]: next(iter(one["value"].values())) for one in given}


def _span(value: Json) -> LoggedPair:
    """A span by OpenTelemetry's conventions for generative AI."""
    found = _attributes(value)
    answer = _messages(found["gen_ai.output.messages"])
    request = {
        "model": found.get("gen_ai.request.model"),
        "messages": [
            *_messages(found.get("gen_ai.system_instructions"), "system"),
            *_messages(found["gen_ai.input.messages"]),
        ],
        "temperature": found.get("gen_ai.request.temperature"),
        "top_p": found.get("gen_ai.request.top_p"),
    }
    tokens = {
        "prompt_tokens": int(found.get("gen_ai.usage.input_tokens") or 0),
        "completion_tokens": int(found.get("gen_ai.usage.output_tokens") or 0),
    }
    response = {
        "object": "chat.completion",
        "id": found.get("gen_ai.response.id") or value.get("spanId") or value.get("span_id"),
        "created": _started(value),
        "model": found.get("gen_ai.response.model") or found.get("gen_ai.request.model"),
        "choices": [
            {"index": n, "message": one, "finish_reason": one.pop("finish_reason", None) or "stop"}
            for n, one in enumerate(answer)
        ],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }
    return LoggedPair("chat", request, response)


def _started(span: Json) -> float:
    """The start of a span in seconds since the epoch; 0 when unknown."""
    if span.get("startTimeUnixNano"):
        return float(span["startTimeUnixNano"]) / 1e9
    given = span.get("start_time")
    return datetime.fromisoformat(given.replace("Z", "+00:00")).timestamp() if isinstance(given, str) else 0.0


def _messages(value: Any, role: str = "user") -> list[dict[str, Any]]:
    """Messages by the conventions, whose parts have `type` and `content`; given as JSON text."""
    found = json.loads(value) if isinstance(value, str) else value
    if not found:
        return []
    if role == "system":
        found = [{"role": "system", "parts": found}]
    return [_message(one) for one in found]


def _message(message: Json) -> dict[str, Any]:
    parts = message.get("parts") or []
    calls = [
        {
            "id": one.get("id"),
            "type": "function",
            "function": {"name": one.get("name"), "arguments": json.dumps(one.get("arguments"))},
        }
        for one in parts
        if one.get("type") == "tool_call"
    ]
    made: dict[str, Any] = {
        "role": message["role"],
        "content": "".join(one.get("content") or "" for one in parts if one.get("type") == "text"),
    }
    if calls:
        made["tool_calls"] = calls
    if message.get("finish_reason"):
        made["finish_reason"] = message["finish_reason"]
    return made


class LogForm(NamedTuple):
    """One form of a line."""

    name: str
    matches: Callable[[Json], bool]
    read: Callable[[Json], LoggedPair]


FORMS = (
    LogForm("a pair {request, response}", lambda value: {"request", "response"} <= value.keys(), _pair),
    LogForm("LiteLLM's logging payload", lambda value: {"messages", "response"} <= value.keys(), _litellm),
    LogForm(
        "an OpenTelemetry GenAI span", lambda value: "gen_ai.output.messages" in _attributes(value), _span
    ),
)
