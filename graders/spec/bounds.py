"""How large a spec may be. Real ones have a few hundred values; these bounds keep reading one below a second."""

from __future__ import annotations

from typing import Any

from graders.jsontext import has_more_values

#: Of a spec's text: 32 programs of the service's own limit.
TEXT_MAX_CHARS = 8 * 1024**2
#: Of arrays and objects within each other; a judge's image part stands at 7.
DEPTH_MAX = 50
#: Objects, arrays, texts, numbers together; each costs some microseconds to check.
VALUES_MAX = 50_000
#: Of one object: the members of a multi.
KEYS_MAX = 10_000
KEY_MAX_CHARS = 1000
#: Of label_model. Ten times what the service's structured outputs take as values of an enum.
LABELS_MAX = 10_000
#: That are listed; a spec with more is wrong as a whole.
PROBLEMS_MAX = 100


def text_mistake(text: str, *, yaml: bool = False) -> str:
    """Why a spec's text is not parsed; "" when it is."""
    if len(text) > TEXT_MAX_CHARS:
        return f"the spec has {len(text)} characters; at most {TEXT_MAX_CHARS} are read"
    # YAML's parser is Python, which lets others run, and its commas are mostly text
    if not yaml and has_more_values(text.encode("utf-8", "surrogatepass"), VALUES_MAX):
        return f"the spec has more than {VALUES_MAX} values"
    return ""


def mistake(value: Any) -> str:
    """Which bound a spec's JSON goes beyond; "" when it keeps all. Stops at the first."""
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
            # before the next level is visited: aliases in YAML can make it a billion times larger
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
