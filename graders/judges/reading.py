"""Reading a judge's answer: one whole object that passes the schema, tolerant where no schema was enforced, never a guess."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any

from graders.jsontext import decoder
from graders.verdict import Ambiguous, Verdict

#: A verdict with its steps has thousands of characters; searching more for JSON takes too long.
MAX_CHARS = 1_000_000

_THINK = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE = "```"
#: An escape that JSON has, or a backslash that begins none: models write TeX and paths into their steps.
_ESCAPE = re.compile(r"""\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\""")
# How often the length of an answer may be read in search of objects. Most have one or two; an answer of open brackets
# would have each of them read to its end.
SEARCH_FACTOR = 8


def read_verdict(text: str, verdict: Verdict, *, key: str = "result", tolerant: bool = False) -> float | str:
    """The one valid verdict in an answer.

    The answer is one JSON object, alone or in a code fence. Raw line breaks and backslashes that begin no escape may
    stand in its strings: where the strings end is the same with and without them.

    Args:
        text: The answer.
        verdict: What is valid.
        key: The key that holds the result; where no schema is enforced, a name made up for this request, so that
            a sample's own {"result": 1}, echoed by the judge, is not taken for its verdict.
        tolerant: Also look behind a <think> block and at objects within prose. All that are valid must agree.

    Raises:
        Ambiguous: there is none, or two that differ.
    """
    if not text.strip():
        raise Ambiguous("it is empty")
    if len(text) > MAX_CHARS:
        raise Ambiguous(f"it has {len(text)} characters")
    if tolerant:
        text = _THINK.sub("", text, count=1)
    text = _with_valid_escapes(_without_fence(text))
    try:
        return _read(_decode(text), verdict, key)
    except Ambiguous:
        if not tolerant:
            raise
    except ValueError as error:
        if not tolerant:
            raise Ambiguous(f"it is not one JSON object ({error}): {_start(text)}") from None
    found: set[float | str] = set()
    for value in _objects(text):
        try:
            found.add(_read(value, verdict, key))
        except Ambiguous:
            continue
    if len(found) == 1:
        return found.pop()
    if found:
        raise Ambiguous(f"it holds different verdicts: {', '.join(sorted(map(repr, found)))}")
    raise Ambiguous(f"it holds no valid verdict: {_start(text)}")


def _without_fence(text: str) -> str:
    """The contents of the one code fence that makes up the whole text; any other text as it is."""
    fenced = text.strip()
    if not fenced.startswith(_FENCE) or not fenced.endswith(_FENCE):
        return text
    language, line_break, inside = fenced[len(_FENCE) : -len(_FENCE)].partition("\n")
    is_one = line_break and (not language.strip() or language.strip().isalpha()) and _FENCE not in inside
    return inside if is_one else text


def _with_valid_escapes(text: str) -> str:
    """The text with every backslash doubled that begins no escape of JSON's."""
    return (
        _ESCAPE.sub(lambda found: found[0] if len(found[0]) > 1 else "\\\\", text) if "\\" in text else text
    )


def _read(value: Any, verdict: Verdict, key: str) -> float | str:
    try:
        return verdict.read(_renamed(value, key))
    except OverflowError:
        # a whole number beyond every float
        raise Ambiguous("'result' is too large") from None


def _start(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _decode(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for key, value in pairs:
        if key in whole and whole[key] != value:
            raise Ambiguous(f"{key!r} stands twice with different values")
        whole[key] = value
    return whole


_DECODER = decoder(object_pairs_hook=_unique, raw_line_breaks=True)


def _renamed(value: Any, key: str) -> Any:
    """The answer with its result under `result`; an object that has another result key has none."""
    if key == "result" or not isinstance(value, dict):
        return value
    return {("result" if name == key else name): v for name, v in value.items() if name != "result"}


def _objects(text: str) -> Iterator[Any]:
    """Every JSON object in a text that does not lie within another.

    Raises:
        Ambiguous: an object has a key twice, or the search would take too long.
    """
    left = SEARCH_FACTOR * len(text)
    at = text.find("{")
    while at >= 0:
        if left < 0:
            raise Ambiguous("it has too many open brackets to look for an object in it")
        try:
            value, end = _DECODER.raw_decode(text, at)
        except Ambiguous:
            raise
        except JSONDecodeError as error:
            # the error counts the lines in front of its place, a hundred times as fast as JSON is read
            left -= error.pos - at + error.pos // 100
            end = at + 1
        except (ValueError, RecursionError):
            # read as far as nobody says
            left -= len(text) - at
            end = at + 1
        else:
            yield value
        at = text.find("{", end)
