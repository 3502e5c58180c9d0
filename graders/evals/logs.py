"""Logged completions: made from requests and responses, streams included, and returned in the service's form."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from graders.jsontext import dumps, loads
from graders.store import LoggedCompletion
from graders.store.ids import base62_id

#: API -> the prefix of its ids.
PREFIXES = {"chat": "chatcmpl", "responses": "resp"}


def logged(
    api: str, request: Mapping[str, Any], response: Mapping[str, Any], lifetime_s: int | None = None
) -> LoggedCompletion:
    """The record of a request and its response.

    Args:
        api: "chat" or "responses".
        lifetime_s: Seconds until it expires; None: never.
    """
    created = response.get("created", response.get("created_at"))
    created_at = int(created) if isinstance(created, (int, float)) and created > 0 else int(time.time())
    given, metadata = response.get("id"), request.get("metadata")
    return LoggedCompletion(
        given if isinstance(given, str) and given else base62_id(PREFIXES[api]),
        api,
        created_at,
        None if lifetime_s is None else int(time.time()) + lifetime_s,
        str(response.get("model") or request.get("model") or ""),
        json.dumps(_texts(metadata), ensure_ascii=False),
        dumps(request).decode(),
        dumps(response).decode(),
    )


def _texts(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, Mapping):
        return {}
    return {str(key): value for key, value in metadata.items() if isinstance(value, str)}


def is_kept(api: str, request: Mapping[str, Any]) -> bool:
    """Whether to log a request, by `store`, whose default is false for chat and true for responses."""
    return bool(request.get("store", api == "responses"))


def completion_text(record: LoggedCompletion) -> str:
    """A logged completion in the service's form: with its metadata, and with parameters of the request."""
    request, response = loads(record.request.encode()), loads(record.response.encode())
    response["metadata"] = json.loads(record.metadata)
    for name in ("tools", "tool_choice", "temperature", "top_p", "seed", "response_format"):
        response.setdefault(name, request.get(name))
    return dumps({**response, "id": record.id}).decode()


def messages_of(record: LoggedCompletion) -> list[dict[str, Any]]:
    """The request's messages, each with an id and its index in the conversation."""
    request = loads(record.request.encode())
    messages = request.get("messages", request.get("input"))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    found = [one for one in messages or () if isinstance(one, dict)]
    return [{**one, "id": f"{record.id}-{n}"} for n, one in enumerate(found)]


class StreamedAnswer:
    """Assembles the response from a stream of server-sent events.

    Attributes:
        n_bytes: Bytes kept so far.
        ended: Whether the final event has arrived; some servers' streams stop without one.
    """

    def __init__(self, api: str) -> None:
        self._api = api
        self._rest = b""
        self._chunks: list[dict[str, Any]] = []
        self._response: dict[str, Any] | None = None
        self.n_bytes = 0
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Parse the next bytes, which may end anywhere."""
        self.n_bytes += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._event(line.strip())

    def _event(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        text = line[5:].strip()
        if text == b"[DONE]":
            self.ended = True
            return
        try:
            value = loads(text)
        except ValueError:
            return
        if not isinstance(value, dict):
            return
        if self._api == "chat":
            self._chunks.append(value)
        elif isinstance(value.get("response"), dict) and value.get("type") in ENDS:
            self._response = value["response"]
            self.ended = True

    def whole(self) -> dict[str, Any] | None:
        """The completion or response; None when the stream was incomplete."""
        if self._api == "responses":
            return self._response
        choices: dict[int, dict[str, Any]] = {}
        whole: dict[str, Any] = {}
        for chunk in self._chunks:
            whole |= {key: value for key, value in chunk.items() if key != "choices" and value is not None}
            for choice in chunk.get("choices") or ():
                _add_delta(
                    choices.setdefault(choice.get("index", 0), _choice(choice.get("index", 0))), choice
                )
        if not choices or any(choice["finish_reason"] is None for choice in choices.values()):
            return None
        return {**whole, "object": "chat.completion", "choices": [choices[n] for n in sorted(choices)]}


ENDS = ("response.completed", "response.incomplete", "response.failed")


def _choice(index: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "refusal": None}
    return {"index": index, "message": message, "finish_reason": None}


def _add_delta(choice: dict[str, Any], chunk: Mapping[str, Any]) -> None:
    """Add one chunk's delta to a choice."""
    message = choice["message"]
    if chunk.get("finish_reason") is not None:
        choice["finish_reason"] = chunk["finish_reason"]
    for name, value in (chunk.get("delta") or {}).items():
        if name == "tool_calls":
            calls = message.setdefault("tool_calls", [])
            for call in value or ():
                _add_call(calls, call)
        elif isinstance(value, str) and name != "role":
            message[name] = (message.get(name) or "") + value
        elif value is not None:
            message[name] = value


def _add_call(calls: list[dict[str, Any]], part: Mapping[str, Any]) -> None:
    place = part.get("index", len(calls))
    while len(calls) <= place < MOST_CALLS:
        calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    if place >= len(calls):
        return
    call = calls[place]
    for name in ("id", "type"):
        call[name] = part.get(name) or call[name]
    for name, text in (part.get("function") or {}).items():
        call["function"][name] = call["function"].get(name, "") + (text or "")


#: Tool calls in one response.
MOST_CALLS = 1000
