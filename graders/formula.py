"""The formula of `multi.calculate_output`: floats, + - * / ^, parentheses and a few functions.

A precedence parser of ours reads the text; user text is never handed to an evaluator. What comes out is compiled
once from the parser's own nodes. `^` is right-associative and binds tighter than unary minus: 2^3^2 = 512,
-2^2 = -4. Bounds on length and depth make compiling and evaluating cheap for every text.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from graders.errors import FormulaError

MAX_CHARS = 10_000  # far beyond any formula seen; bounds the work of compiling
MAX_TERMS = 250  # numbers and names; also bounds how deep a chain of operators nests
MAX_DEPTH = 60  # of parentheses, signs and powers

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
    "log": (math.log, 1, 1),  # natural
}

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
_SIGN_PRECEDENCE = 3
_OPERATORS: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div}

_BLANK = re.compile(r"\s*")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WORD = re.compile(r"[^\W\d]\w*")


class FormulaSyntax(ValueError):
    """The text is not a formula.

    Attributes:
        position: The 0-based character that it was noticed at.
        unknown: The name that is neither a grader's nor a function's; "" when that is not the mistake.
    """

    def __init__(self, message: str, position: int, unknown: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.unknown = unknown


class Formula:
    """A formula, parsed and compiled once.

    Attributes:
        text: As written.
        names: The variables it may use, in the order in which `value` takes their scores.
        used: Those it does use.
        tree: The parsed form, for analysis.
    """

    __slots__ = ("_evaluate", "names", "text", "tree", "used")

    def __init__(self, text: str, names: Sequence[str]) -> None:
        """
        Raises:
            FormulaSyntax: the text is not a formula over these names.
        """
        self.text = text
        self.names = tuple(names)
        parser = _Parser(text, self.names)
        self.tree = parser.parse()
        self.used = tuple(name for index, name in enumerate(self.names) if index in parser.used)
        self._evaluate = _compile(self.tree, len(self.names))

    @classmethod
    def of_tree(cls, tree: Node, names: Sequence[str]) -> Formula:
        """A part of a parsed formula, over the same names."""
        part = object.__new__(cls)
        part.text, part.names, part.used, part.tree = "", tuple(names), (), tree
        part._evaluate = _compile(tree, len(part.names))
        return part

    def renamed(self, keys: Mapping[str, str]) -> str:
        """The formula's text over other names; `keys` maps each name to the new one."""
        return _text(self.tree, [keys[name] for name in self.names])

    def value(self, scores: Sequence[float]) -> float:
        """The formula's value for one score a name.

        Raises:
            FormulaError: division by zero, overflow, a root or logarithm that is not real, or a result that is
                not finite.
        """
        try:
            value = self._evaluate(*scores)
        except ArithmeticError as error:
            raise self._no_value(scores, f"{type(error).__name__}: {error}") from None
        except ValueError as error:
            raise self._no_value(scores, str(error)) from None
        if not math.isfinite(value):
            raise self._no_value(scores, f"the result is {value}")
        return value

    def steps(self, scores: Sequence[float]) -> Iterator[tuple[str, float]]:
        """Each part that is worked out, as text, and its value; what is inside of a part comes before it.

        Raises:
            FormulaError: at the part that has no value.
        """
        for node in _parts(self.tree):
            yield _text(node, self.names), Formula.of_tree(node, self.names).value(scores)

    def _no_value(self, scores: Sequence[float], why: str) -> FormulaError:
        given = ", ".join(f"{name}={score:g}" for name, score in zip(self.names, scores, strict=True))
        return FormulaError(f"calculate_output {self.text!r} has no value for {given or 'no scores'}: {why}")


class _Parser:
    """Precedence climbing over the text; positions are kept for messages."""

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
        while (operator := self.peek()) and (strength := _PRECEDENCE.get(operator, -1)) > weakest:
            self.at += 1
            left = (operator, left, self.expression(strength, depth + 1))
        return left

    def signed(self, depth: int) -> Node:
        sign = self.peek()
        if sign and sign in "+-":
            self.at += 1
            operand = self.expression(_SIGN_PRECEDENCE, depth + 1)
            return ("neg", operand) if sign == "-" else operand
        base = self.operand(depth)
        if self.peek() == "^":
            self.at += 1
            # the right side is a signed power itself: right-associative, and 2^-1 is allowed
            return ("^", base, self.expression(_SIGN_PRECEDENCE, depth + 1))
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
        if (number := _NUMBER.match(self.text, start)) and not self.glued(number.end()):
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
            if name and self.text.startswith(name, start) and not self.glued(start + len(name)):
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

    def glued(self, end: int) -> bool:
        """Whether a word goes on at `end`, so that what ends there is only part of it."""
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


def _compile(tree: Node, n_names: int) -> Callable[..., float]:
    """A function of n_names floats. Built from nodes, so no text of the user's reaches Python's parser."""
    arguments = [ast.arg(f"_{index}") for index in range(n_names)]
    signature = ast.arguments(
        posonlyargs=[], args=arguments, kwonlyargs=[], kw_defaults=[], defaults=[], vararg=None, kwarg=None
    )
    expression = ast.fix_missing_locations(ast.Expression(ast.Lambda(args=signature, body=_emit(tree))))
    scope: dict[str, Any] = {name: function for name, (function, _, _) in FUNCTIONS.items()}
    scope |= {"pow": math.pow, "__builtins__": {}}
    made: Callable[..., float] = eval(compile(expression, "<calculate_output>", "eval"), scope)
    return made


def _emit(node: Node) -> ast.expr:
    kind = node[0]
    if kind == "number":
        return ast.Constant(node[1])
    if kind == "name":
        return ast.Name(f"_{node[1]}", ast.Load())
    if kind == "neg":
        return ast.UnaryOp(ast.USub(), _emit(node[1]))
    if kind == "call":
        return ast.Call(ast.Name(node[1], ast.Load()), [_emit(argument) for argument in node[2]], [])
    if kind == "^":
        return ast.Call(ast.Name("pow", ast.Load()), [_emit(node[1]), _emit(node[2])], [])
    return ast.BinOp(_emit(node[1]), _OPERATORS[kind](), _emit(node[2]))


def _parts(node: Node) -> Iterator[Node]:
    """The operations and calls of a node, the innermost first, and last the node itself."""
    if node[0] in ("number", "name"):
        return
    for inner in node[2] if node[0] == "call" else node[1:]:
        yield from _parts(inner)
    yield node


#: Operation -> how strongly it binds; numbers, names and calls bind most.
_STRENGTH = {**_PRECEDENCE, "neg": _SIGN_PRECEDENCE, "^": _SIGN_PRECEDENCE + 1}
_OPERAND = _SIGN_PRECEDENCE + 2


def _text(node: Node, names: Sequence[str], weakest: int = 0) -> str:
    """A node as text; in parentheses when it binds more weakly than what stands around it allows."""
    kind = node[0]
    strength = _STRENGTH.get(kind, _OPERAND)
    if kind == "number":
        text = repr(node[1])
    elif kind == "name":
        text = names[node[1]]
    elif kind == "call":
        text = f"{node[1]}({', '.join(_text(argument, names) for argument in node[2])})"
    elif kind == "neg":
        text = f"-{_text(node[1], names, _SIGN_PRECEDENCE)}"
    elif kind == "^":
        text = f"{_text(node[1], names, _OPERAND)}^{_text(node[2], names, _SIGN_PRECEDENCE)}"
    else:
        text = f"{_text(node[1], names, strength)} {kind} {_text(node[2], names, strength + 1)}"
    return text if strength >= weakest else f"({text})"
