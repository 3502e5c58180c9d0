"""A model output in any shape that people hold it in.

    read_sample("Paris")["output_text"]
    read_sample(completion)["output_tools"]

One function reads them all, for every door; SHAPES lists the shapes that objects may have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from graders.errors import SampleParseError
from graders.samples import OBJECT, SAMPLE_KEYS, NoSample, Sample, choice_of, text_of
from graders.values import json_value

#: Keys named in the error about an object of unknown shape.
_KEYS_NAMED = 8


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
    if isinstance(sample, OBJECT):
        return _from_object(sample)
    if isinstance(sample, (list, tuple)):
        if not {*map(type, sample)} <= {dict}:
            sample = [one if isinstance(one, OBJECT) else json_value(one, "sample") for one in sample]
        return _from_list(sample)
    # 42, 42.0 and 4.2e1 are one number and three texts
    raise SampleParseError(
        f"sample is {json.dumps(sample)}, not text: put what the model wrote in quotes. Expected {_expected()}"
    )


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
        if isinstance(message, OBJECT):
            if message.get("type") in _OUTPUT_TYPES:
                return _from_output_items(messages)
            if message.get("role") == "assistant":
                return _from_message(message)
    raise SampleParseError("the list of messages has no message with role 'assistant'")


#: Fields of a message in place of content, and the beginnings of keys that carry no output.
_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio")
_BESIDE_CONTENT = ("role", "name", "id", "type", "status", "annotations", "reasoning", "thinking")


def _from_message(message: Mapping[str, Any]) -> Sample:
    role = message.get("role")
    if role != "assistant":
        raise SampleParseError(f"the message has role {role!r}; expected the one with role 'assistant'")
    if "content" not in message and not any(message.get(key) for key in _INSTEAD_OF_CONTENT):
        others = [key for key, value in message.items() if value and not key.startswith(_BESIDE_CONTENT)]
        if others:
            raise SampleParseError(
                f"the message has no content; it has {', '.join(map(repr, others[:_KEYS_NAMED]))}"
            )
    text = text_of(message.get("content"))
    choice = choice_of(text, message)
    return Sample(output_text=text, output_tools=choice["message"]["tool_calls"], choices=[choice])


def _from_completion(completion: Mapping[str, Any]) -> Sample:
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, OBJECT):
        raise SampleParseError("the chat completion has no choices")
    if isinstance(first.get("message"), OBJECT):
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
    text = dict.get(given, "output_text", "")
    if not isinstance(text, str):
        given["output_text"] = _text(text)
    return given


def _text(value: Any) -> str:
    text = json_value(value, "sample.output_text")
    if not isinstance(text, str):
        raise SampleParseError(f"sample.output_text is a {type(text).__name__}; expected text")
    return text


def _from_response(response: Mapping[str, Any]) -> Sample:
    """A Responses API object."""
    output = response.get("output") or ()
    if not output and response.get("error"):
        raise SampleParseError(f"the response has no output, only an error: {_reason(response['error'])}")
    status = response.get("status") or "completed"
    if not output and status not in ("completed", "incomplete"):
        raise SampleParseError(f"the response has no output; its status is {status!r}")
    if not isinstance(output, (list, tuple)):
        raise SampleParseError(
            f"the response's output is a {type(output).__name__}; expected a list of items"
        )
    return _with_model(_from_output_items(output), response)


#: Types of a response's output items that tell them from chat messages.
_OUTPUT_TYPES = ("message", "function_call", "reasoning")


def _from_output_items(items: Sequence[Any]) -> Sample:
    """Output items of a response: messages give the text, function calls the tools, reasoning its summary."""
    texts: list[str] = []
    tools: list[dict[str, Any]] = []
    summaries: list[str] = []
    for item in items:
        kind = item.get("type") if isinstance(item, OBJECT) else None
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
    if not isinstance(response, OBJECT):
        raise SampleParseError(f"the request has no response, only an error: {_reason(line.get('error'))}")
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(body, OBJECT) or (isinstance(status, int) and status >= 400):
        reason = _reason(body.get("error") if isinstance(body, OBJECT) else body)
        raise SampleParseError(f"the request failed with status {status}: {reason}")
    return _from_object(body)


def _reason(error: Any) -> str:
    if isinstance(error, OBJECT):
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
    for key in SAMPLE_KEYS:  # noqa: SIM110  # no generator: every sample of a batch comes through here
        if value.get(key) is not None:
            return True
    return False


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
