"""Translates pydantic's errors: paths as the user wrote them, the service's sentences, and suggestions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, Tag, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from graders.spec.bounds import PROBLEMS_MAX
from graders.spec.problems import Problems
from graders.spec.wording import Json, bad_value, missing, one_of, wrong_type
from graders.suggest import did_you_mean

# The prefix of union members' names in pydantic's error paths, by which they are removed again.
_TAG = "#"


def tagged(tag: str) -> Tag:
    """The tag of a union's member; removed from the paths that users see."""
    return Tag(_TAG + tag)


ONE_OF_ERROR = "one_of"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The annotation of a text that must be one of a table's names; the table is read when a spec is read."""

    names: Callable[[], Sequence[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: str) -> str:
            names = self.names()
            if value in names:
                return value
            raise PydanticCustomError(ONE_OF_ERROR, "not one of the names", {"allowed": list(names)})

        return no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.names())}


# pydantic's error type -> the expected type, in the service's words.
_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "an array",
    "tuple_type": "an array",
}


def translate(error: ValidationError, model: type[BaseModel], problems: Problems) -> None:
    """Report every finding of a failed validation of `model`."""
    for found in error.errors(include_url=False)[: PROBLEMS_MAX + 1]:
        kind, value, context = found["type"], found["input"], found.get("ctx", {})
        loc = _unmarked(kind, found["loc"])
        where = problems.where(*loc)
        if kind == "missing":
            problems.error(missing(where), "missing_required_parameter", *loc)
        elif kind == "extra_forbidden":
            hint = did_you_mean(loc[-1], _fields_near(model, found["loc"]))
            problems.error(f"Unknown parameter: '{where}'.", "unknown_parameter", *loc, suggestion=hint)
        elif kind in _EXPECTED:
            problems.error(wrong_type(where, _EXPECTED[kind], value), "invalid_type", *loc)
        elif kind == "literal_error":
            allowed = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
            _bad_word(value, allowed, loc, problems)
        elif kind == ONE_OF_ERROR:
            _bad_word(value, context["allowed"], loc, problems)
        elif kind == "union_tag_invalid":
            _bad_tag(value, context, loc, problems)
        else:
            message = f"Invalid value for '{where}': {found['msg']}."
            problems.error(message, "invalid_value", *loc)


def _unmarked(kind: str, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """A path as the user wrote it. A user's own key, unknown or in a free map, may begin with the prefix too."""
    theirs = 1 if kind == "extra_forbidden" or kind in _EXPECTED else 0
    marked, last = loc[: len(loc) - theirs], loc[len(loc) - theirs :]
    return (*(step for step in marked if not str(step).startswith(_TAG)), *last)


def _bad_word(value: Json, allowed: Sequence[str], loc: tuple[str | int, ...], problems: Problems) -> None:
    if isinstance(value, str):
        hint = did_you_mean(value, allowed)
        problems.error(bad_value(value, allowed), "invalid_value", *loc, suggestion=hint)
    else:
        message = wrong_type(problems.where(*loc), "a string", value)
        problems.error(message, "invalid_type", *loc, suggestion=one_of(allowed))


def _bad_tag(value: Json, context: Mapping[str, Any], loc: tuple[str | int, ...], problems: Problems) -> None:
    """Report a message's content, or a part of it, that has an unknown type."""
    allowed = [word.strip(f"'{_TAG}") for word in str(context["expected_tags"]).split(", ")]
    if not isinstance(value, dict):
        wanted = " or ".join(_CONTENT_WORDS.get(word, "an object") for word in dict.fromkeys(allowed))
        message = wrong_type(problems.where(*loc), wanted if "text" in allowed else "an object", value)
        problems.error(message, "invalid_type", *loc)
    elif "type" not in value:
        message = missing(problems.where(*loc, "type"))
        problems.error(message, "missing_required_parameter", *loc, "type", suggestion=one_of(allowed))
    else:
        hint = did_you_mean(_CHAT_PARTS.get(value["type"], value["type"]), allowed)
        problems.error(bad_value(value["type"], allowed), "invalid_value", *loc, "type", suggestion=hint)


_CONTENT_WORDS = {"text": "a string", "part": "an object", "parts": "an array"}
#: Part types of chat completions -> part types of graders.
_CHAT_PARTS = {"text": "input_text", "image_url": "input_image", "audio": "input_audio"}


def _fields_near(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The field names that an unknown key may be a misspelling of."""
    inner: type[BaseModel] = model
    for step in loc[:-1]:
        annotation = getattr(inner, "model_fields", {}).get(step)
        for candidate in (
            getattr(annotation.annotation, "__args__", (annotation.annotation,)) if annotation else ()
        ):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                inner = candidate
    return list(inner.model_fields)
