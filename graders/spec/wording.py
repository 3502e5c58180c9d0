"""The service's own sentences about invalid specs, used for messages here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

#: Any JSON value that has not been checked yet.
Json: TypeAlias = Any


def path_text(steps: Iterable[str | int]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


_TYPE_WORDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "an integer"),
    (float, "a decimal number"),
    (dict, "an object"),
    ((list, tuple), "an array"),
    (type(None), "null"),
)


def type_word(value: Json) -> str:
    return next(
        (word for types, word in _TYPE_WORDS if isinstance(value, types)), f"a {type(value).__name__}"
    )


def wrong_type(path: str, wanted: str, value: Json) -> str:
    return f"Invalid type for '{path or 'grader'}': expected {wanted}, but got {type_word(value)} instead."


def missing(path: str) -> str:
    return f"Missing required parameter: '{path}'."


def bad_value(value: Json, allowed: Sequence[str]) -> str:
    return f"Invalid value: {quoted(value)}. {one_of(allowed)}"


def one_of(allowed: Sequence[str]) -> str:
    words = [f"'{word}'" for word in allowed]
    if len(words) <= 2:
        return f"Supported values are: {' and '.join(words)}."
    return f"Supported values are: {', '.join(words[:-1])}, and {words[-1]}."


def quoted(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
