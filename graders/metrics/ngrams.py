"""How often runs of n tokens are shared: the counting behind ROUGE-n, BLEU and GLEU.

Shared runs are clipped: one that stands twice in one text and five times in the other counts two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise, repeat
from typing import Any, TypeAlias

Gram: TypeAlias = Hashable  # the token itself for n = 1, else a tuple of n tokens

#: n -> (tokens -> its n-grams, in order).
GRAMS: dict[int, Callable[[Sequence[str]], Iterable[Gram]]] = {
    1: lambda t: t,
    2: pairwise,
    3: lambda t: zip(t, t[1:], t[2:], strict=False),
    4: lambda t: zip(t, t[1:], t[2:], t[3:], strict=False),
    5: lambda t: zip(t, t[1:], t[2:], t[3:], t[4:], strict=False),
}
ORDERS = (1, 2, 3, 4)  # of BLEU and GLEU

#: A reference's tokens from which on sorting numbers is cheaper than hashing tuples (measured: 38), and the
#: distinct ones up to which four of them make a number below 2**63.
SORT_FROM, SORT_DISTINCT = 40, 55_000

#: Tokens of a hypothesis -> n-grams shared with a known reference, for n = 1 to 4.
Shared: TypeAlias = Callable[[Sequence[str]], Sequence[int]]


def shared(grams: Iterable[Gram], counts: Mapping[Gram, int]) -> int:
    """How many of `grams` are in `counts` too, each at most as often as there."""
    return _take(grams, dict(counts))


def shared_with(reference: Sequence[str]) -> Shared:
    """The function that counts what a hypothesis shares with this reference."""
    if len(reference) >= SORT_FROM:
        number = {token: at for at, token in enumerate(dict.fromkeys(reference), 1)}
        if len(number) < SORT_DISTINCT:
            import numpy as np

            return partial(_shared_numbers, number, np.append(_numbers(reference, number), -1))
    return partial(_shared_tuples, Counter(chain(*_grams(reference))))


def _grams(t: Sequence[str]) -> tuple[Iterable[Gram], ...]:
    """The n-grams of ORDERS."""
    u, v, w = t[1:], t[2:], t[3:]
    return t, zip(t, u), zip(t, u, v), zip(t, u, v, w)  # noqa: B905  # each ends with the shortest; saying so costs


def _shared_tuples(counts: Mapping[Gram, int], tokens: Sequence[str]) -> list[int]:
    left = dict(counts)
    done = [0, 0, 0, 0]
    for at, grams in enumerate(_grams(tokens)):
        done[at] = found = _take(grams, left)
        if not found:  # then no longer one can be shared
            break
    return done


def _take(grams: Iterable[Gram], left: dict[Gram, int]) -> int:
    """Count each gram that is left, and take it out."""
    found = 0
    count_of = left.get
    for gram in grams:
        count = count_of(gram)
        if count:
            left[gram] = count - 1
            found += 1
    return found


def _shared_numbers(number: Mapping[str, int], reference: Any, tokens: Sequence[str]) -> list[int]:
    """The k-th of equal numbers in the hypothesis meets the k-th in the reference, which ends with one that is none."""
    import numpy as np

    grams = _numbers(tokens, number)
    which = np.arange(len(grams)) - grams.searchsorted(grams)
    place = reference[:-1].searchsorted(grams) + which
    met = reference[np.minimum(place, len(reference) - 1)] == grams
    shared, start = [], 0
    for n in ORDERS:
        end = start + max(0, len(tokens) - n + 1)
        shared.append(int(np.count_nonzero(met[start:end])))
        start = end
    return shared


def _numbers(tokens: Sequence[str], number: Mapping[str, int]) -> Any:
    """All n-grams as numbers, sorted: with no digit 0, those of n tokens come before those of n + 1.

    Args:
        number: Token -> its digit, from 1 on; all other tokens share the digit after the last.
    """
    import numpy as np

    base = len(number) + 2
    single = np.fromiter(map(number.get, tokens, repeat(base - 1)), np.int64, len(tokens))
    grams = [single]
    for n in ORDERS[1:]:
        grams.append(grams[-1][:-1] * base + single[n - 1 :])
    together = np.concatenate(grams)
    together.sort()
    return together
