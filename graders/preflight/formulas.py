"""Can a formula fail? Its members' ranges are known before any row is graded, so the answer can be looked for.

Every combination of the members' extreme and middle values is tried, beyond GRID points a fixed random part of them;
between two points at which a divisor has different signs there is a zero, which is then closed in on. What is
reported is a witness: scores, each within its member's range, for which the formula has no value. So a finding is
never a false alarm, while a formula that passes may still fail at values nobody tried.
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

GRID = 4096  # points tried; all corners of 12 members
BISECTIONS = 100  # halvings towards a zero: more than there are floats between two scores


@dataclass(frozen=True, slots=True)
class Range:
    """What a member can give: only `low` and `high`, or (continuous) anything between."""

    low: float
    high: float
    continuous: bool = True

    @property
    def points(self) -> tuple[float, ...]:
        if not self.continuous:
            return (self.low, self.high)
        return (self.low, self.high, (self.low + self.high) / 2, self.low + 0.31 * (self.high - self.low))


def range_of(spec: SpecModel) -> Range:
    """A grader's range. A program may return any number; the fraction that programs usually return is taken for it."""
    low, high = spec.reward_range() or (0.0, 1.0)
    return Range(low, high, continuous=not spec.two_valued)


def witness(formula: Formula, ranges: Sequence[Range]) -> FormulaError | None:
    """Why the formula can fail, its message naming the scores for which it does; None when no such scores are found.

    Args:
        ranges: Of each of `formula.names`, in order.
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
    """Whether the value is the same wherever it is tried."""
    try:
        return len({formula.value(scores) for scores in _points(ranges)}) == 1
    except FormulaError:
        return False


def _points(ranges: Sequence[Range]) -> Iterator[tuple[float, ...]]:
    """Scores to try. Members that nothing can vary with the others are all varied together."""
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
    """Every expression that something is divided by."""
    if node[0] == "/":
        yield node[2]
    for part in node[2] if node[0] == "call" else node[1:]:
        if isinstance(part, tuple):
            yield from _divisors(part)


def _zeros(
    divisor: Node, names: Sequence[str], points: Sequence[tuple[float, ...]], ranges: Sequence[Range]
) -> Iterator[tuple[float, ...]]:
    """Scores at which the divisor is zero, between points at which it is not, along continuous members."""
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
