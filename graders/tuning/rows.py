"""Training rows of the three methods: what is wrong with one, and its form for the trainer.

    method = METHODS["dpo"]
    faults = list(method.faults(row))
    written = method.for_trainer(row)

Forms by the service's reference: chat conversations or prompt and completion for `supervised`; an input with a preferred
and a non-preferred output for `dpo`, also as `messages` with `preferred` and `dispreferred`; a conversation that ends
with the user, and whatever the grader reads, for `reinforcement`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from graders.fields import FieldError, detect_fields, item_of
from graders.jsontext import loads
from graders.spec.wording import Json, bad_value, type_word
from graders.suggest import did_you_mean

#: A row as it was read.
DataRow: TypeAlias = Mapping[str, Json]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MESSAGE_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "weight", "refusal")
CHAT_KEYS = ("messages", "tools", "parallel_tool_calls", "functions")
INPUT_KEYS = ("messages", "tools", "parallel_tool_calls")
PAIR_KEYS = ("input", "preferred_output", "non_preferred_output")
#: The second form of a preference row: the two answers stand beside the messages.
SHORT_PAIR_KEYS = ("messages", "preferred", "dispreferred")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a row.

    Attributes:
        code: A stable word for programs; docs/problems.md lists them all.
        message: In the service's words where it has some.
        index: The message it is about, from 0; None: the whole row.
        severity: "error" or "warning".
    """

    code: str
    message: str
    index: int | None = None
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Method:
    """How the rows of one method are checked and written for the trainer.

    Attributes:
        faults: What is wrong with a row; nothing when the trainer can take it.
        for_trainer: A row without errors in the trainer's form (trainer/graders_train/rows.py).
    """

    faults: Callable[[DataRow], Iterator[Fault]]
    for_trainer: Callable[[DataRow], dict[str, Json]]


# --- messages -----------------------------------------------------------------------------------------------------


def _conversation(messages: Json) -> Iterator[Fault]:
    """Faults of a list of messages, whoever speaks last."""
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


def _tools(row: DataRow) -> Iterator[Fault]:
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


def _extra(row: DataRow, known: tuple[str, ...]) -> Iterator[Fault]:
    for key in row:
        if key not in known:
            yield Fault("extra_key", f'contains an extra "{key}". {did_you_mean(key, known)}'.rstrip())


def _missing(row: DataRow, keys: tuple[str, ...]) -> Iterator[Fault]:
    for key in keys:
        if key not in row:
            yield Fault("missing_key", f"is missing key '{key}'.")


def _role(message: Json) -> Json:
    return message.get("role") if isinstance(message, Mapping) else None


def _plain(message: Mapping[str, Json]) -> dict[str, Json]:
    """A message whose content is one text, which every chat template takes."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    return {**message, "content": content or ""}


def _written(row: DataRow, messages: str, key: str) -> dict[str, Json]:
    written: dict[str, Json] = {key: [_plain(message) for message in row[messages]]}
    if row.get("tools"):
        written["tools"] = row["tools"]
    return written


# --- supervised ---------------------------------------------------------------------------------------------------


def _supervised_faults(row: DataRow) -> Iterator[Fault]:
    if "messages" not in row and "completion" in row:
        yield from _missing(row, ("prompt",))
        yield from _extra(row, ("prompt", "completion"))
        for key in ("prompt", "completion"):
            if key in row and not isinstance(row[key], str):
                yield Fault("invalid_content", f"'{key}' is {type_word(row[key])}; expected a string")
        if row["completion"] == "":
            yield Fault("empty_answer", "'completion' is empty: there is nothing to learn")
        return
    yield from _missing(row, ("messages",))
    yield from _extra(row, CHAT_KEYS)
    if "messages" not in row:
        return
    yield from _conversation(row["messages"])
    yield from _tools(row)
    if isinstance(row["messages"], list) and row["messages"]:
        yield from _learned(row["messages"])


def _learned(messages: list[Json]) -> Iterator[Fault]:
    if _role(messages[-1]) in ROLES and _role(messages[-1]) != "assistant":
        text = f"the last message must be from the assistant, and is from {_role(messages[-1])!r}"
        yield Fault("last_role", text, len(messages) - 1)
    answers = [message for message in messages if _role(message) == "assistant"]
    if answers and all(message.get("weight") == 0 for message in answers):
        yield Fault("nothing_learned", "every assistant message has weight 0: there is nothing to learn")


def _supervised_written(row: DataRow) -> dict[str, Json]:
    return dict(row) if "completion" in row else _written(row, "messages", "messages")


# --- preferences --------------------------------------------------------------------------------------------------


def _is_short_pair(row: DataRow) -> bool:
    return "input" not in row and ("preferred" in row or "dispreferred" in row)


def _pair(row: DataRow) -> DataRow:
    """A preference row in the form of the service's reference."""
    if not _is_short_pair(row):
        return row
    sides = {"preferred": "preferred_output", "dispreferred": "non_preferred_output"}
    pair: dict[str, Json] = {"input": {key: row[key] for key in INPUT_KEYS if key in row}}
    for short, name in sides.items():
        if short in row:
            answer = row[short]
            pair[name] = [{"role": "assistant", **answer}] if isinstance(answer, Mapping) else answer
    return pair


