"""Columnar templates: a template over the samples and items of a chunk of rows.

This fast path covers the common case: samples are texts, items are objects, and every variable has a value. Anything
else (a sample object, a missing key, a failing metric) raises NotColumnar; the caller then grades that chunk row by
row, which also reports what is wrong. A property test holds both ways equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, TypeAlias

from graders.errors import GradeError
from graders.spec.kind import NotColumnar
from graders.template import Path, Template

#: (samples, items) -> the rendered texts; raises NotColumnar.
Texts: TypeAlias = Callable[[Sequence[str], Sequence[Any]], Sequence[str]]


def as_columns(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Any]]:
    """The samples and the items of `Grader.run_batch`'s rows.

    Raises:
        NotColumnar: a sample is not a text, or an item not an object.
    """
    try:
        samples = [row["sample"] for row in rows]
        items = [row.get("item") for row in rows]
    except (KeyError, TypeError, AttributeError):
        raise NotColumnar from None
    if not _all(str, samples):
        raise NotColumnar
    if not _all(dict, items):
        items = [item if "item" in row else row for row, item in zip(rows, items, strict=True)]
        items = [{} if item is None else item for item in items]
        if not _all(dict, items):
            raise NotColumnar
    return samples, items


def _all(kind: type, values: Sequence[object]) -> bool:
    """Whether all are exactly of that type."""
    return list(map(type, values)).count(kind) == len(values)


def column(template: Template) -> Texts:
    """A template over a chunk: the values of a single variable, or the joined pieces of each row."""
    constant = template.constant
    if constant is not None:
        return lambda samples, items: list(repeat(constant, len(samples)))
    pieces = [_piece(piece, template.to_text) for piece in template.pieces]
    if len(pieces) == 1:
        return pieces[0]
    return lambda samples, items: list(
        map("".join, zip(*(piece(samples, items) for piece in pieces), strict=True))
    )


def _piece(piece: str | Path, to_text: Callable[[Any], str]) -> Texts:
    if isinstance(piece, str):
        return lambda samples, items: list(repeat(piece, len(samples)))
    if piece.namespace == "sample":
        return _samples if piece.steps in (("output_text",), ("output",)) else _not_columnar
    keys = piece.steps
    # rendered row by row: an index, which must not take a letter out of a text, and the whole item as JSON
    if not keys or not all(isinstance(key, str) for key in keys):
        return _not_columnar

    def values(samples: Sequence[str], items: Sequence[Any]) -> Sequence[str]:
        column = items
        try:
            for key in keys:
                if column is not items and not _all(dict, column):
                    raise NotColumnar
                column = [value[key] for value in column]
            if _all(str, column):
                return column
            return [value if value.__class__ is str else to_text(value) for value in column]
        except (KeyError, TypeError, IndexError, GradeError):
            raise NotColumnar from None

    return values


def _samples(samples: Sequence[str], items: Sequence[Any]) -> Sequence[str]:
    return samples


def _not_columnar(samples: Sequence[str], items: Sequence[Any]) -> Sequence[str]:
    raise NotColumnar
