"""JSON in: whole numbers of any size stay whole, with orjson and without."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graders import jsontext

NUMBERS = [
    # langsmith-sdk#3391, orjson#517: orjson alone makes floats of the numbers from 2^64 on
    2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 10**30 + 1, -(2**63), -(2**63) - 1, -(2**64),
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("form", ["{}", '{{"a": [{}]}}', "[1.5e19,{}]", '["{}"]'])
def test_whole_numbers_stay_whole(number: int, form: str) -> None:
    """A number, alone, in lists and objects, and as text, is read as it stands."""
    text = form.format(number)

    assert repr(jsontext.loads(text.encode())) == repr(json.loads(text))
    assert repr(jsontext.loads_lines([b"{}", text.encode()])) == repr([{}, json.loads(text)])


@given(st.text("0123456789abc ", max_size=60), st.integers(0, 7))
def test_long_numbers_are_found(text: str, before: int) -> None:
    """The quick look says what a regular expression would, wherever the digits stand."""
    data = b" " * before + text.encode()
    runs = [len(run) for run in "".join(c if c.isdigit() else " " for c in text).split()]

    assert jsontext.long_numbers(data) == (max(runs, default=0) >= 19)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@example(
    {"b": [1e16, 1e-5, 1.5e-7, 0.0001, -0.0, 1e15, 123456789012345680.0], "a": "1e5, 0.00001, \x7f \u2028"}
)
def test_sorted_text_is_the_standard_librarys(value: object) -> None:
    """Hashes of items are made of it, and stores written with and without orjson are compared with each other."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    assert jsontext.dumps_sorted(value) == text.encode("utf-8", "surrogatepass")
