"""How often runs of n tokens are shared: the counting behind ROUGE-n, BLEU and GLEU.

Shared runs are clipped: one that stands twice in one text and five times in the other counts two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import TypeAlias

Gram: TypeAlias = Hashable  # the token itself for n = 1, else a tuple of n tokens

#: n -> (tokens -> its n-grams, in order).
GRAMS: dict[int, Callable[[Sequence[str]], Iterable[Gram]]] = {
    1: lambda t: t,
    2: pairwise,
    3: lambda t: zip(t, t[1:], t[2:], strict=False),
    4: lambda t: zip(t, t[1:], t[2:], t[3:], strict=False),
    5: lambda t: zip(t, t[1:], t[2:], t[3:], t[4:], strict=False),
}


def count(grams: Iterable[Gram]) -> Mapping[Gram, int]:
    """n-gram -> how often."""
    grams = list(grams)
    once = dict.fromkeys(grams, 1)
    return once if len(once) == len(grams) else Counter(grams)


def count_to_4(tokens: Sequence[str]) -> Mapping[Gram, int]:
    """All n-grams of one to four tokens -> how often."""
    after, later = tokens[1:], tokens[2:]
    return Counter(
        chain(
            tokens,
            zip(tokens, after, strict=False),
            zip(tokens, after, later, strict=False),
            zip(tokens, after, later, tokens[3:], strict=False),
        )
    )


def shared(grams: Iterable[Gram], counts: Mapping[Gram, int]) -> int:
    """How many of `grams` are in `counts` too, each at most as often as there."""
    found = list(filter(counts.__contains__, grams))
    distinct = set(found)
    if len(distinct) == len(found):
        return len(found)
    return sum([n if n <= (most := counts[gram]) else most for gram, n in Counter(found).items()])


def shared_to_4(tokens: Sequence[str], counts: Mapping[Gram, int]) -> list[int]:
    """`shared` for n = 1 to 4; where no n-gram is shared, no longer one can be."""
    done = []
    for n in (1, 2, 3, 4):
        matches = shared(GRAMS[n](tokens), counts)
        done.append(matches)
        if not matches:
            break
    return done + [0] * (4 - len(done))
