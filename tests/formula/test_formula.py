"""The formula: equal to plain evaluation, bounded, and never raising anything but its own errors."""

from __future__ import annotations

import math
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.errors import FormulaError
from graders.formula import Formula
from graders.formula.parser import MAX_CHARS, MAX_DEPTH, MAX_TERMS, FormulaSyntax

NAMES = ("a", "b_2", "exact-match", "min")
VALUES = (0.5, -2.0, 3.0, 0.25)


def formulas() -> st.SearchStrategy[tuple[str, str]]:
    """Pairs of a formula and the same thing in Python."""
    leaves = st.one_of(
        st.integers(0, 20).map(lambda n: (str(n), f"{n}.0")),
        st.sampled_from(["0.5", "1.25", "2e0"]).map(lambda n: (n, n)),
        st.sampled_from([(name, f"({value!r})") for name, value in zip(NAMES, VALUES, strict=True)]),
    )

    def grow(inner: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str]]:
        two = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(st.sampled_from("+-*/"), two).map(
                lambda t: (f"({t[1][0][0]} {t[0]} {t[1][1][0]})", f"({t[1][0][1]} {t[0]} {t[1][1][1]})")
            ),
            inner.map(lambda x: (f"-{x[0]}", f"(-{x[1]})")),
            st.tuples(st.sampled_from(["min", "max"]), two).map(
                lambda t: (f"{t[0]}({t[1][0][0]}, {t[1][1][0]})", f"{t[0]}({t[1][0][1]}, {t[1][1][1]})")
            ),
            inner.map(lambda x: (f"abs({x[0]})", f"abs({x[1]})")),
            inner.map(lambda x: (f"floor({x[0]})", f"float(math.floor({x[1]}))")),
            inner.map(lambda x: (f"({x[0]})^2", f"math.pow({x[1]}, 2.0)")),
        )

    return st.recursive(leaves, grow, max_leaves=12)


@given(formulas())
def test_a_formula_equals_python(pair: tuple[str, str]) -> None:
    """A formula has the value that Python gives the same expression, or an error where Python has none."""
    text, same = pair
    try:
        expected = eval(same, {"math": math})
    except (ArithmeticError, ValueError):
        expected = math.nan

    formula = Formula(text, NAMES)

    if math.isfinite(expected):
        assert formula.value(VALUES) == expected
    else:
        with pytest.raises(FormulaError):
            formula.value(VALUES)


@given(st.text(max_size=60) | st.text("ab_2+-*/^()., minax", max_size=60))
def test_any_text_is_a_formula_or_its_own_error(text: str) -> None:
    """No text makes the parser or the evaluation raise anything else."""
    with suppress(FormulaSyntax, FormulaError):
        Formula(text, NAMES).value(VALUES)


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
def test_a_formula_of_any_key_names_it(names: list[str]) -> None:
    """A formula that is one key, whatever the key is, names its score or is a syntax error."""
    try:
        formula = Formula(names[0], names)
    except FormulaSyntax:
        return
    if formula.used == (names[0],):
        assert formula.value([7.0] * len(names)) == 7.0


HOSTILE = [
    pytest.param("(" * 5000 + "a" + ")" * 5000, id="deep parentheses"),
    pytest.param("-" * 9000 + "a", id="many signs"),
    pytest.param("+".join(["a"] * 4000), id="many terms"),
    pytest.param("^".join(["a"] * 500), id="a tall tower"),
    pytest.param("9" * 9000, id="a long number"),
    pytest.param("min(" * 500 + "a" + ")" * 500, id="deep calls"),
    pytest.param("a" * (MAX_CHARS + 1), id="too long"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_formulas_end_at_once(text: str) -> None:
    """Length, terms and depth are bounded before anything is compiled."""
    started = time.thread_time()

    with pytest.raises(FormulaSyntax):
        Formula(text, NAMES)

    assert time.thread_time() - started < 10.0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("+".join(["a"] * MAX_TERMS), id="as many terms as allowed"),
        pytest.param("(" * (MAX_DEPTH - 1) + "a" + ")" * (MAX_DEPTH - 1), id="as deep as allowed"),
    ],
)
def test_the_bounds_themselves_work(text: str) -> None:
    """A formula within the bounds compiles on every supported Python."""
    assert math.isfinite(Formula(text, NAMES).value(VALUES))


def test_a_power_tower_does_not_grow_big_integers() -> None:
    """9^9^9 overflows at once instead of filling memory."""
    started = time.thread_time()

    with pytest.raises(FormulaError, match="OverflowError"):
        Formula("9^9^9", NAMES).value(VALUES)

    # as a big integer it has 370 million digits and takes minutes
    assert time.thread_time() - started < 5.0


def test_the_message_names_the_scores() -> None:
    """The error lists the scores that the formula was computed from."""
    with pytest.raises(FormulaError, match=r"a=1, b=0: .*division by zero"):
        Formula("a / b", ["a", "b"]).value([1.0, 0.0])
