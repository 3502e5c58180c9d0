"""One row: the two roots that a template can name, `sample` and `item`.

A sample comes in many shapes; here it becomes the mapping the service shows to its graders, with the keys
`output_text`, `output_json`, `output_tools` and `choices`. What has to be worked out (parsing JSON, building
`choices`) is worked out when it is first read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graders.errors import SampleParseError
from graders.jsontext import parse

#: What every python grader may rely on being there.
SAMPLE_KEYS = ("choices", "output_text", "output_json", "output_tools")


class Sample(dict[str, Any]):
    """The service's view of one model output; absent keys are derived on first look."""

    __slots__ = ()

    def __missing__(self, key: str) -> Any:
        derive = _DERIVED.get(key)
        if derive is None:
            raise KeyError(key)
        value = derive(self)
        if key != "output":  # an alias is looked up, never stored: python graders must not see it
            self[key] = value
        return value

    def complete(self) -> dict[str, Any]:
        """A plain dict with all of SAMPLE_KEYS; what cannot be derived is None."""
        whole: dict[str, Any] = {key: _or_none(self, key) for key in SAMPLE_KEYS}
        whole.update(self)
        return whole


def _or_none(sample: Sample, key: str) -> Any:
    try:
        return sample[key]
    except KeyError:
        return None


def _first_message(sample: Sample) -> Mapping[str, Any]:
    choices = dict.get(sample, "choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        if isinstance(message, dict):
            return message
    return {}


def _output_text(sample: Sample) -> str:
    message = _first_message(sample)
    if "content" not in message:
        raise KeyError("output_text")
    return text_of(message["content"])


def _output_json(sample: Sample) -> Any:
    text = sample["output_text"]
    if not isinstance(text, str):
        raise KeyError("output_json")
    try:
        return parse(text)
    except ValueError:
        raise KeyError("output_json") from None


def _output_tools(sample: Sample) -> Any:
    return _first_message(sample).get("tool_calls")


def _choices(sample: Sample) -> list[dict[str, Any]]:
    message = {
        "role": "assistant",
        "content": sample["output_text"],
        "refusal": None,
        "tool_calls": dict.get(sample, "output_tools"),
        "function_call": None,
    }
    return [{"index": 0, "message": message, "finish_reason": "stop"}]


_DERIVED: dict[str, Callable[[Sample], Any]] = {
    "output_text": _output_text,
    "output_json": _output_json,
    "output_tools": _output_tools,
    "choices": _choices,
    # stands in the public reference's own reinforcement example; validate warns, strict refuses
    "output": lambda sample: sample["output_text"],
}


def text_of(content: Any) -> str:
    """The text of a chat message's content: a string, null, or parts, which are joined."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if isinstance(content, Sequence):
        texts = [
            part if isinstance(part, str) else part.get("text") or "" for part in content if _is_text(part)
        ]
        return "".join(texts)
    raise SampleParseError(
        f"a message's content is a {type(content).__name__}; expected text or a list of parts"
    )


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and isinstance(part.get("text"), str))


class Row:
    """One sample and its item, as the templates see them.

    Attributes:
        sample: See Sample.
        item: The dataset row's fields.
        id: The caller's name of the row; "" when it has none. Rows are known by id, never by position.
    """

    __slots__ = ("id", "item", "sample")

    def __init__(self, sample: object, item: Mapping[str, Any] | None = None, id: str = "") -> None:
        """
        Args:
            sample: The model's text; a sample dict as the service shows it; a list of chat messages; a chat
                completion or response, as an object (anything with `model_dump`) or as its JSON.
            item: A JSON object; None is {}.

        Raises:
            SampleParseError: the sample has none of these shapes, or the item is not an object.
        """
        self.sample = Sample(output_text=sample) if sample.__class__ is str else read_sample(sample)
        if item is None:
            item = {}
        elif not isinstance(item, Mapping):
            raise SampleParseError(f"item is a {type(item).__name__}; expected an object")
        self.item = item
        self.id = id


def read_sample(sample: object) -> Sample:
    """Make a Sample of any shape that Row accepts.

    Raises:
        SampleParseError: it has none of them.
    """
    if isinstance(sample, Sample):
        return sample
    if isinstance(sample, str):
        return Sample(output_text=str(sample))
    dump = getattr(sample, "model_dump", None)
    if callable(dump):
        sample = dump(mode="json")
    if isinstance(sample, Mapping):
        for looks_like, read in _SHAPES:
            if looks_like(sample):
                return read(sample)
        return Sample(sample)
    if isinstance(sample, (list, tuple)):
        return _from_messages(sample)
    raise SampleParseError(
        f"sample is a {type(sample).__name__}; expected the model's text, a sample object, chat messages, "
        "a chat completion or a response"
    )


def _from_messages(messages: Sequence[Any]) -> Sample:
    """A conversation: its last assistant message is the output."""
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") == "assistant":
            return _from_message(message)
    if len(messages) == 1 and isinstance(messages[0], Mapping):
        return _from_message(messages[0])
    raise SampleParseError("the list of messages has no message with role 'assistant'")


def _from_message(message: Mapping[str, Any]) -> Sample:
    text = text_of(message.get("content"))
    tools = message.get("tool_calls")
    whole = {"role": "assistant", "refusal": None, "tool_calls": None, "function_call": None}
    whole.update(message)
    whole["content"] = text
    choices = [{"index": 0, "message": whole, "finish_reason": "tool_calls" if tools else "stop"}]
    return Sample(output_text=text, output_tools=tools, choices=choices)


def _from_completion(completion: Mapping[str, Any]) -> Sample:
    choices = completion.get("choices")
    if not isinstance(choices, list) or not choices:
        raise SampleParseError("the chat completion has no choices")
    sample = Sample(choices=choices)
    if completion.get("model") is not None:
        sample["model"] = completion["model"]
    return sample


def _from_response(response: Mapping[str, Any]) -> Sample:
    """A Responses API object: message items give the text, function calls the tools."""
    texts: list[str] = []
    tools: list[dict[str, Any]] = []
    for output in response.get("output") or ():
        if not isinstance(output, Mapping):
            continue
        if output.get("type") == "message":
            texts.append(text_of(output.get("content")))
        elif output.get("type") == "function_call":
            function = {"name": output.get("name"), "arguments": output.get("arguments")}
            tools.append({"id": output.get("call_id"), "type": "function", "function": function})
    sample = Sample(output_text="".join(texts), output_tools=tools or None)
    if response.get("model") is not None:
        sample["model"] = response["model"]
    return sample


_SHAPES: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Sample]], ...] = (
    (lambda value: value.get("object") == "chat.completion", _from_completion),
    (lambda value: value.get("object") == "response", _from_response),
    (lambda value: "role" in value and "content" in value and "output_text" not in value, _from_message),
)