def _dpo_faults(row: DataRow) -> Iterator[Fault]:
    if _is_short_pair(row):
        yield from _extra(row, (*SHORT_PAIR_KEYS, *INPUT_KEYS))
        text = (
            "has 'messages', 'preferred' and 'dispreferred', which works here; the hosted service takes 'input', "
            "'preferred_output' and 'non_preferred_output'"
        )
        yield Fault("short_pair", text, severity="warning")
    pair = _pair(row)
    yield from _missing(pair, PAIR_KEYS)
    if pair is row:
        yield from _extra(row, PAIR_KEYS)
    if "input" in pair:
        given = pair["input"]
        if not isinstance(given, Mapping):
            yield Fault("invalid_messages", f"'input' is {type_word(given)}; expected an object")
        else:
            yield from _missing(given, ("messages",))
            yield from _extra(given, INPUT_KEYS)
            if "messages" in given:
                yield from _conversation(given["messages"])
            yield from _tools(given)
    for side in PAIR_KEYS[1:]:
        if side in pair:
            yield from _side(side, pair[side])
    preferred, other = pair.get("preferred_output"), pair.get("non_preferred_output")
    if preferred is not None and preferred == other:
        yield Fault("equal_sides", "the preferred and the non-preferred output are equal")


def _side(name: str, side: Json) -> Iterator[Fault]:
    if not isinstance(side, list) or len(side) != 1 or _role(side[0]) != "assistant":
        yield Fault("invalid_side", f"'{name}' is not one message of the assistant in an array")
        return
    for fault in _conversation(side):
        yield Fault(fault.code, f"'{name}': {fault.message}", severity=fault.severity)


def _dpo_written(row: DataRow) -> dict[str, Json]:
    pair = _pair(row)
    written = _written(pair["input"], "messages", "prompt")
    return {
        **written,
        "chosen": [_plain(message) for message in pair["preferred_output"]],
        "rejected": [_plain(message) for message in pair["non_preferred_output"]],
    }


# --- reinforcement ------------------------------------------------------------------------------------------------


def _reinforcement_faults(row: DataRow) -> Iterator[Fault]:
    yield from _missing(row, ("messages",))
    if "messages" not in row:
        return
    yield from _conversation(row["messages"])
    if isinstance(row["messages"], list) and row["messages"] and _role(row["messages"][-1]) in ROLES:
        last = _role(row["messages"][-1])
        if last not in ("user", "developer"):
            text = f"the last message must be from the user, and is from {last!r}"
            yield Fault("last_role", text, len(row["messages"]) - 1)
    if row.get("tools"):
        yield Fault("unsupported_tools", "has 'tools': rollouts that call tools are not supported")


def training_item(row: DataRow) -> Mapping[str, Json]:
    """What a reinforcement job's grader reads as `item`: the same as when the row is graded."""
    try:
        found = item_of(row, detect_fields(row, samples=False))
    except FieldError:
        found = row
    return found if isinstance(found, Mapping) else row


def _reinforcement_written(row: DataRow) -> dict[str, Any]:
    return {"prompt": [_plain(message) for message in row["messages"]], "item": dict(training_item(row))}


METHODS: dict[str, Method] = {
    "supervised": Method(_supervised_faults, _supervised_written),
    "dpo": Method(_dpo_faults, _dpo_written),
    "reinforcement": Method(_reinforcement_faults, _reinforcement_written),
}
