"""What people hand over as a sample, an item or a row, and what it has to come to at every door.

Each shape has one expectation: a reward, or the flag of the refusal. `as_json` is what a client or a file holds where
the value itself only exists in Python.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.specs import python, string_check

UNREADABLE = "sample_parse_error"
MISSING = "invalid_variable_error"

#: Not given: the JSON form is the value itself.
SAME = object()


@dataclass(frozen=True)
class Shape:
    """One thing that is handed over.

    Attributes:
        about: What it is, and the finding that it comes from.
        want: The reward, or the flag of the refusal.
        as_json: Its JSON form; None where it has none, so that servers and files never see it.
    """

    about: str
    sample: Any
    item: Any
    want: float | str
    as_json: Any = SAME

    @property
    def has_json(self) -> bool:
        return self.as_json is not None

    def json_row(self) -> dict[str, Any]:
        sample, item = (self.sample, self.item) if self.as_json is SAME else self.as_json
        return {"sample": sample, "item": item}


class Dumps:
    """An SDK's object."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def model_dump(self, mode: str = "python") -> Any:
        return self.data


class Tensor:
    """A tensor, by what it can do: torch is not installed where the tests run."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def numel(self) -> int:
        return len(self.values)

    def item(self) -> Any:
        (value,) = self.values
        return value

    def tolist(self) -> list[Any]:
        return self.values


class NaTType:
    """pandas' missing date, by what it does: it is equal to nothing and has an isoformat."""

    def isoformat(self) -> str:
        return "NaT"

    def __ne__(self, other: object) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]  # a class without a hash is the point


class NAType:
    """pandas' missing value: a comparison of it has no truth value."""

    def __ne__(self, other: object) -> Any:
        return self

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None  # type: ignore[assignment]  # a class without a hash is the point


class Word(str, enum.Enum):  # noqa: UP042  # its `str` is not its value, which is the case
    PARIS = "Paris"


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "never this"


# --- samples ------------------------------------------------------------------------------------------------------

CALL = {"id": "c1", "type": "function", "function": {"name": "get", "arguments": "{}"}}
MESSAGE = {"role": "assistant", "content": "Paris"}
USER = {"role": "user", "content": "Capital of France?"}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}],
}
OUTPUT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Paris"}]}
RESPONSE = {
    "id": "r",
    "object": "response",
    "model": "m",
    "output": [{"type": "reasoning", "summary": []}, OUTPUT],
}
BATCH_LINE = {
    "id": "batch_req_1",
    "custom_id": "a",
    "error": None,
    "response": {"status_code": 200, "request_id": "r", "body": COMPLETION},
}
EXPORT = {
    "trajectory": [],
    "outputs": [{**MESSAGE, "tool_calls": None}],
    "finish_reason": "stop",
    "sampled_model_name": "m",
    "error": None,
    "token_usage": None,
}
EVALS = {"input": [USER], "output": [MESSAGE], "finish_reason": "stop", "model": "m", "error": None}

