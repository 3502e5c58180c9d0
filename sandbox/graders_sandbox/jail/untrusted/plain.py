"""JSON encoding of plain data, for arguments and answers of `run_untrusted`.

A type that JSON lacks is a list of a tag and the content: ["tuple", [1, 2]], ["int", "0x..."], ["dict", [[1, 2]]].
"""

from __future__ import annotations

import sys
import time

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = Any

_NEVER = float("inf")


def encode(value: object) -> Json:
    """Plain data of exact types as JSON.

    Raises:
        TypeError: a value is not plain data.
    """
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 63 else ["int", hex(value)]  # type: ignore[operator,arg-type]  # `kind` says what it is
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return [kind.__name__, [encode(inner) for inner in value]]  # type: ignore[attr-defined]  # `kind` says what it is
    if kind is dict:
        return ["dict", [[encode(k), encode(v)] for k, v in value.items()]]  # type: ignore[attr-defined]  # `kind` says what it is
    if kind is bytes:
        return ["bytes", value.hex()]  # type: ignore[attr-defined]  # `kind` says what it is
    if kind is complex:
        return ["complex", [value.real, value.imag]]  # type: ignore[attr-defined]  # `kind` says what it is
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return encode(value.tolist())
    raise TypeError(f"a {kind.__name__} is not plain data")


def decode(value: Json, ends: float = _NEVER) -> Any:
    """The data that `encode` encoded.

    Args:
        value: The result of `encode`, or any other, untrusted JSON value.
        ends: Deadline by time.monotonic(), since keys with colliding hashes, which may be chosen on purpose, take
            quadratic time.

    Raises:
        ValueError, TypeError: it is not a result of `encode`.
        TimeoutError: it took too long.
    """
    if value is None or isinstance(value, (bool, str, float, int)):
        return value
    tag, inner = value
    if tag == "list":
        return [decode(element, ends) for element in inner]
    if tag == "tuple":
        return tuple([decode(element, ends) for element in inner])
    if tag in ("set", "frozenset"):
        elements = set()
        for element in inner:
            _check(ends)
            elements.add(decode(element, ends))
        return elements if tag == "set" else frozenset(elements)
    if tag == "dict":
        items = {}
        for key, held in inner:
            _check(ends)
            items[decode(key, ends)] = decode(held, ends)
        return items
    if tag == "int":
        return int(inner, 16)
    if tag == "bytes":
        return bytes.fromhex(inner)
    if tag == "complex":
        return complex(*inner)
    raise ValueError(f"there is no type {tag!r:.40}")


def _check(ends: float) -> None:
    if time.monotonic() > ends:
        raise TimeoutError


def same(got: object, expected: object, tolerance: float) -> bool:
    """Equality of plain data. True is not 1, nan is nan, a tuple is a list."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return got is expected
    if isinstance(expected, float) and isinstance(got, (int, float)):
        if expected != expected:
            return got != got
        return got == expected or abs(got - expected) <= tolerance
    if isinstance(expected, (list, tuple)):
        return (
            isinstance(got, (list, tuple))
            and len(got) == len(expected)
            and all(same(g, e, tolerance) for g, e in zip(got, expected, strict=True))
        )
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and got.keys() == expected.keys()
            and all(same(got[key], expected[key], tolerance) for key in expected)
        )
    if isinstance(expected, int) and isinstance(got, float):
        return got == expected or abs(got - expected) <= tolerance
    return type(got) is type(expected) and got == expected
