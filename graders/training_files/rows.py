"""Training rows of the three methods: their faults, and their form for the trainer.

    method = METHODS["dpo"]
    faults = list(method.faults(row))
    written = method.for_trainer(row)

Forms by the service's reference: chat conversations or prompt and completion for `supervised`; an input with a
preferred and a non-preferred output for `dpo`, also as `messages` with `preferred` and `dispreferred`; a conversation
that ends with the user, and the grader's fields, for `reinforcement`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graders.fields import FieldError, detect_fields, item_of
from graders.spec.wording import Json, type_word
from graders.training_files.conversation import (
    ROLES,
    DataRow,
    Fault,
    conversation_faults,
    extra_keys,
    missing_keys,
    role_of,
    tool_faults,
)

CHAT_KEYS = ("messages", "tools", "parallel_tool_calls", "functions")
INPUT_KEYS = ("messages", "tools", "parallel_tool_calls")
PAIR_KEYS = ("input", "preferred_output", "non_preferred_output")
#: The second form of a preference row: the two answers stand beside the messages.
SHORT_PAIR_KEYS = ("messages", "preferred", "dispreferred")


@dataclass(frozen=True, slots=True)
class Method:
    """The functions that check the rows of one method and write them for the trainer.

    Attributes:
        faults: Returns the faults of a row; none when the trainer accepts it.
        for_trainer: Returns a row without errors in the trainer's form (trainer/graders_train/rows.py).
    """

    faults: Callable[[DataRow], Iterator[Fault]]
    for_trainer: Callable[[DataRow], dict[str, Json]]


def _plain(message: Mapping[str, Json]) -> dict[str, Json]:
    """A message with a single text as content, which every chat template accepts."""
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
        yield from missing_keys(row, ("prompt",))
        yield from extra_keys(row, ("prompt", "completion"))
        for key in ("prompt", "completion"):
            if key in row and not isinstance(row[key], str):
                yield Fault("invalid_content", f"'{key}' is {type_word(row[key])}; expected a string")
        if row["completion"] == "":
            yield Fault("empty_answer", "'completion' is empty: there is nothing to learn")
        return
    yield from missing_keys(row, ("messages",))
    yield from extra_keys(row, CHAT_KEYS)
    if "messages" not in row:
        return
    yield from conversation_faults(row["messages"])
    yield from tool_faults(row)
    if isinstance(row["messages"], list) and row["messages"]:
        yield from _learned(row["messages"])


def _learned(messages: list[Json]) -> Iterator[Fault]:
    if role_of(messages[-1]) in ROLES and role_of(messages[-1]) != "assistant":
        text = f"the last message must be from the assistant, and is from {role_of(messages[-1])!r}"
        yield Fault("last_role", text, len(messages) - 1)
    answers = [message for message in messages if role_of(message) == "assistant"]
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
        yield from extra_keys(row, (*SHORT_PAIR_KEYS, *INPUT_KEYS))
        text = (
            "has 'messages', 'preferred' and 'dispreferred', which works here; the hosted service takes 'input', "
            "'preferred_output' and 'non_preferred_output'"
        )
        yield Fault("short_pair", text, severity="warning")
    pair = _pair(row)
    yield from missing_keys(pair, PAIR_KEYS)
    if pair is row:
        yield from extra_keys(row, PAIR_KEYS)
    if "input" in pair:
        given = pair["input"]
        if not isinstance(given, Mapping):
            yield Fault("invalid_messages", f"'input' is {type_word(given)}; expected an object")
        else:
            yield from missing_keys(given, ("messages",))
            yield from extra_keys(given, INPUT_KEYS)
            if "messages" in given:
                yield from conversation_faults(given["messages"])
            yield from tool_faults(given)
    for side in PAIR_KEYS[1:]:
        if side in pair:
            yield from _side(side, pair[side])
    preferred, other = pair.get("preferred_output"), pair.get("non_preferred_output")
    if preferred is not None and preferred == other:
        yield Fault("equal_sides", "the preferred and the non-preferred output are equal")


def _side(name: str, side: Json) -> Iterator[Fault]:
    if not isinstance(side, list) or len(side) != 1 or role_of(side[0]) != "assistant":
        yield Fault("invalid_side", f"'{name}' is not one message of the assistant in an array")
        return
    for fault in conversation_faults(side):
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
    yield from missing_keys(row, ("messages",))
    if "messages" not in row:
        return
    yield from conversation_faults(row["messages"])
    if isinstance(row["messages"], list) and row["messages"] and role_of(row["messages"][-1]) in ROLES:
        last = role_of(row["messages"][-1])
        if last not in ("user", "developer"):
            text = f"the last message must be from the user, and is from {last!r}"
            yield Fault("last_role", text, len(row["messages"]) - 1)
    if row.get("tools"):
        yield Fault("unsupported_tools", "has 'tools': rollouts that call tools are not supported")


def training_item(row: DataRow) -> Mapping[str, Json]:
    """The `item` of a reinforcement row, the same as when the row is graded."""
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
