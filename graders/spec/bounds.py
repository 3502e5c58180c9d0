"""Bounds on the size of a spec. Real ones have a few hundred values; within these, reading takes less than a second."""

from __future__ import annotations

from typing import Any

from graders.jsontext import has_more_values

#: Characters of a spec's text: 32 programs of the service's own limit.
TEXT_MAX_CHARS = 8 * 1024**2
#: Depth of nested arrays and objects; a judge's image part stands at 7.
DEPTH_MAX = 50
#: Objects, arrays, texts and numbers in all; each takes some microseconds to check.
VALUES_MAX = 50_000
#: Keys of one object, such as the members of a multi.
KEYS_MAX = 10_000
KEY_MAX_CHARS = 1000
#: Labels of a label_model: ten times the enum values that the service's structured outputs allow.
LABELS_MAX = 10_000
#: Problems that are listed; a spec with more is wrong as a whole.
PROBLEMS_MAX = 100


def text_mistake(text: str, *, yaml: bool = False) -> str:
    """The reason for not parsing a spec's text; "" when there is none."""
    if len(text) > TEXT_MAX_CHARS:
        return f"the spec has {len(text)} characters; at most {TEXT_MAX_CHARS} are read"
    # not for YAML: its parser is written in Python, so other threads run meanwhile, and its commas are mostly text
    if not yaml and has_more_values(text.encode("utf-8", "surrogatepass"), VALUES_MAX):
        return f"the spec has more than {VALUES_MAX} values"
    return ""


def mistake(value: Any) -> str:
    """The first bound that a spec's JSON exceeds, as a message; "" when it exceeds none."""
    level: list[Any] = [value]
    n_values = 0
    for _ in range(DEPTH_MAX + 1):
        below: list[Any] = []
        for inner in level:
            n_values += 1
            if isinstance(inner, dict):
                if found := _key_mistake(inner):
                    return found
                below.extend(inner.values())
            elif isinstance(inner, (list, tuple)):
                below.extend(inner)
            # counted before the next level is visited: YAML aliases can make it a billion times larger
            if n_values + len(below) > VALUES_MAX:
                return f"Invalid grader: it has more than {VALUES_MAX} values."
        if not below:
            return ""
        level = below
    return f"Invalid grader: it is nested more than {DEPTH_MAX} deep."


def _key_mistake(table: dict[Any, Any]) -> str:
    if len(table) > KEYS_MAX:
        return f"Invalid grader: an object in it has {len(table)} keys; the limit is {KEYS_MAX}."
    longest = max(map(_length, table), default=0)
    if longest > KEY_MAX_CHARS:
        return f"Invalid grader: a key in it has {longest} characters; the limit is {KEY_MAX_CHARS}."
    return ""


def _length(key: object) -> int:
    return len(key) if isinstance(key, str) else 0
