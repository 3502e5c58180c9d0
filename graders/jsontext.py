"""JSON lines in and out: orjson where it is installed, else the standard library, with the same results."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

_orjson: Any
try:
    import orjson as _orjson
except ImportError:  # the [speed] extra is not installed
    _orjson = None

#: Name of the JSON library in use.
LIBRARY = "json" if _orjson is None else "orjson"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _plain_loads(text: bytes) -> Any:
    """By the standard: NaN and Infinity are refused, bytes are UTF-8, and too deep a nesting is a ValueError too."""
    try:
        return json.loads(text.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _plain_dumps(value: Any) -> bytes:
    try:
        return _ENCODE(value).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and UTF-8 cannot
        return json.dumps(value, separators=(",", ":"), default=_refuse).encode()
    except ValueError:  # NaN and infinities have no JSON form; here they are null, as orjson has it
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


def _fast_loads(text: bytes) -> Any:
    try:
        return _orjson.loads(text)
    except (
        ValueError
    ):  # what orjson is stricter about than the standard library: half a surrogate pair, depth
        return _plain_loads(text)


def _fast_dumps(value: Any) -> bytes:
    try:
        made: bytes = _orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, half a surrogate pair, keys that are not text
        return _plain_dumps(value)
    return made


#: One JSON value from UTF-8 bytes; raises ValueError.
loads: Callable[[bytes], Any] = _plain_loads if _orjson is None else _fast_loads
#: A JSON value as compact UTF-8 bytes; raises TypeError or ValueError for what has no JSON form.
dumps: Callable[[Any], bytes] = _plain_dumps if _orjson is None else _fast_dumps
#: As `loads`, and without its detour for what orjson alone refuses: whoever reads many values tries this one first.
quick_loads: Callable[[bytes], Any] = _plain_loads if _orjson is None else _orjson.loads
