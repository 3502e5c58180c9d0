"""Local graders over columns: what `Grader.run_batch` computes row by row, for plain rows a chunk at a time.

Made for the one case that matters for speed: samples are texts, items are objects, and every template finds its
value. Anything else - a sample object, a missing key, a failing metric - raises Uneven, and the caller grades that
chunk row by row, which also says what is wrong. A property test holds the two equal.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from graders.errors import GradeError
from graders.kinds.multi import Multi
from graders.kinds.string_check import COMPARE, StringCheck, StringCheckSpec
from graders.kinds.text_similarity import TextSimilarity

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.template import Path, Template

_NONE: Mapping[str, Sequence[float]] = {}


class Uneven(Exception):
    """A row of the chunk is not plain."""


class Graded(NamedTuple):
    """The rewards of a chunk's rows, none of which failed; sub_rewards: key -> the same for that grader."""

    rewards: Sequence[float]
    sub_rewards: Mapping[str, Sequence[float]] = _NONE


#: (samples, items) -> the rendered texts, or the rewards.
Texts: TypeAlias = Callable[[Sequence[str], Sequence[Any]], Sequence[str]]
GradeColumns: TypeAlias = Callable[[Sequence[str], Sequence[Any]], Graded]

# The operations of COMPARE that have a C function.
_FAST: dict[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "like": operator.contains,
}


def plain(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Any]]:
    """The samples and the items of `Grader.run_batch`'s rows.

    Raises:
        Uneven: a sample is not a text, or an item not an object.
    """
    try:
        samples = [row["sample"] for row in rows]
        items = [row.get("item") for row in rows]
    except (KeyError, TypeError, AttributeError):
        raise Uneven from None
    if not _all(str, samples):
        raise Uneven
    if not _all(dict, items):
        items = [item if "item" in row else row for row, item in zip(rows, items, strict=True)]
        items = [{} if item is None else item for item in items]
        if not _all(dict, items):
            raise Uneven
    return samples, items


def _all(kind: type, values: Sequence[object]) -> bool:
    """Whether all are exactly of that type."""
    return list(map(type, values)).count(kind) == len(values)


def columns_of(grader: Grader) -> GradeColumns | None:
    """The columnar form of a grader; None when it has none (it asks somebody, or its type is not a local one)."""
    return _grader(grader.kind, grader.spec)


def _grader(kind: Any, spec: Any) -> GradeColumns | None:
    if isinstance(kind, StringCheck):
        return _string_check(kind, spec)
    if isinstance(kind, TextSimilarity):
        return _text_similarity(kind)
    if isinstance(kind, Multi):
        return _multi(kind, spec)
    return None


def _string_check(kind: StringCheck, spec: StringCheckSpec) -> GradeColumns:
    compare = _FAST.get(spec.operation, COMPARE[spec.operation])
    got, want = _column(kind.input), _column(kind.reference)
    number = (0.0, 1.0).__getitem__  # False is 0 and True is 1
    return lambda samples, items: Graded(
        list(map(number, map(compare, got(samples, items), want(samples, items))))
    )


def _text_similarity(kind: TextSimilarity) -> GradeColumns:
    scores = kind.metric.scores
    got, want = _column(kind.input), _column(kind.reference)

    def grade(samples: Sequence[str], items: Sequence[Any]) -> Graded:
        try:
            return Graded(scores(got(samples, items), want(samples, items)))
        except GradeError:
            raise Uneven from None

    return grade


def _multi(kind: Multi, spec: Any) -> GradeColumns | None:
    members = {key: _grader(child, spec.graders[key]) for key, child in kind.children.items()}
    if None in members.values():
        return None
    value = kind.formula.value

    def grade(samples: Sequence[str], items: Sequence[Any]) -> Graded:
        subs = {key: member(samples, items).rewards for key, member in members.items() if member}
        try:
            return Graded(list(map(value, zip(*subs.values(), strict=True))), subs)
        except GradeError:
            raise Uneven from None

    return grade


def _column(template: Template) -> Texts:
    """A template over a chunk. Where it is one variable, its values; else the pieces of each row, joined."""
    constant = template.constant
    if constant is not None:
        return lambda samples, items: list(repeat(constant, len(samples)))
    pieces = [_piece(piece, template._to_text) for piece in template._pieces]
    if len(pieces) == 1:
        return pieces[0]
    return lambda samples, items: list(
        map("".join, zip(*(piece(samples, items) for piece in pieces), strict=True))
    )


def _piece(piece: str | Path, to_text: Callable[[Any], str]) -> Texts:
    if isinstance(piece, str):
        return lambda samples, items: list(repeat(piece, len(samples)))
    if piece.namespace == "sample":
        return _samples if piece.steps in (("output_text",), ("output",)) else _uneven
    keys = piece.steps
    # an index would take a letter out of a text, and the whole item is rendered as JSON: row by row does both
    if not keys or not all(isinstance(key, str) for key in keys):
        return _uneven

    def values(samples: Sequence[str], items: Sequence[Any]) -> Sequence[str]:
        column = items
        try:
            for key in keys:
                if column is not items and not _all(dict, column):
                    raise Uneven
                column = [value[key] for value in column]
            if _all(str, column):
                return column
            return [value if value.__class__ is str else to_text(value) for value in column]
        except (KeyError, TypeError, IndexError, GradeError):
            raise Uneven from None

    return values


def _samples(samples: Sequence[str], items: Sequence[Any]) -> Sequence[str]:
    return samples


def _uneven(samples: Sequence[str], items: Sequence[Any]) -> Sequence[str]:
    raise Uneven
