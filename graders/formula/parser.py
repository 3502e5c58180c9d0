"""A precedence parser for formulas, with bounds on length, terms and depth."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

#: Characters of a formula: far beyond any real one, and a bound on the work of compiling.
MAX_CHARS = 10_000
#: Numbers and names; also a bound on the nesting of a chain of operators.
MAX_TERMS = 250
#: Nesting of parentheses, signs and powers.
MAX_DEPTH = 60
#: A parsed formula: ("number", 1.0), ("name", 0), ("neg", x), ("+", x, y), ("call", "min", (x, y)).
Node: TypeAlias = tuple[Any, ...]


def _floor(x: float) -> float:
    return float(math.floor(x))


def _ceil(x: float) -> float:
    return float(math.ceil(x))


def _min(*values: float) -> float:
    return min(values)


def _max(*values: float) -> float:
    return max(values)


#: name -> (function, fewest arguments, most arguments; None: any number)
FUNCTIONS: dict[str, tuple[Callable[..., float], int, int | None]] = {
    "min": (_min, 1, None),
    "max": (_max, 1, None),
    "abs": (abs, 1, 1),
    "floor": (_floor, 1, 1),
    "ceil": (_ceil, 1, 1),
    "exp": (math.exp, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    # the natural logarithm
    "log": (math.log, 1, 1),
}
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
SIGN_PRECEDENCE = 3
_BLANK = re.compile(r"\s*")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WORD = re.compile(r"[^\W\d]\w*")


class FormulaSyntax(ValueError):
    """Raised for a text that is not a formula.

    Attributes:
        position: 0-based index of the character at which parsing failed.
        unknown: The name that is neither a grader's nor a function's; "" for other mistakes.
    """

    def __init__(self, message: str, position: int, unknown: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.unknown = unknown


class Parser:
    """A precedence-climbing parser that keeps its position for messages."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        if len(text) > MAX_CHARS:
            raise FormulaSyntax(f"it has {len(text)} characters; the limit is {MAX_CHARS}", MAX_CHARS)
        self.text = text
        self.at = 0
        self.terms = 0
        self.used: set[int] = set()
        # Longest first, so that a name never shadows a longer one that begins with it.
        self.names = sorted(((name, index) for index, name in enumerate(names)), key=lambda n: -len(n[0]))

    def parse(self) -> Node:
        tree = self.expression(0, 0)
        if self.peek():
            raise self.unexpected("the end or an operator")
        return tree

    def peek(self) -> str:
        """The next character that is not blank, "" at the end."""
        self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches everywhere
        return self.text[self.at : self.at + 1]

    def take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self.unexpected(f"'{wanted}'")
        self.at += 1

    def unexpected(self, wanted: str) -> FormulaSyntax:
        found = self.peek()
        what = f"'{found}' at position {self.at + 1}" if found else "the end"
        hint = (
            " (a power is written ^)"
            if self.text.startswith("*", self.at) and self.text[self.at - 1] == "*"
            else ""
        )
        return FormulaSyntax(f"expected {wanted}, found {what}{hint}", self.at)

    def expression(self, weakest: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise FormulaSyntax(f"it is nested more than {MAX_DEPTH} deep", self.at)
        left = self.signed(depth)
        while (operator := self.peek()) and (strength := PRECEDENCE.get(operator, -1)) > weakest:
            self.at += 1
            left = (operator, left, self.expression(strength, depth + 1))
        return left

    def signed(self, depth: int) -> Node:
        sign = self.peek()
        if sign and sign in "+-":
            self.at += 1
            operand = self.expression(SIGN_PRECEDENCE, depth + 1)
            return ("neg", operand) if sign == "-" else operand
        base = self.operand(depth)
        if self.peek() == "^":
            self.at += 1
            # the right side is a signed power itself: right-associative, and 2^-1 is allowed
            return ("^", base, self.expression(SIGN_PRECEDENCE, depth + 1))
        return base

    def operand(self, depth: int) -> Node:
        first = self.peek()
        start = self.at
        if first == "(":
            self.at += 1
            inner = self.expression(0, depth + 1)
            self.take(")")
            return inner
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise FormulaSyntax(f"it has more than {MAX_TERMS} terms", start)
        if (number := _NUMBER.match(self.text, start)) and not self.continues(number.end()):
            self.at = number.end()
            value = float(number[0])
            if math.isinf(value):
                raise FormulaSyntax(f"the number {number[0]} at position {start + 1} is too large", start)
            return ("number", value)
        word = _WORD.match(self.text, start)
        if word and word[0] in FUNCTIONS and _BLANK.sub("", self.text[word.end() :], count=1)[:1] == "(":
            self.at = word.end()
            return self.call(word[0], start, depth)
        for name, index in self.names:
            if name and self.text.startswith(name, start) and not self.continues(start + len(name)):
                self.at = start + len(name)
                self.used.add(index)
                return ("name", index)
        if word:
            known = ", ".join(repr(name) for name, _ in sorted(self.names, key=lambda n: n[1])) or "none"
            if word[0] in FUNCTIONS:
                raise FormulaSyntax(f"'{word[0]}' is a function and needs '(' after it", start)
            raise FormulaSyntax(
                f"unknown name '{word[0]}' at position {start + 1}; the graders are {known}, "
                f"the functions {', '.join(FUNCTIONS)}",
                start,
                word[0],
            )
        raise self.unexpected("a number, a grader's key, a function or '('")

    def continues(self, end: int) -> bool:
        """Whether the word continues at `end`, so that a match ending there is only a part of it."""
        return bool(re.match(r"\w", self.text[end : end + 1]))

    def call(self, function: str, start: int, depth: int) -> Node:
        _, fewest, most = FUNCTIONS[function]
        self.take("(")
        arguments: list[Node] = []
        while self.peek() != ")" or arguments:
            arguments.append(self.expression(0, depth + 1))
            if self.peek() != ",":
                break
            self.at += 1
        self.take(")")
        if len(arguments) < fewest or (most is not None and len(arguments) > most):
            wanted = f"{fewest} argument" if fewest == most else f"at least {fewest} argument"
            raise FormulaSyntax(f"'{function}' takes {wanted}, not {len(arguments)}", start)
        return ("call", function, tuple(arguments))