ITEM = {"answer": "Paris"}
GOOD: list[tuple[str, Any]] = [
    ("text", "Paris"),
    ("a text of a class of its own", Text("Paris")),
    ("an enum that is a text", Word.PARIS),
    ("a NumPy text", np.str_("Paris")),
    ("bytes", b"Paris"),
    ("a sample object", {"output_text": "Paris"}),
    ("a sample object with nulls", {"output_text": "Paris", "output_json": None, "output_tools": None, "choices": None}),
    ("choices alone", {"choices": COMPLETION["choices"]}),
    ("choices and null texts", {"output_text": None, "choices": COMPLETION["choices"]}),
    ("an assistant message", MESSAGE),
    ("a message with the SDK's nulls", {**MESSAGE, "refusal": None, "tool_calls": None, "audio": None}),
    ("content in parts", {"role": "assistant", "content": [{"type": "text", "text": "Pa"}, {"type": "text", "text": "ris"}]}),
    ("content as one part", {"role": "assistant", "content": {"type": "text", "text": "Paris"}}),
    ("content in parts of the Assistants API", {"role": "assistant", "content": [{"type": "text", "text": {"value": "Paris", "annotations": []}}]}),
    ("a message of Anthropic's", {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Paris"}], "stop_reason": "end_turn"}),
    ("a list of one message", [MESSAGE]),
    ("a conversation", [USER, MESSAGE]),
    ("a tuple of messages", (USER, MESSAGE)),
    ("a conversation with system and tools", [{"role": "system", "content": "x"}, USER, {"role": "tool", "content": "y"}, MESSAGE]),
    ("a conversation that ends with a tool", [USER, MESSAGE, {"role": "tool", "content": "y", "tool_call_id": "c"}]),
    ("a chat completion", COMPLETION),
    ("a completion without its object field", {"model": "m", "choices": COMPLETION["choices"]}),
    ("an older completion", {"object": "text_completion", "choices": [{"index": 0, "text": "Paris"}]}),
    ("a response", RESPONSE),
    ("a response without its object field", {"model": "m", "output": [OUTPUT]}),
    ("a response's output items", [{"type": "reasoning", "summary": []}, OUTPUT]),
    ("an output item", OUTPUT),
    ("F6: an exported sample of a reinforcement job", EXPORT),
    ("an exported sample of Evals", EVALS),
    ("a line of the Batch API", BATCH_LINE),
    ("a batch line's response", BATCH_LINE["response"]),
    ("a batch line with a response inside", {"custom_id": "a", "response": {"status_code": 200, "body": RESPONSE}, "error": None}),
]  # fmt: skip
PYTHON_ONLY: list[tuple[str, Any, Any]] = [
    ("an SDK's completion", Dumps(COMPLETION), COMPLETION),
    ("an SDK's response", Dumps(RESPONSE), RESPONSE),
    ("an SDK's message", Dumps(MESSAGE), MESSAGE),
    ("a list of an SDK's messages", [Dumps(USER), Dumps(MESSAGE)], [USER, MESSAGE]),
    ("an array of messages", np.array([USER, MESSAGE], object), [USER, MESSAGE]),
]
TOOLS: list[tuple[str, Any, float]] = [
    ("a message whose nulls were dropped, and that only reasons", {"role": "assistant", "reasoning_content": "hm"}, 0.0),
    ("F2: a message without content", {"role": "assistant", "tool_calls": [CALL]}, 1.0),
    ("a message with null content", {"role": "assistant", "content": None, "tool_calls": [CALL]}, 1.0),
    ("two calls in a completion", {**COMPLETION, "choices": [{"message": {"role": "assistant", "tool_calls": [CALL, CALL]}}]}, 2.0),
    ("calls of an exported sample", {**EXPORT, "outputs": [{"role": "assistant", "content": "", "tool_calls": [CALL]}]}, 1.0),
    ("a function call of a response", {"object": "response", "output": [{"type": "function_call", "call_id": "c", "name": "get", "arguments": "{}"}]}, 1.0),
    ("tools of a sample object", {"output_text": "", "output_tools": [CALL]}, 1.0),
    ("F7: no tools of a text", "Paris", 0.0),
    ("no tools of a message", MESSAGE, 0.0),
    ("no tools of a completion", COMPLETION, 0.0),
    ("no tools of a response", RESPONSE, 0.0),
    ("tools that are null", {"output_text": "x", "output_tools": None}, 0.0),
]  # fmt: skip
BAD: list[tuple[str, Any]] = [
    ("F2: an object with the answer", {"answer": "Paris"}),
    ("F2: content without a role", {"content": "Paris"}),
    ("F2: an empty object", {}),
    ("a text under another name", {"text": "Paris"}),
    ("all keys null", {"output_text": None, "output_json": None}),
    ("output as text", {"output": "Paris"}),
    ("a row instead of a sample", {"item": ITEM, "sample": "Paris"}),
    ("a number", 5),
    ("a boolean", True),
    ("null", None),
    ("no messages", []),
    ("users alone", [USER, USER]),
    ("one user's message in a list", [USER]),
    ("a user's message", USER),
    ("a message of Gemini's", {"role": "assistant", "parts": [{"text": "Paris"}]}),
    ("a message under another key", {"role": "assistant", "text": "Paris"}),
    ("a part whose text is a number", {"role": "assistant", "content": [{"type": "text", "text": 5}]}),
    ("a part that is a number", {"role": "assistant", "content": [5]}),
    ("an output_text that is a number", {"output_text": 5}),
    ("an output_text that is a list", {"output_text": ["Paris"]}),
    ("a response whose output is a text", {"object": "response", "output": "Paris"}),
    ("a response that is not done", {"object": "response", "status": "in_progress", "output": []}),
    ("a response that was cancelled", {"object": "response", "status": "cancelled", "output": []}),
    ("an answer of Gemini's", {"candidates": [{"content": {"role": "model", "parts": [{"text": "Paris"}]}}]}),
    ("an answer of Ollama's", {"model": "m", "message": MESSAGE, "done": True}),
    ("a conversation of ShareGPT's", [{"from": "human", "value": "x"}, {"from": "gpt", "value": "Paris"}]),
    ("a conversation of LangChain's", [{"type": "human", "content": "x"}, {"type": "ai", "content": "Paris"}]),
    ("a list of texts", ["Paris"]),
    ("a content part", [{"type": "output_text", "text": "Paris"}]),
    ("content that is a number", {"role": "assistant", "content": 5}),
    ("a completion without choices", {"object": "chat.completion", "choices": []}),
    ("a chunk of a stream", {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Paris"}}]}),
    ("an API's error", {"error": {"message": "no quota", "code": "insufficient_quota"}}),
    ("a batch line that failed", {"custom_id": "a", "response": {"status_code": 429, "body": {"error": {"message": "slow"}}}, "error": None}),
    ("a batch line without a response", {"custom_id": "a", "response": None, "error": {"message": "expired"}}),
    ("a response that failed", {"object": "response", "output": [], "error": {"message": "server error"}}),
    ("an exported sample without outputs", {**EXPORT, "outputs": [], "error": {"message": "timeout"}}),
]  # fmt: skip

TEXT_SPEC = string_check()
TEXT_PROGRAM = python("def grade(sample, item):\n    return float(sample['output_text'] == item['answer'])\n")
TOOLS_PROGRAM = python("def grade(sample, item):\n    return float(len(sample.get('output_tools', [])))\n")

# --- values of an item --------------------------------------------------------------------------------------------

BIG = 2**64 + 1
NOW = datetime.datetime(2025, 1, 2, 3, 4, 5)
#: What it is, the value, its text in a template, its JSON value.
VALUES: list[tuple[str, Any, str, Any]] = [
    ("text", "a", "a", "a"),
    ("a number", 4, "4", 4),
    ("a decimal number", 0.5, "0.5", 0.5),
    ("a boolean", True, "true", True),
    ("null", None, "null", None),
    ("a list", [1, "a"], '[1, "a"]', [1, "a"]),
    ("an object", {"a": 1}, '{"a": 1}', {"a": 1}),
    ("A2: a number beyond 53 bits", 2**53 + 1, str(2**53 + 1), 2**53 + 1),
    ("A2: a number beyond 64 bits", BIG, str(BIG), BIG),
    ("A2: a long negative number", -(10**30) - 1, str(-(10**30) - 1), -(10**30) - 1),
    ("a NumPy integer", np.int64(4), "4", 4),
    ("a NumPy float", np.float32(0.5), "0.5", 0.5),
    ("a NumPy float of Python's class", np.float64(0.5), "0.5", 0.5),
    ("a NumPy boolean", np.bool_(True), "true", True),
    ("a NumPy text", np.str_("a"), "a", "a"),
    ("an array", np.array([1, 2]), "[1, 2]", [1, 2]),
    ("an array of rank 2", np.array([[1], [2]]), "[[1], [2]]", [[1], [2]]),
    ("an array of rank 0", np.array(4), "4", 4),
    ("an array of objects", np.array([{"a": np.int64(1)}], object), '[{"a": 1}]', [{"a": 1}]),
    ("a NumPy date", np.datetime64("2025-01-02"), "2025-01-02", "2025-01-02"),
    ("a NumPy missing date", np.datetime64("NaT"), "null", None),
    ("a tensor of one element", Tensor([4]), "4", 4),
    ("a tensor", Tensor([4, 5]), "[4, 5]", [4, 5]),
    ("a date", NOW.date(), "2025-01-02", "2025-01-02"),
    ("a date and time", NOW, "2025-01-02T03:04:05", "2025-01-02T03:04:05"),
    ("A8: a decimal by its text", decimal.Decimal("1.10"), "1.10", "1.10"),
    ("a decimal that is no number", decimal.Decimal("NaN"), "null", None),
    ("an enum", Colour.RED, "red", "red"),
    ("A8: an enum that is a text", Word.PARIS, "Paris", "Paris"),
    ("an enum that is a number", Level.HIGH, "3", 3),
    ("a text of a class of its own", Text("a"), "a", "a"),
    (
        "a UUID",
        uuid.UUID(int=1),
        "00000000-0000-0000-0000-000000000001",
        "00000000-0000-0000-0000-000000000001",
    ),
    ("bytes that are text", b"a", "a", "a"),
    ("bytes that are not", b"\xff", "/w==", "/w=="),
    ("A8: NaN", float("nan"), "null", None),
    ("NumPy's NaN", np.float64("nan"), "null", None),
    ("A8: pandas' NaT", NaTType(), "null", None),
    ("pandas' NA", NAType(), "null", None),
    ("NaN in a list", [1.0, float("nan")], "[1.0, null]", [1.0, None]),
    ("a tuple", (1, 2), "[1, 2]", [1, 2]),
    ("keys that are numbers", {1: "a"}, '{"1": "a"}', {"1": "a"}),
]
#: What has no JSON form: refused with the field's name, never str()'d.
NO_VALUES: list[tuple[str, Any]] = [
    ("infinity", float("inf")),
    ("NumPy's infinity", np.float32("-inf")),
    ("A8: an object", object()),
    ("a generator", (n for n in range(3))),
    ("A8: a set", {1}),
    ("a complex number", 1j),
    ("a duration", datetime.timedelta(1)),
    ("a NumPy duration", np.timedelta64(1, "D")),
    ("a function", len),
    ("an object deep inside", {"a": [{"b": object()}]}),
]
VALUE_SPEC = string_check(input="{{item.value}}", reference="{{item.text}}")
VALUE_PROGRAM = python(
    "def grade(sample, item):\n    return float(repr(item['value']) == item['repr'] and item['repr'] != '')\n"
)


def _values() -> list[Shape]:
    shapes = []
    for about, value, text, plain in VALUES:
        item = {"value": value, "text": text, "repr": repr(plain)}
        shapes.append(Shape(about, "x", item, 1.0, ("x", {**item, "value": plain})))
    return shapes


SAMPLES = [
    *(Shape(about, sample, ITEM, 1.0, (str.__str__(sample) if isinstance(sample, str) else sample, ITEM)
            if not isinstance(sample, bytes) else ("Paris", ITEM)) for about, sample in GOOD),
    *(Shape(about, sample, ITEM, 1.0, (plain, ITEM)) for about, sample, plain in PYTHON_ONLY),
    *(Shape(about, sample, ITEM, UNREADABLE) for about, sample in BAD),
]  # fmt: skip
#: Spec -> what is handed to it.
BATTERY: dict[str, tuple[dict[str, Any], list[Shape]]] = {
    "samples in a template": (TEXT_SPEC, SAMPLES),
    "samples in a program": (TEXT_PROGRAM, SAMPLES),
    "tools in a program": (TOOLS_PROGRAM, [Shape(about, sample, ITEM, want) for about, sample, want in TOOLS]),
    "values in a template": (
        VALUE_SPEC,
        [*_values(), *(Shape(about, "x", {"value": value, "text": "a", "repr": ""}, UNREADABLE, None) for about, value in NO_VALUES)],
    ),
    "values in a program": (
        VALUE_PROGRAM,
        [*_values(), *(Shape(about, "x", {"value": value, "text": "a", "repr": ""}, UNREADABLE, None) for about, value in NO_VALUES)],
    ),
}  # fmt: skip


# --- rows ---------------------------------------------------------------------------------------------------------

QUESTION = {"question": "Capital of France?", "answer": "Paris"}
#: What it is, the row, the spec, what it comes to.
ROWS: list[tuple[str, dict[str, Any], dict[str, Any], float | str]] = [
    ("the wire's", {"sample": "Paris", "item": ITEM}, TEXT_SPEC, 1.0),
    ("the run endpoint's names", {"model_sample": "Paris", "item": ITEM}, TEXT_SPEC, 1.0),
    ("M6: a flat row with a completion", {"completion": "Paris", **QUESTION}, TEXT_SPEC, 1.0),
    ("a flat row with an output", {"output": "Paris", **QUESTION}, TEXT_SPEC, 1.0),
    ("a flat row with output_text", {"output_text": "Paris", **QUESTION}, TEXT_SPEC, 1.0),
    ("a flat row with a sample", {"sample": "Paris", **QUESTION}, TEXT_SPEC, 1.0),
    ("messages that end with the answer", {"messages": [USER, MESSAGE], "answer": "Paris"}, TEXT_SPEC, 1.0),
    ("F6: a row of a job's export", {"run_id": "r", "data_source_idx": 0, "item": ITEM, "sample": EXPORT}, TEXT_SPEC, 1.0),
    ("an output item of Evals", {"id": "o", "datasource_item_id": 1, "datasource_item": ITEM, "sample": EVALS}, TEXT_SPEC, 1.0),
    ("an item as JSON text", {"sample": "Paris", "item": json.dumps(ITEM)}, TEXT_SPEC, 1.0),
    ("F8: an item alone", {"item": {"value": "a", "text": "a"}}, VALUE_SPEC, 1.0),
    ("an item alone, and the sample is read", {"item": ITEM}, TEXT_SPEC, UNREADABLE),
    ("an item that is a list", {"sample": "Paris", "item": [1]}, TEXT_SPEC, UNREADABLE),
    ("no item, and it is read", {"sample": "Paris"}, TEXT_SPEC, MISSING),
    ("a batch line with its item beside it", {**BATCH_LINE, "item": ITEM}, TEXT_SPEC, 1.0),
]  # fmt: skip
