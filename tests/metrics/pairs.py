"""Pairs of texts for parity tests, made from a seed: prose, repeats, scripts, fragments."""

from __future__ import annotations

import random
from collections.abc import Iterator

_PROSE = [
    "The",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "the",
    "lazy",
    "dog",
    "while",
    "the",
    "dogs",
    "were",
    "running",
    "home",
    "and",
    "nobody",
    "had",
    "seen",
    "it's",
    "shadow.",
    "In",
    "1998,",
    "U.S.",
    "exports",
    "rose",
    "by",
    "3.5%",
    "to",
    "$1,234.56",
    "million;",
    "however,",
    "imports",
    "--",
    "mostly",
    "cars,",
    "computers",
    "&",
    "food",
    "--",
    "fell.",
    "He",
    "said:",
    "\"Don't",
    "worry,",
    "we'll",
    "be",
    "there",
    "at",
    "10:30",
    'a.m."',
    "(which",
    "they",
    "weren't).",
    "State-of-the-art",
    "e-mail",
    "systems",
    "failed.",
    "Children's",
    "feet",
    "hurt;",
    "the",
    "geese",
    "flew",
    "south;",
    "mice",
    "ate",
    "the",
    "cheese",
    "while",
    "women",
    "and",
    "men",
    "talked",
    "about",
    "better",
    "analyses.",
    "A",
    "buyer",
    "purchased",
    "the",
    "automobile",
    "quickly",
    "and",
    "happily,",
    "though",
    "its",
    "price",
    "was",
    "large,",
    "big,",
    "huge",
    "and",
    "enormous.",
    "&quot;Entities&quot;",
    "&amp;",
    "tags",
    "&lt;b&gt;",
    "appear",
    "too,",
    "as",
    "do\nline",
    "breaks-\nand",
    "<skipped>",
    "words.",
    "",
]
_GRID = (
    "", " ", "\n", "a", "A", "hello", "Hello", "!!!", "...", "It's 42.", "It's 42", "3.14", "1,000", "-5", "a-b", "x_y", "naïve café",
    "naive cafe", "你好", "你好世界", "مرحبا بالعالم", "שלום", "привет мир", "🙂", "🙂🙃", "e\u0301", "é", "ß", "SS", "İ", "ı", "K", "ﬁ",
    "&amp;", "&lt;b&gt;", "<skipped>", "a\u00a0b", "a\u2028b", "\u200d", "\x00", "\ud800", "tab\tbed", "don't", "\"q\"", "(p)", "a.b.c",
)  # fmt: skip
_PIECES = "abc AB .,-!?'\"()&;<>0123456789 \n\té你🙂_/\\@#%*+=[]{}|~^`"


def pairs(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """The grid against itself, then prose, repeats and fragments until `count` pairs are there."""
    made = 0
    for left in _GRID:
        for right in _GRID:
            yield left, right
            made += 1
    rng = random.Random(seed)
    while made < count:
        kind = rng.random()
        if kind < 0.6:
            start = rng.randrange(len(_PROSE))
            words = (_PROSE * 4)[start : start + rng.choice((3, 8, 30, 90))]
            yield " ".join(words), " ".join(_mutated(words, rng))
        elif kind < 0.85:
            vocabulary = rng.sample(
                ("a", "b", "the", "cat", "cats", "dog", "run", "running", "big", "large"), 4
            )
            yield (
                " ".join(rng.choices(vocabulary, k=rng.randrange(40))),
                " ".join(rng.choices(vocabulary, k=rng.randrange(40))),
            )
        else:
            yield (
                "".join(rng.choices(_PIECES, k=rng.randrange(60))),
                "".join(rng.choices(_PIECES, k=rng.randrange(60))),
            )
        made += 1


def _mutated(words: list[str], rng: random.Random) -> list[str]:
    rate = rng.choice((0.05, 0.3, 0.9))
    changed = []
    for word in words:
        if rng.random() > rate:
            changed.append(word)
            continue
        change = rng.randrange(5)
        if change == 0:
            changed.append(rng.choice(_PROSE))
        elif change == 1:
            changed.append(word + "s")
        elif change == 2:
            changed.append(word.upper())
        elif change == 3:
            changed += [word, word]
    return changed
