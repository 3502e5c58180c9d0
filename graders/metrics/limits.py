"""Bounds of the metrics: on work that cannot be interrupted, and on memory that is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import mul
from typing import Generic, TypeVar

from graders.errors import GradeError

#: Characters x characters (or bits of the pattern) that one call of rapidfuzz may compare: about 0.3 s.
MAX_CELLS = 10**10
#: Words x words for a longest common subsequence: about 0.3 s.
MAX_WORD_CELLS = 2 * 10**9
#: The same for rouge-score's own table of Python lists: about 3 s, and 200 MB.
MAX_TABLE_CELLS = 25 * 10**6
#: Characters of one text for the metrics that count n-grams or align words. Their work is linear, but a text of this
#: size that is all punctuation has as many tokens: then 3 s and 0.5 GB.
MAX_CHARS = 1 << 20

#: Words that each memo keeps with their tokens, stem or synonyms ...
MEMO_WORDS = 1 << 16
#: ... and the longest word that is kept; longer ones are computed every time.
MEMO_WORD_CHARS = 64
#: Prepared references that each bound metric keeps, and the characters that they may have together.
MEMO_REFERENCES = 1024
MEMO_REFERENCE_CHARS = 200_000

T = TypeVar("T")


class TextTooLong(GradeError):
    """Texts that are too long for a metric to compare in reasonable time, since it cannot be interrupted."""

    def __init__(self, metric: str, hypothesis: int, reference: int, limit: int, unit: str) -> None:
        """Args: the two lengths in `unit`, and the largest product of them that is computed."""
        super().__init__(
            f"{metric}: texts of {hypothesis:,} and {reference:,} {unit} are too long to compare "
            f"(the product of the lengths may be {limit:,} at most); cut them before they are graded"
        )


class TooManyCharacters(TextTooLong):
    """One of the texts alone is too long."""

    def __init__(self, metric: str, chars: int) -> None:
        GradeError.__init__(
            self,
            f"{metric}: a text of {chars:,} characters is too long (at most {MAX_CHARS:,}); cut it before it is graded",
        )


def bounded(metric: str, tokenize: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """A `tokenize` that raises TooManyCharacters for texts beyond MAX_CHARS."""

    def tokens(text: str) -> list[str]:
        if len(text) > MAX_CHARS:
            raise TooManyCharacters(metric, len(text))
        return tokenize(text)

    return tokens


def pair_cells(hypotheses: Sequence[str], references: Sequence[str], most: int) -> int:
    """Characters x characters of all pairs: exact if that is more than `most`, else an upper bound."""
    # cheaper by far than the sum of the products
    cells = sum(map(len, hypotheses)) * sum(map(len, references))
    return cells if cells <= most else sum(map(mul, map(len, hypotheses), map(len, references)))


class WordMemo(dict[str, T], Generic[T]):
    """A memo of a function of a word: a dict that fills itself, and is emptied when it is full."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make

    def __missing__(self, word: str) -> T:
        made = self._make(word)
        if len(word) <= MEMO_WORD_CHARS:
            if len(self) >= MEMO_WORDS:
                self.clear()
            self[word] = made
        return made


class ReferenceMemo(Generic[T]):
    """A memo of a function of a reference text. A result is kept from the second call with the same text.

    After the first call only the text's hash is kept, so that references that all differ take no memory.
    """

    __slots__ = ("_chars", "_kept", "_make", "_seen")

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._kept: dict[str, T] = {}
        self._seen: set[int] = set()
        self._chars = 0

    def __call__(self, reference: str) -> T:
        kept = self._kept.get(reference)
        return self._first(reference) if kept is None else kept

    def _first(self, reference: str) -> T:
        made = self._make(reference)
        mark = hash(reference)
        if mark not in self._seen:
            if len(self._seen) >= MEMO_REFERENCES:
                self._seen.clear()
            self._seen.add(mark)
        elif len(reference) <= MEMO_REFERENCE_CHARS:
            if len(self._kept) >= MEMO_REFERENCES or self._chars + len(reference) > MEMO_REFERENCE_CHARS:
                self._kept.clear()
                self._chars = 0
            self._kept[reference] = made
            self._chars += len(reference)
        return made
