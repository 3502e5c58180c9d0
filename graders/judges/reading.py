"""Reads a judge's answer: one complete object that fits the schema; more tolerant where no schema was enforced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any

from graders.jsontext import decoder
from graders.verdict import AmbiguousVerdict, Verdict

#: Characters of an answer that are searched for JSON. A verdict with its steps has some thousands.
MAX_CHARS = 1_000_000

_THINK = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE = "```"
#: A valid JSON escape, or a lone backslash: models write TeX and paths into their steps.
_ESCAPE = re.compile(r"""\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\""")
# Bound on the search for objects, in multiples of the answer's length. Most answers have one or two objects, but in an
# answer of open brackets each would be read to the end.
SEARCH_FACTOR = 8


def read_verdict(text: str, verdict: Verdict, *, key: str = "result", tolerant: bool = False) -> float | str:
    """The one valid verdict in an answer.

    The answer is one JSON object, alone or in a code fence. Its strings may contain raw line breaks and backslashes
    that begin no escape, since these do not change where a string ends.

    Args:
        text: The answer.
        verdict: The definition of valid verdicts.
        key: The key of the result. Where no schema is enforced it is a name made up for the request, so that a sample's
            own {"result": 1}, echoed by the judge, is not taken as the verdict.
        tolerant: Whether to also search after a <think> block and for objects within prose. All valid ones must agree.

    Raises:
        AmbiguousVerdict: there is no verdict, or there are two different ones.
    """
    if not text.strip():
        raise AmbiguousVerdict("it is empty")
    if len(text) > MAX_CHARS:
        raise AmbiguousVerdict(f"it has {len(text)} characters")
    if tolerant:
        text = _THINK.sub("", text, count=1)
    text = _with_valid_escapes(_without_fence(text))
    try:
        return _read(_decode(text), verdict, key)
    except AmbiguousVerdict:
        if not tolerant:
            raise
    except ValueError as error:
        if not tolerant:
            raise AmbiguousVerdict(f"it is not one JSON object ({error}): {_start(text)}") from None
    found: set[float | str] = set()
    for value in _objects(text):
        try:
            found.add(_read(value, verdict, key))
        except AmbiguousVerdict:
            continue
    if len(found) == 1:
        return found.pop()
    if found:
        raise AmbiguousVerdict(f"it holds different verdicts: {', '.join(sorted(map(repr, found)))}")
    raise AmbiguousVerdict(f"it holds no valid verdict: {_start(text)}")


def _without_fence(text: str) -> str:
    """The contents of a text that is a single code fence; any other text unchanged."""
    fenced = text.strip()
    if not fenced.startswith(_FENCE) or not fenced.endswith(_FENCE):
        return text
    language, line_break, inside = fenced[len(_FENCE) : -len(_FENCE)].partition("\n")
    is_one = line_break and (not language.strip() or language.strip().isalpha()) and _FENCE not in inside
    return inside if is_one else text


def _with_valid_escapes(text: str) -> str:
    """The text with every backslash doubled that does not begin a JSON escape."""
    return (
        _ESCAPE.sub(lambda found: found[0] if len(found[0]) > 1 else "\\\\", text) if "\\" in text else text
    )


def _read(value: Any, verdict: Verdict, key: str) -> float | str:
    try:
        return verdict.read(_renamed(value, key))
    except OverflowError:
        # an integer that is too large for a float
        raise AmbiguousVerdict("'result' is too large") from None


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
            raise AmbiguousVerdict(f"{key!r} stands twice with different values")
        whole[key] = value
    return whole


_DECODER = decoder(object_pairs_hook=_unique, raw_line_breaks=True)


def _renamed(value: Any, key: str) -> Any:
    """The answer with the value of `key` under `result`; without that key it has no result."""
    if key == "result" or not isinstance(value, dict):
        return value
    return {("result" if name == key else name): v for name, v in value.items() if name != "result"}


def _objects(text: str) -> Iterator[Any]:
    """Every outermost JSON object in a text.

    Raises:
        AmbiguousVerdict: an object has a repeated key, or the search would take too long.
    """
    left = SEARCH_FACTOR * len(text)
    at = text.find("{")
    while at >= 0:
        if left < 0:
            raise AmbiguousVerdict("it has too many open brackets to look for an object in it")
        try:
            value, end = _DECODER.raw_decode(text, at)
        except AmbiguousVerdict:
            raise
        except JSONDecodeError as error:
            # the error counts the lines before its position, a hundred times as fast as parsing
            left -= error.pos - at + error.pos // 100
            end = at + 1
        except (ValueError, RecursionError):
            # the extent of the parsed text is unknown
            left -= len(text) - at
            end = at + 1
        else:
            yield value
        at = text.find("{", end)
