"""Suggestions for misspelt words."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

#: Characters of a word that is compared. Longer ones are no names, and comparing takes the product of the lengths.
WORD_MAX_CHARS = 200
#: Known names that are compared; as many take some 10 ms.
KNOWN_MAX = 20_000
#: The least similarity of a suggestion, in percent by rapidfuzz's ratio.
LIKENESS = 60.0


def closest(word: object, known: Iterable[str]) -> str:
    """The closest known word, or "" when none is close."""
    # here, since `import graders` must stay light
    from rapidfuzz import fuzz, process

    text = str(word)
    if len(text) > WORD_MAX_CHARS:
        return ""
    names = [name for name in islice(known, KNOWN_MAX) if len(name) <= WORD_MAX_CHARS]
    close = process.extractOne(text, names, scorer=fuzz.ratio, score_cutoff=LIKENESS)
    return close[0] if close else ""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A question naming the closest known word, or "" when none is close."""
    close = closest(word, known)
    return f"Did you mean '{close}'?" if close else ""


def known_names(names: Collection[str], known: Collection[str], what: str) -> None:
    """Raises ValueError where one of `names` is not known."""
    if isinstance(names, str):
        raise ValueError(f"expected a list of {what}s, not the text {names!r}")
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}. {did_you_mean(name, known)}".rstrip())
