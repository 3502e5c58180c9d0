"""A model output in any shape that people hold it in, as the service shows it to graders.

    read_sample("Paris")["output_text"]
    read_sample(completion)["output_tools"]

A Sample has the keys `output_text`, `output_json`, `output_tools` and `choices`. What has to be worked out (parsing
JSON, building `choices`) is worked out when it is first read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from graders.errors import SampleParseError
from graders.jsontext import parse
from graders.values import json_value

#: The keys that a sample object is known by; every python grader may rely on them.
SAMPLE_KEYS = ("choices", "output_text", "output_json", "output_tools")
#: What holds keys; a plain dict is told first, which is four times quicker than an abstract class alone.
_OBJECT = (dict, Mapping)
#: Keys named in the error about an object of unknown shape.
_KEYS_NAMED = 8


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
        """A plain dict with all keys that python graders see; what cannot be derived is None, and no tools are [].

        Raises:
            SampleParseError: the row has no sample.
        """
        whole: dict[str, Any] = {key: _or_none(self, key) for key in SAMPLE_KEYS}
        whole["output_reasoning_summary"] = None
        whole.update(self)
        return whole


class NoSample(Sample):
    """The sample of a row that has none: fine for a grader that reads the item alone, an error when it is read."""

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
    if isinstance(choices, list) and choices and isinstance(choices[0], _OBJECT):
        message = choices[0].get("message")
        if isinstance(message, _OBJECT):
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
    return [_choice(sample["output_text"], {"tool_calls": sample["output_tools"]})]


_DERIVED: dict[str, Callable[[Sample], Any]] = {
    "output_text": _output_text,
    "output_json": _output_json,
    "output_tools": _output_tools,
    "choices": _choices,
    # stands in the public reference's own reinforcement example; validate warns, strict refuses
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
    if isinstance(content, _OBJECT):
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
    return isinstance(part, str) or (isinstance(part, _OBJECT) and isinstance(part.get("text"), str))


def read_sample(sample: object) -> Sample:
    """Make a Sample of any known shape (see SHAPES). None is a NoSample; an exception says why there is none.

    Raises:
        SampleParseError: it has none of the known shapes; the message names its keys and the shapes.
    """
    if sample.__class__ is dict:
        return _from_object(sample)
    if isinstance(sample, Sample):
        return sample
    if isinstance(sample, Exception):
        raise SampleParseError(str(sample))
    if not isinstance(sample, (dict, list, tuple, Mapping)):
        sample = json_value(sample, "sample")
    if isinstance(sample, str):
        return Sample(output_text=sample)
    if sample is None:
        return NoSample()
    if isinstance(sample, _OBJECT):
        return _from_object(sample)
    if isinstance(sample, (list, tuple)):
        if not {*map(type, sample)} <= {dict}:
            sample = [one if isinstance(one, _OBJECT) else json_value(one, "sample") for one in sample]
        return _from_list(sample)
    raise SampleParseError(f"sample is a {type(sample).__name__}; expected {_expected()}")


def _from_object(value: Mapping[str, Any]) -> Sample:
    for shape in SHAPES:
        if shape.matches(value):
            return shape.read(value)
    keys = ", ".join(map(repr, list(value)[:_KEYS_NAMED])) or "no keys"
    if len(value) > _KEYS_NAMED:
        keys += f" and {len(value) - _KEYS_NAMED} more"
    hint = ""
    if "item" in value or "sample" in value:
        hint = ". It looks like a whole row: pass its sample and its item apart, or the row to a batch"
    raise SampleParseError(f"sample is an object with {keys}; expected {_expected()}{hint}")


def _expected() -> str:
    return "the model's text, a list of chat messages, or " + ", ".join(shape.name for shape in SHAPES)


# --- the shapes ---------------------------------------------------------------------------------------------------


def _from_list(messages: Sequence[Any]) -> Sample:
    """A conversation, whose last assistant message is the output; or the output items of a response."""
    for message in reversed(messages):
        if isinstance(message, _OBJECT):
            if message.get("type") in _OUTPUT_TYPES:
                return _from_output_items(messages)
            if message.get("role") == "assistant":
                return _from_message(message)
    if len(messages) == 1 and isinstance(messages[0], _OBJECT) and "role" in messages[0]:
        return _from_message(messages[0])
    raise SampleParseError("the list of messages has no message with role 'assistant'")


def _choice(text: Any, message: Mapping[str, Any]) -> dict[str, Any]:
    """The one choice of a completion that holds this message, every key of a message present."""
    whole: dict[str, Any] = {"role": "assistant", "refusal": None, "tool_calls": [], "function_call": None}
    whole.update(message)
    whole["content"] = text
    whole["tool_calls"] = tools = whole["tool_calls"] or []
    return {"index": 0, "message": whole, "finish_reason": "tool_calls" if tools else "stop"}


def _from_message(message: Mapping[str, Any]) -> Sample:
    text = text_of(message.get("content"))
    choice = _choice(text, message)
    return Sample(output_text=text, output_tools=choice["message"]["tool_calls"], choices=[choice])


def _from_completion(completion: Mapping[str, Any]) -> Sample:
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, _OBJECT):
        raise SampleParseError("the chat completion has no choices")
    if isinstance(first.get("message"), _OBJECT):
        sample = Sample(choices=choices)
    elif isinstance(first.get("text"), str):  # the older completions endpoint
        sample = Sample(output_text=first["text"])
    else:
        raise SampleParseError(
            f"the first choice has no message; it has {', '.join(map(repr, first)) or 'nothing'}"
        )
    return _with_model(sample, completion)


def _from_sample_object(value: Mapping[str, Any]) -> Sample:
    if all(value.get(key) is None for key in SAMPLE_KEYS if key != "choices"):
        given = _from_completion(value)
    else:
        given = Sample()
    given.update((key, inner) for key, inner in value.items() if inner is not None or key not in SAMPLE_KEYS)
    return given


def _from_response(response: Mapping[str, Any]) -> Sample:
    """A Responses API object."""
    output = response.get("output") or ()
    if not output and response.get("error"):
        raise SampleParseError(f"the response has no output, only an error: {_reason(response['error'])}")
    return _with_model(_from_output_items(output), response)


#: Types of a response's output items that tell them from chat messages.
_OUTPUT_TYPES = ("message", "function_call", "reasoning")


def _from_output_items(items: Sequence[Any]) -> Sample:
    """Output items of a response: messages give the text, function calls the tools, reasoning its summary."""
    texts: list[str] = []
    tools: list[dict[str, Any]] = []
    summaries: list[str] = []
    for item in items:
        kind = item.get("type") if isinstance(item, _OBJECT) else None
        if kind == "message":
            texts.append(text_of(item.get("content")))
        elif kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            tools.append({"id": item.get("call_id"), "type": "function", "function": function})
        elif kind == "reasoning":
            summaries.append(text_of(item.get("summary")))
    sample = Sample(output_text="".join(texts), output_tools=tools)
    if any(summaries):
        sample["output_reasoning_summary"] = "\n".join(summaries)
    return sample


def _with_model(sample: Sample, source: Mapping[str, Any]) -> Sample:
    if source.get("model") is not None:
        sample["model"] = source["model"]
    return sample


def _from_exported(value: Mapping[str, Any]) -> Sample:
    """The sample of an export: messages under `outputs` (reinforcement jobs) or `output` (Evals)."""
    messages = value["outputs"] if isinstance(value.get("outputs"), list) else value["output"]
    if not messages and value.get("error"):
        raise SampleParseError(f"the sample has no output, only an error: {_reason(value['error'])}")
    return _with_model(_from_list(messages), value)


def _from_batch_line(line: Mapping[str, Any]) -> Sample:
    """A line of the Batch API's output file, or its `response`."""
    response = line if "body" in line else line.get("response")
    if not isinstance(response, _OBJECT):
        raise SampleParseError(f"the request has no response, only an error: {_reason(line.get('error'))}")
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(body, _OBJECT) or (isinstance(status, int) and status >= 400):
        reason = _reason(body.get("error") if isinstance(body, _OBJECT) else body)
        raise SampleParseError(f"the request failed with status {status}: {reason}")
    return _from_object(body)


def _reason(error: Any) -> str:
    if isinstance(error, _OBJECT):
        return str(error.get("message") or error.get("code") or "without a reason")
    return str(error or "without a reason")


class Shape(NamedTuple):
    """One shape of an object that holds a model output.

    Attributes:
        name: What the error about an unknown shape calls it.
    """

    name: str
    matches: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], Sample]


def _has_sample_key(value: Mapping[str, Any]) -> bool:
    return any(value.get(key) is not None for key in SAMPLE_KEYS)


SHAPES = (
    Shape("a chat completion", lambda value: value.get("object") == "chat.completion", _from_completion),
    Shape("a response", lambda value: value.get("object") == "response", _from_response),
    Shape("a sample object with output_text or choices", _has_sample_key, _from_sample_object),
    Shape("a chat message", lambda value: "role" in value, _from_message),
    Shape(
        "an exported sample with outputs or output",
        lambda value: isinstance(value.get("outputs"), list) or isinstance(value.get("output"), list),
        _from_exported,
    ),
    Shape(
        "a line of the Batch API's output",
        lambda value: "status_code" in value or {"custom_id", "response"} <= value.keys(),
        _from_batch_line,
    ),
)
