"""The formula of `multi.calculate_output`: floats, + - * / ^, parentheses and a few functions.

Our own precedence parser reads the text; user text never reaches an evaluator. The parser's nodes are compiled once to
a Python function. `^` is right-associative and binds tighter than unary minus: 2^3^2 = 512, -2^2 = -4. Bounds on
length and depth make compiling and evaluating cheap for every text.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from graders.errors import FormulaError
from graders.formula.parser import FUNCTIONS, PRECEDENCE, SIGN_PRECEDENCE, Node, Parser

_OPERATORS: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div}


class Formula:
    """A formula, parsed and compiled once.

    Attributes:
        text: As written.
        names: The variables it may use, in the order in which `value` takes their scores.
        used: The variables that it uses.
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
        parser = Parser(text, self.names)
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
            FormulaError: a division by zero, an overflow, a root or logarithm that is not real, or a result that is
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
        """Each part of the formula as text, with its value; inner parts come before the outer ones.

        Raises:
            FormulaError: at the part that has no value.
        """
        for node in _parts(self.tree):
            yield _text(node, self.names), Formula.of_tree(node, self.names).value(scores)

    def _no_value(self, scores: Sequence[float], why: str) -> FormulaError:
        given = ", ".join(f"{name}={score:g}" for name, score in zip(self.names, scores, strict=True))
        return FormulaError(f"calculate_output {self.text!r} has no value for {given or 'no scores'}: {why}")


def _compile(tree: Node, n_names: int) -> Callable[..., float]:
    """A function of n_names floats, built from nodes, so that no user text reaches Python's parser."""
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
    """The operations and calls of a node, the innermost first, the node itself last."""
    if node[0] in ("number", "name"):
        return
    for inner in node[2] if node[0] == "call" else node[1:]:
        yield from _parts(inner)
    yield node


#: Operation -> precedence; numbers, names and calls bind most tightly.
_STRENGTH = {**PRECEDENCE, "neg": SIGN_PRECEDENCE, "^": SIGN_PRECEDENCE + 1}
_OPERAND = SIGN_PRECEDENCE + 2


def _text(node: Node, names: Sequence[str], weakest: int = 0) -> str:
    """A node as text, in parentheses when its precedence is below `weakest`."""
    kind = node[0]
    strength = _STRENGTH.get(kind, _OPERAND)
    if kind == "number":
        text = repr(node[1])
    elif kind == "name":
        text = names[node[1]]
    elif kind == "call":
        text = f"{node[1]}({', '.join(_text(argument, names) for argument in node[2])})"
    elif kind == "neg":
        text = f"-{_text(node[1], names, SIGN_PRECEDENCE)}"
    elif kind == "^":
        text = f"{_text(node[1], names, _OPERAND)}^{_text(node[2], names, SIGN_PRECEDENCE)}"
    else:
        text = f"{_text(node[1], names, strength)} {kind} {_text(node[2], names, strength + 1)}"
    return text if strength >= weakest else f"({text})"
