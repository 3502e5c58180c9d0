"""Python values in JSON's terms: NumPy, pandas, dates, decimals and enums mean the same wherever rows come in.

    json_value(np.int64(4))            4
    json_value(Decimal("1.10"))        "1.10"
    json_value({"a": float("nan")})    {"a": None}

A value without a JSON form is refused, with the name of its field; `str()` is never applied to one.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Mapping
from enum import Enum
from typing import Any

from graders.errors import SampleParseError

_AS_IT_IS = frozenset((str, int, bool, type(None)))
# pandas' missing values, by the names of their types, since `!=` of pd.NA has no truth value.
_MISSING = frozenset(("NaTType", "NAType"))


def json_value(value: Any, where: object = "value") -> Any:
    """The value in JSON types.

    NaN, NaT and NA are null. Decimals and UUIDs are their text, dates and times ISO 8601, enums their value, bytes
    UTF-8 text or else base64. NumPy scalars, arrays of any shape and tensors are numbers and lists; a tensor of one
    element is that element. Objects with `model_dump` are what they dump.

    Args:
        where: Name of the value's field, such as `item.answer`, for the error.

    Raises:
        SampleParseError: it has no JSON form, is infinite, or is nested too deeply; the message names the field.
    """
    try:
        return _converted(value, where)
    except RecursionError:
        raise SampleParseError(f"{where} is nested too deeply") from None


def _converted(value: Any, where: object) -> Any:
    kind = value.__class__
    if kind in _AS_IT_IS:
        return value
    if isinstance(value, Enum):
        return _converted(value.value, where)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return _finite(float(value), where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {_key(key, where): _converted(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_converted(inner, f"{where}[{place}]") for place, inner in enumerate(value)]
    return _of_library(value, where)


def _finite(number: float, where: object) -> float | None:
    if number != number:
        return None
    if number in (float("inf"), float("-inf")):
        raise SampleParseError(f"{where} is infinite, and JSON has no such number")
    return number


def _key(key: Any, where: object) -> str:
    """A key of a mapping as text; numbers and booleans are spelled as JSON spells them."""
    if key.__class__ is str:
        return str(key)
    value = _converted(key, f"a key of {where}")
    return value if isinstance(value, str) else json.dumps(value)


def _of_library(value: Any, where: object) -> Any:
    """Values of other libraries and rarer ones of the standard library, recognised by their attributes."""
    kind = type(value)
    if kind.__name__ in _MISSING:
        return None
    if isinstance(value, (bytes, bytearray)):
        return _text_or_base64(bytes(value))
    if kind.__name__ in ("Decimal", "UUID") and kind.__module__ in ("decimal", "_pydecimal", "uuid"):
        return None if value != value else str(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.datetime64):
        return None if value != value else str(value)
    if numpy is not None and isinstance(value, numpy.timedelta64):
        raise _refusal(value, where)
    if callable(getattr(value, "isoformat", None)):
        return value.isoformat()
    if callable(getattr(value, "numel", None)) and value.numel() == 1:
        return _converted(value.item(), where)
    if callable(getattr(value, "tolist", None)):
        plain = value.tolist()
        return _finite(float(plain), where) if type(plain) is kind else _converted(plain, where)
    if callable(getattr(value, "model_dump", None)):
        return _converted(value.model_dump(mode="json"), where)
    raise _refusal(value, where)


def _text_or_base64(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return b64encode(data).decode()


def _refusal(value: Any, where: object) -> SampleParseError:
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return SampleParseError(
        f"{where} is a {name}, which has no JSON form; pass text, a number, a list or an object instead"
    )
