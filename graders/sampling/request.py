"""Request bodies for samples in the form of either API, from messages and parameters of any form. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graders.ask import SampleAsk
from graders.config.route import Route
from graders.endpoints.wire import NotSendable, fit_roles

#: Spellings of the token limit of an answer, the service's own `max_completions_tokens` included.
LIMITS = ("max_completion_tokens", "max_completions_tokens", "max_output_tokens", "max_tokens")
_TEXT_PARTS = ("text", "input_text", "output_text")


def body_of(ask: SampleAsk, route: Route, api: str, refused: frozenset[str]) -> dict[str, Any]:
    """The request body.

    Args:
        api: "chat" or "responses".
        refused: Parameters and roles that the server has refused before.

    Raises:
        NotSendable: the API has no form for the request.
    """
    given = {name: value for name, value in ask.params.items() if value is not None}
    limit = next((given[name] for name in LIMITS if name in given), None)
    reasoning = given.get("reasoning") or {}
    effort = given.get("reasoning_effort", reasoning.get("effort"))
    answer_format = given.get("response_format") or (given.get("text") or {}).get("format")
    special = {*LIMITS, "reasoning", "reasoning_effort", "response_format", "text", "tools", "tool_choice"}
    others = {name: value for name, value in given.items() if name not in special}
    model = route.model or ask.model
    body: dict[str, Any]
    if api == "responses":
        text = {**(given.get("text") or {}), "format": answer_format and _flat(answer_format, "json_schema")}
        body = {
            "model": model,
            "input": fit_roles(list(_response_items(ask.messages)), refused),
            # the service stores responses by default
            "store": False,
            "stream": False,
            "max_output_tokens": limit,
            "reasoning": None
            if "reasoning_effort" in refused
            else {**reasoning, **({"effort": effort} if effort else {})} or None,
            "text": {name: value for name, value in text.items() if value is not None} or None,
            "tools": [_flat(tool, "function") for tool in given.get("tools", ())] or None,
            "tool_choice": _flat(given.get("tool_choice"), "function"),
            **{name: value for name, value in others.items() if name != "seed"},
        }
    else:
        name = "max_tokens" if "max_completion_tokens" in refused else "max_completion_tokens"
        body = {
            "model": model,
            "messages": fit_roles(list(_chat_messages(ask.messages)), refused),
            "stream": False,
            name: limit,
            "reasoning_effort": effort,
            "response_format": answer_format and _nested(answer_format, "json_schema"),
            "tools": [_chat_tool(tool) for tool in given.get("tools", ())] or None,
            "tool_choice": _nested(given.get("tool_choice"), "function"),
            **others,
        }
    return {name: value for name, value in body.items() if value is not None and name not in refused}


def not_applied(ask: SampleAsk, api: str, refused: frozenset[str]) -> list[str]:
    """Requested parameters and roles that are not sent, since this server refuses them."""
    given = {name for name, value in ask.params.items() if value is not None}
    missing = given & (refused | ({"seed"} if api == "responses" else set()))
    limits = {"max_output_tokens"} if api == "responses" else {"max_completion_tokens", "max_tokens"}
    # any spelling of the limit counts
    missing = missing | (given & set(LIMITS)) if limits <= refused else missing - set(LIMITS)
    if "reasoning_effort" in refused:
        missing |= given & {"reasoning"}
    roles = {message.get("role") for message in ask.messages} & {"system", "developer"}
    return sorted(missing | ({"system role"} if roles and "system" in refused else set()))


def _nested(value: Any, kind: str) -> Any:
    """A format or tool choice in the form of chat completions: its settings nested under the name of its type."""
    if not isinstance(value, Mapping) or value.get("type") != kind or kind in value:
        return value
    return {"type": kind, kind: {name: inner for name, inner in value.items() if name != "type"}}


def _flat(value: Any, kind: str) -> Any:
    """A format, tool or tool choice in the form of responses: its settings beside its type."""
    if not isinstance(value, Mapping) or not isinstance(value.get(kind), Mapping):
        return value
    return {"type": kind, **value[kind]}


def _chat_tool(tool: Mapping[str, Any]) -> Any:
    if tool.get("type") not in ("function", "custom"):
        raise NotSendable(
            f'the tool {tool.get("type")!r} exists with /responses alone; set api = "responses" for this model'
        )
    return _nested(tool, tool["type"])


def _parts(content: Any) -> list[Any]:
    """A message's content as a list of parts; a single part and texts among parts are accepted."""
    if content is None:
        return []
    parts = content if isinstance(content, (list, tuple)) else [content]
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]


def _chat_messages(items: tuple[Mapping[str, Any], ...]) -> Iterator[dict[str, Any]]:
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            yield {"role": "assistant", "content": None, "tool_calls": [call]}
        elif kind == "function_call_output":
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
        elif kind == "message" and "role" in item:
            rest = {name: value for name, value in item.items() if name not in ("type", "id", "status")}
            yield {**rest, "content": _chat_content(item.get("content"))}
        elif kind != "reasoning":
            raise NotSendable(f"an input item of type {kind!r} cannot be sent to /chat/completions")


def _chat_content(content: Any) -> Any:
    parts = [_chat_part(part) for part in _parts(content)]
    # sent as a plain string, which has the widest support
    if len(parts) == 1 and set(parts[0]) == {"type", "text"}:
        return parts[0]["text"]
    return parts or (None if content is None else "")


def _chat_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = part.get("type")
    if kind in _TEXT_PARTS:
        return {"type": "text", "text": part.get("text", "")}
    if kind == "input_image":
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part.get("image_url"), **detail}}
    return part


def _response_items(items: tuple[Mapping[str, Any], ...]) -> Iterator[dict[str, Any]]:
    for item in items:
        if "role" not in item:
            yield dict(item)
        elif item["role"] == "tool":
            output = "".join(part.get("text", "") for part in _parts(item.get("content")))
            yield {"type": "function_call_output", "call_id": item.get("tool_call_id"), "output": output}
        else:
            content = [_response_part(part, item["role"]) for part in _parts(item.get("content"))]
            if content:
                yield {"role": item["role"], "content": content}
            for call in item.get("tool_calls") or ():
                yield {"type": "function_call", "call_id": call.get("id"), **call.get("function", {})}


def _response_part(part: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    kind = part.get("type")
    if kind in _TEXT_PARTS:
        return {
            "type": "output_text" if role == "assistant" else "input_text",
            "text": part.get("text", ""),
        }
    if kind == "image_url":
        image = part.get("image_url")
        image = {"url": image} if isinstance(image, str) else image or {}
        return {
            "type": "input_image",
            "image_url": image.get("url"),
            "detail": image.get("detail") or "auto",
        }
    if kind == "input_audio":
        raise NotSendable('audio cannot be sent to /responses; use api = "chat" for this model')
    return part
