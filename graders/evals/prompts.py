"""Prompts: the messages of a run's data source, rendered with an item's values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from graders.errors import MissingVariable, SampleParseError
from graders.evals.requests import Fields, InvalidRequest
from graders.row import Row
from graders.template import Template
from graders.template.mistakes import mistakes

ROLES = ("user", "assistant", "system", "developer")

#: A message in the wire's form.
Message: TypeAlias = dict[str, Any]
#: A row -> a JSON value whose texts are rendered.
Render: TypeAlias = Callable[[Row], Any]


class Prompt:
    """The compiled `input_messages` of a data source.

    Attributes:
        wire: The messages in the form of the run's response.
    """

    def __init__(self, fields: Fields, values: str) -> None:
        """
        Args:
            values: Rendering of values that are not strings, "json" or "python".

        Raises:
            InvalidRequest: they have another form, or an invalid template.
        """
        kind = fields.choice("type", ("template", "item_reference"))
        self.wire = fields.value
        self._render: Render
        if kind == "item_reference":
            self._reference = fields.need("item_reference", str, "a string")
            self._steps = _steps(self._reference, fields.at("item_reference"))
            self._render = self._referenced
            return
        given = fields.need("template", list, "an array")
        messages = [_message(Fields(one, f"{fields.at('template')}[{n}]")) for n, one in enumerate(given)]
        if not messages:
            raise InvalidRequest(
                f"Invalid '{fields.at('template')}': it holds no message.", fields.at("template")
            )
        self.wire = {**fields.value, "template": messages}
        self._render = _compile(messages, fields.at("template"), values)

    def messages(self, item: Mapping[str, Any]) -> list[Message]:
        """The messages for an item.

        Raises:
            GradeError: the item lacks a variable.
        """
        found: list[Message] = self._render(Row(None, item))
        return found

    def _referenced(self, row: Row) -> list[Message]:
        value: Any = row.item
        for step in self._steps:
            if not isinstance(value, Mapping) or step not in value:
                raise MissingVariable(self._reference, value if isinstance(value, Mapping) else ())
            value = value[step]
        if isinstance(value, str):
            return [{"role": "user", "content": value}]
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            return value
        raise SampleParseError(
            f"'{self._reference}' is a {type(value).__name__}; expected a list of messages, or one text"
        )


def _steps(reference: str, path: str) -> list[str]:
    """The keys after `item` in a reference such as `item.input`; braces around it are tolerated."""
    namespace, *steps = reference.strip().removeprefix("{{").removesuffix("}}").strip().split(".")
    if namespace != "item" or not all(steps):
        text = (
            f"Invalid '{path}': expected a field of the item like 'item.input', but got {reference[:80]!r}."
        )
        raise InvalidRequest(text, path)
    return steps


def _message(fields: Fields) -> Message:
    """A message in the service's form, with its text as a part."""
    role = fields.need("role", str, "a string")
    if role not in ROLES:
        # the schema of simple messages allows any role, the service's responses only these four
        role = "user"
    content = fields.value.get("content")
    if not isinstance(content, (str, dict, list)):
        fields.need("content", str, "text, a part or an array of parts")
    return {"type": "message", "role": role, "content": as_part(content)}


def as_part(content: Any) -> Any:
    """A text as a part, as in the service's response; other content unchanged."""
    return {"type": "input_text", "text": content} if isinstance(content, str) else content


def _compile(value: Any, path: str, values: str) -> Render:
    if isinstance(value, str):
        for mistake in mistakes(value):
            if mistake.fatal:
                raise InvalidRequest(mistake.message, path, mistake.code)
        if "{{" not in value:
            return lambda row: value
        return Template(value, values).render
    if isinstance(value, list):
        parts = [_compile(one, f"{path}[{n}]", values) for n, one in enumerate(value)]
        return lambda row: [part(row) for part in parts]
    if isinstance(value, dict):
        fields = {key: _compile(one, f"{path}.{key}", values) for key, one in value.items()}
        return lambda row: {key: render(row) for key, render in fields.items()}
    return lambda row: value


def shown(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages in the form of output items: parts joined by a blank, images as their URLs."""
    return [
        {
            "role": message.get("role", "user"),
            "content": _flat(message.get("content")),
            "tool_call_id": message.get("tool_call_id"),
            "tool_calls": message.get("tool_calls"),
            "function_call": message.get("function_call"),
        }
        for message in messages
    ]


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return " ".join(text for part in parts if (text := _part_text(part)))


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return ""
    if isinstance(part.get("text"), str):
        return str(part["text"])
    image = part.get("image_url")
    if image is not None:
        url = image.get("url") if isinstance(image, Mapping) else image
        return f"<image>{url}</image>"
    return "<audio>" if "input_audio" in part else ""
