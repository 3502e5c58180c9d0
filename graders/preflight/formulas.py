"""Finds scores for which a formula fails, given the ranges of its members.

Every combination of the members' extreme and middle values is tried, beyond GRID points a fixed random part of them.
Two points at which a divisor has different signs enclose a zero, which is found by bisection. A finding has a witness:
scores, each within its member's range, for which the formula has no value. So there are no false alarms, while a
formula that passes may still fail at other values.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from graders.errors import FormulaError
from graders.formula import Formula
from graders.formula.parser import Node
from graders.spec.model import SpecModel

#: Points that are tried: all corners of 12 members.
GRID = 4096
#: Bisection steps towards a zero: enough to reach neighbouring floats.
BISECTIONS = 100


@dataclass(frozen=True, slots=True)
class Range:
    """The range of a member's reward: only `low` and `high`, or (continuous) anything between."""

    low: float
    high: float
    continuous: bool = True

    @property
    def points(self) -> tuple[float, ...]:
        if not self.continuous:
            return (self.low, self.high)
        return (self.low, self.high, (self.low + self.high) / 2, self.low + 0.31 * (self.high - self.low))


def range_of(spec: SpecModel) -> Range:
    """A grader's range. For a program, which may return any number, it is taken to be 0 to 1, as is usual."""
    low, high = spec.reward_range() or (0.0, 1.0)
    return Range(low, high, continuous=not spec.two_valued)


def witness(formula: Formula, ranges: Sequence[Range]) -> FormulaError | None:
    """An error of the formula whose message has the scores that cause it; None when no such scores are found.

    Args:
        ranges: The range of each of `formula.names`, in order.
    """
    points = list(_points(ranges))
    for scores in points:
        if error := _error(formula, scores):
            return error
    for divisor in _divisors(formula.tree):
        for scores in _zeros(divisor, formula.names, points, ranges):
            if error := _error(formula, scores):
                return error
    return None


def constant(formula: Formula, ranges: Sequence[Range]) -> bool:
    """Whether the value is the same at all points tried."""
    try:
        return len({formula.value(scores) for scores in _points(ranges)}) == 1
    except FormulaError:
        return False


def _points(ranges: Sequence[Range]) -> Iterator[tuple[float, ...]]:
    """Scores to try: all combinations of the members' points, or the corners and GRID random ones if they are more."""
    every = [each.points for each in ranges]
    total = 1
    for points in every:
        total *= len(points)
    if total <= GRID:
        yield from product(*every)
        return
    chance = random.Random(0)
    yield tuple(each.low for each in ranges)
    yield tuple(each.high for each in ranges)
    for _ in range(GRID):
        yield tuple(chance.choice(points) for points in every)


def _error(formula: Formula, scores: tuple[float, ...]) -> FormulaError | None:
    try:
        formula.value(scores)
    except FormulaError as error:
        return error
    return None


def _divisors(node: Node) -> Iterator[Node]:
    """Every divisor in a formula."""
    if node[0] == "/":
        yield node[2]
    for part in node[2] if node[0] == "call" else node[1:]:
        if isinstance(part, tuple):
            yield from _divisors(part)


def _zeros(
    divisor: Node, names: Sequence[str], points: Sequence[tuple[float, ...]], ranges: Sequence[Range]
) -> Iterator[tuple[float, ...]]:
    """Scores at which the divisor is zero, along continuous members, between points at which it is not."""
    value = Formula.of_tree(divisor, names)
    signs: list[tuple[tuple[float, ...], float]] = []
    for scores in points:
        try:
            signs.append((scores, value.value(scores)))
        except FormulaError:
            continue
    discrete = [place for place, each in enumerate(ranges) if not each.continuous]
    above: dict[tuple[float, ...], tuple[float, ...]] = {}
    below: dict[tuple[float, ...], tuple[float, ...]] = {}
    for scores, number in signs:
        (above if number > 0 else below)[tuple(scores[place] for place in discrete)] = scores
    for key in above.keys() & below.keys():
        low, high = below[key], above[key]
        for _ in range(BISECTIONS):
            middle = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
            try:
                number = value.value(middle)
            except FormulaError:
                break
            if number == 0:
                yield middle
                break
            if middle in (low, high):
                break
            low, high = (low, middle) if number > 0 else (middle, high)
