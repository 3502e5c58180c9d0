"""The project's one strict JSON reader and its one writer.

`parse` reads by the standard: NaN and Infinity are refused, nesting too deep to read is a ValueError, whole numbers
of any size stay whole. `loads` and `dumps` are for many values: orjson where it is installed, else the standard
library, with the same results.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

_orjson: Any
try:
    import orjson as _orjson
except ImportError:
    # the [speed] extra is not installed
    _orjson = None

#: Name of the JSON library in use.
LIBRARY = "json" if _orjson is None else "orjson"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def decoder(
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None, *, raw_line_breaks: bool = False
) -> json.JSONDecoder:
    """A decoder by the standard, for callers that need to see each object's pairs or to read from within a text.

    `raw_line_breaks`: strings may hold line breaks and other control characters as they are.
    """
    return json.JSONDecoder(
        parse_constant=_refuse_constant, object_pairs_hook=object_pairs_hook, strict=not raw_line_breaks
    )


_DECODER = decoder()


def parse(text: str) -> Any:
    """One JSON value.

    Raises:
        ValueError: the text is not JSON; a json.JSONDecodeError, with its position, where the grammar is broken.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


#: Values of one JSON text that a server parses. Parsing as many takes some 60 ms, in which no other thread runs.
VALUES_MAX = 250_000


def has_more_values(text: bytes, most: int) -> bool:
    """Whether a JSON text has more values than `most`, without parsing it.

    A parser holds the interpreter until it has read a whole text, and some millions of empty objects take seconds and
    a hundred times the text's memory.
    """
    # an upper bound, for any text: commas and brackets inside strings are counted too
    if 1 + sum(map(text.count, _STRUCTURE)) <= most:
        return False
    n_values, at = 1, 0
    while at < len(text):
        quote = text.find(b'"', at)
        end = len(text) if quote < 0 else quote
        n_values += sum(text.count(mark, at, end) for mark in _STRUCTURE)
        if n_values > most:
            return True
        at = len(text) if quote < 0 else _string_end(text, quote + 1)
    return False


_STRUCTURE = (b",", b"[", b"{")


def _string_end(text: bytes, at: int) -> int:
    """The end of the string whose first character is at `at`."""
    while (quote := text.find(b'"', at)) >= 0:
        part = text[at:quote]
        n_backslashes = len(part) - len(part.rstrip(b"\\"))
        at = quote + 1
        if n_backslashes % 2 == 0:
            return at
    return len(text)


def text_of_file(data: bytes) -> str:
    """Text as editors and shells write it: UTF-8, or UTF-16 with its byte order mark; the mark is left out.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    utf_16 = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return data.decode("utf-16" if utf_16 else "utf-8-sig")


def _plain_loads(text: bytes) -> Any:
    return parse(text.decode())


def _plain_dumps(value: Any) -> bytes:
    try:
        return _ENCODE(value).encode()
    except UnicodeEncodeError:
        # half a surrogate pair, which JSON can spell and UTF-8 cannot
        return json.dumps(value, separators=(",", ":"), default=_refuse).encode()
    except ValueError:
        # NaN and infinities have no JSON form; here they are null, as orjson has it
        return _ENCODE(_finite(value)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _refuse(value: Any) -> Any:
    raise TypeError(f"a {type(value).__name__} has no JSON form")


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_refuse).encode


# orjson reads whole numbers beyond 64 bits, which have 19 digits or more, as floats. Any run of 19 digits has four
# digits in a row at every fourth place, so a fourth of a text says whether there can be one.
_LONG_RUN, _STRIDE = b"0" * 19, 4
_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))


def long_numbers(text: bytes) -> bool:
    """Whether a text has 19 digits in a row, so that only the standard library reads it exactly."""
    if b"0000" not in text[::_STRIDE].translate(_DIGITS):
        return False
    return _LONG_RUN in text.translate(_DIGITS)


def _fast_loads(text: bytes) -> Any:
    if long_numbers(text):
        return _plain_loads(text)
    try:
        return _orjson.loads(text)
    except ValueError:
        # orjson is stricter than the standard library about half a surrogate pair and depth
        return _plain_loads(text)


def _fast_dumps(value: Any) -> bytes:
    try:
        made: bytes = _orjson.dumps(value)
    except TypeError:
        # integers beyond 64 bits, half a surrogate pair, keys that are not text
        return _plain_dumps(value)
    return made


def _plain_dumps_sorted(value: Any) -> bytes:
    return _ENCODE_SORTED(value).encode("utf-8", "surrogatepass")


_ENCODE_SORTED = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_refuse
).encode

# Floats with an exponent, 1e+16 and 1e-05 in the standard library, are 1e16 and 0.00001 or 1e-5 in orjson.
_EXPONENT = re.compile(rb"[0-9]e-?[0-9]")
_SMALL = b"0.0000"


def _fast_dumps_sorted(value: Any) -> bytes:
    try:
        made: bytes = _orjson.dumps(value, option=_orjson.OPT_SORT_KEYS)
    except TypeError:  # as in _fast_dumps
        return _plain_dumps_sorted(value)
    return _plain_dumps_sorted(value) if _SMALL in made or _EXPONENT.search(made) else made


#: One JSON value from UTF-8 bytes; raises ValueError.
loads: Callable[[bytes], Any] = _plain_loads if _orjson is None else _fast_loads
#: A JSON value as compact UTF-8 bytes; raises TypeError or ValueError for what has no JSON form.
dumps: Callable[[Any], bytes] = _plain_dumps if _orjson is None else _fast_dumps
#: As `dumps`, with each object's keys in order: equal values give equal bytes, whichever library writes them.
dumps_sorted: Callable[[Any], bytes] = _plain_dumps_sorted if _orjson is None else _fast_dumps_sorted


def loads_lines(lines: list[bytes]) -> list[Any]:
    """As `loads` of each line, quicker for many.

    Raises:
        ValueError: one of them is not JSON, or not read by orjson; `loads` tells which.
    """
    if _orjson is None or long_numbers(b"\n".join(lines)):
        return list(map(loads, lines))
    return list(map(_orjson.loads, lines))


def request_body(value: Any) -> bytes:
    """A JSON value for another server: "?" stands for half a surrogate pair, which strict servers refuse."""
    if _orjson is not None:
        try:
            made: bytes = _orjson.dumps(value)
        except TypeError:
            pass
        else:
            return made
    return _ENCODE(value).encode("utf-8", "replace")
