"""Model outputs in the form that the service gives to graders.

A Sample has the keys `output_text`, `output_json`, `output_tools` and `choices`. Derived values (parsed JSON,
`choices`) are computed when they are first read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from graders.errors import SampleParseError
from graders.jsontext import parse

#: The keys of a sample object; every python grader may rely on them.
SAMPLE_KEYS = ("choices", "output_text", "output_json", "output_tools")
#: Types of content parts that must have a text.
_TEXT_PARTS = ("text", "output_text")
#: The types of JSON objects. `dict` stands first, since its check is four times faster than an abstract class's.
OBJECT = (dict, Mapping)


class Sample(dict[str, Any]):
    """The service's view of one model output; absent keys are derived when first read."""

    __slots__ = ()

    def __missing__(self, key: str) -> Any:
        derive = _DERIVED.get(key)
        if derive is None:
            raise KeyError(key)
        value = derive(self)
        # the alias is never stored: python graders must not see it
        if key != "output":
            self[key] = value
        return value

    def complete(self) -> dict[str, Any]:
        """A plain dict with all keys that python graders see: None for a key that cannot be derived, [] for no tools.

        Raises:
            SampleParseError: the row has no sample.
        """
        whole: dict[str, Any] = {key: _or_none(self, key) for key in SAMPLE_KEYS}
        whole["output_reasoning_summary"] = None
        whole.update(self)
        return whole


class NoSample(Sample):
    """The placeholder of a row without a sample: reading it is an error, so graders of the item alone work."""

    __slots__ = ()

    def __missing__(self, key: str) -> NoReturn:
        raise SampleParseError(
            "the row has no sample, which this grader reads; a sample is the model's text, a sample object, chat "
            "messages, a chat completion or a response"
        )


def _or_none(sample: Sample, key: str) -> Any:
    try:
        return sample[key]
    except KeyError:
        return None


def _first_message(sample: Sample) -> Mapping[str, Any]:
    choices = dict.get(sample, "choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], OBJECT):
        message = choices[0].get("message")
        if isinstance(message, OBJECT):
            return message
    return {}


def _output_text(sample: Sample) -> str:
    message = _first_message(sample)
    if not message:
        raise KeyError("output_text")
    return text_of(message.get("content"))


def _output_json(sample: Sample) -> Any:
    text = sample["output_text"]
    if not isinstance(text, str):
        raise KeyError("output_json")
    try:
        return parse(text)
    except ValueError:
        raise KeyError("output_json") from None


def _output_tools(sample: Sample) -> Any:
    return _first_message(sample).get("tool_calls") or []


def _choices(sample: Sample) -> list[dict[str, Any]]:
    return [choice_of(sample["output_text"], {"tool_calls": sample["output_tools"]})]


_DERIVED: dict[str, Callable[[Sample], Any]] = {
    "output_text": _output_text,
    "output_json": _output_json,
    "output_tools": _output_tools,
    "choices": _choices,
    # the public reference's own reinforcement example uses it; validate warns, strict refuses
    "output": lambda sample: sample["output_text"],
}


def text_of(content: Any) -> str:
    """The text of a chat message's content: a string, null, or parts, which are joined.

    Raises:
        SampleParseError: it is none of these.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content if content.__class__ is str else str.__str__(content)
    if isinstance(content, OBJECT):
        content = [content]
    if isinstance(content, Sequence):
        return "".join(map(_text_of_part, content))
    raise SampleParseError(
        f"a message's content is a {type(content).__name__}; expected text or a list of parts"
    )


def _text_of_part(part: Any) -> str:
    """The text of one part; "" for images, calls and other parts without text."""
    if isinstance(part, str):
        return part
    if not isinstance(part, OBJECT):
        raise SampleParseError(f"a part of a message is a {type(part).__name__}; expected text or an object")
    text = part.get("text")
    if isinstance(text, OBJECT):
        # messages of the Assistants API
        text = text.get("value")
    if text is None and part.get("type") not in _TEXT_PARTS:
        return ""
    if not isinstance(text, str):
        raise SampleParseError(f"a part's text is a {type(text).__name__}; expected text")
    return text


def choice_of(text: Any, message: Mapping[str, Any]) -> dict[str, Any]:
    """The one choice of a completion that holds this message, every key of a message present."""
    whole: dict[str, Any] = {"role": "assistant", "refusal": None, "tool_calls": [], "function_call": None}
    whole.update(message)
    whole["content"] = text
    whole["tool_calls"] = tools = whole["tool_calls"] or []
    return {"index": 0, "message": whole, "finish_reason": "tool_calls" if tools else "stop"}
