"""How much text one comparison may take: a C call in progress cannot be interrupted."""

from __future__ import annotations

from graders.errors import GradeError

CHAR_CELLS = 10**10  # characters times characters for edit distances: about 0.3 s
WORD_CELLS = 2 * 10**9  # words times words for common subsequences: about 0.6 s


class TextTooLong(GradeError):
    """The product of the two lengths is beyond what one comparison may take."""


def bounded(metric: str, left: int, right: int, most: int, unit: str) -> None:
    """Refuse a pair whose table of comparisons is too large.

    Raises:
        TextTooLong: with both sizes and the bound.
    """
    if left * right > most:
        raise TextTooLong(
            f"{metric} of {left:,} by {right:,} {unit} takes more than {most:,} comparisons; shorten the texts"
        )
