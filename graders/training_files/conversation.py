"""Conversations in training rows: faults of their messages and tools.

faults = list(conversation_faults(row["messages"]))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from graders.jsontext import loads
from graders.spec.wording import Json, bad_value, type_word
from graders.suggest import did_you_mean

#: A row of the file.
DataRow: TypeAlias = Mapping[str, Json]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MESSAGE_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "weight", "refusal")
#: Control tokens that the service refuses in a text: "message contains an invalid token: <|fim_suffix|>".
FORBIDDEN_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a row.

    Attributes:
        code: A stable word for programs; docs/problems.md lists them all.
        message: The description, in the service's words where it has some.
        index: Index of the message, from 0; None: the whole row.
        severity: "error" or "warning".
    """

    code: str
    message: str
    index: int | None = None
    severity: str = "error"


def conversation_faults(messages: Json) -> Iterator[Fault]:
    """Faults of a list of messages, regardless of the last speaker."""
    if not isinstance(messages, list) or not messages:
        found = "an empty array" if messages == [] else type_word(messages)
        yield Fault("invalid_messages", f"'messages' is {found}; expected an array of messages")
        return
    called: set[str] = set()
    for index, message in enumerate(messages):
        for fault in _message(message, called):
            yield replace(fault, index=index)


def _message(message: Json, called: set[str]) -> Iterator[Fault]:
    """Faults of one message.

    Args:
        called: Ids of the tool calls so far; this message's are added.
    """
    if not isinstance(message, Mapping):
        yield Fault("invalid_messages", f"the message is {type_word(message)}; expected an object")
        return
    if "role" not in message:
        yield Fault("missing_role", "Discriminator 'role' is missing in value")
        return
    role = message["role"]
    if role not in ROLES:
        yield Fault("invalid_role", f"'role': {bad_value(role, ROLES)}")
        return
    for key in message:
        if key not in MESSAGE_KEYS:
            yield Fault(
                "unknown_message_key",
                f"the message has {key!r}, which is not used. {did_you_mean(key, MESSAGE_KEYS)}".rstrip(),
                severity="warning",
            )
    if "weight" in message and (role != "assistant" or message["weight"] not in (0, 1)):
        yield Fault(
            "invalid_weight",
            f"'weight' is {message['weight']!r} on a message of role {role!r}; expected 0 or 1, on assistant messages",
        )
    yield from _content(message)
    yield from _tool_calls(message, called)


def _content(message: DataRow) -> Iterator[Fault]:
    content = message.get("content")
    if content is None or content == "" or content == []:
        if message["role"] == "assistant":
            if not message.get("tool_calls") and not message.get("function_call"):
                yield Fault("empty_answer", "the assistant's message has neither content nor tool_calls")
        elif content is None:
            yield Fault("missing_content", "the message is missing key 'content'")
    elif isinstance(content, list):
        for part in content:
            kind = part.get("type") if isinstance(part, Mapping) else type_word(part)
            if kind != "text" or not isinstance(part.get("text"), str):
                yield Fault("unsupported_content", f"a content part of type {kind!r}; expected text")
    elif not isinstance(content, str):
        yield Fault("invalid_content", f"'content' is {type_word(content)}; expected a string")
    yield from token_faults(message, FORBIDDEN_TOKENS, "error")


def token_faults(message: DataRow, tokens: Sequence[str], severity: str) -> Iterator[Fault]:
    """Control tokens in a message's text, which a model would learn with their function."""
    for text in texts_of(message):
        for token in tokens:
            if token in text:
                yield Fault("invalid_token", f"message contains an invalid token: {token}", severity=severity)


def texts_of(message: DataRow) -> list[str]:
    """The texts of a message's content."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return [text for text in texts if isinstance(text, str)]


def _tool_calls(message: DataRow, called: set[str]) -> Iterator[Fault]:
    calls = message.get("tool_calls")
    if calls is not None and message["role"] != "assistant":
        yield Fault("invalid_tool_call", f"'tool_calls' on a message of role {message['role']!r}")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            yield Fault("invalid_tool_call", "a tool call without 'function.name'")
            continue
        called.add(str(call.get("id")))
        try:
            loads(function["arguments"].encode())
        except (KeyError, AttributeError, ValueError):
            text = f"the arguments of the call of {function['name']!r} are not the text of a JSON object"
            yield Fault("invalid_tool_call", text)
    if calls is not None and not isinstance(calls, list):
        yield Fault("invalid_tool_call", f"'tool_calls' is {type_word(calls)}; expected an array")
    if message["role"] == "tool" and str(message.get("tool_call_id")) not in called:
        text = f"'tool_call_id' is {message.get('tool_call_id')!r}, which no tool call before it has"
        yield Fault("unmatched_tool_call", text)


def tool_faults(row: DataRow) -> Iterator[Fault]:
    """Faults of `tools`, and calls of tools that are not among them."""
    tools = row.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list) or not all(isinstance(_tool_name(tool), str) for tool in tools):
        yield Fault("invalid_tools", "'tools' holds what is no tool; expected objects with 'function.name'")
        return
    names = {_tool_name(tool) for tool in tools}
    messages = row.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        calls = message.get("tool_calls") if isinstance(message, Mapping) else None
        for call in calls if isinstance(calls, list) else ():
            name = _tool_name(call)
            if name is not None and name not in names:
                yield Fault("unknown_tool", f"a call of {name!r}, which 'tools' does not have", index)


def _tool_name(tool: Json) -> Json:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


def extra_keys(row: DataRow, known: tuple[str, ...]) -> Iterator[Fault]:
    for key in row:
        if key not in known:
            yield Fault("extra_key", f'contains an extra "{key}". {did_you_mean(key, known)}'.rstrip())


def missing_keys(row: DataRow, keys: tuple[str, ...]) -> Iterator[Fault]:
    for key in keys:
        if key not in row:
            yield Fault("missing_key", f"is missing key '{key}'.")


def role_of(message: Json) -> Json:
    return message.get("role") if isinstance(message, Mapping) else None
