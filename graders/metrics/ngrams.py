"""Counts of shared n-grams, for ROUGE-n, BLEU and GLEU.

Counts are clipped: an n-gram that occurs twice in one text and five times in the other counts two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, count, pairwise, repeat, zip_longest
from typing import Any, TypeAlias

#: An n-gram: the token itself for n = 1, else a tuple of n tokens.
Gram: TypeAlias = Hashable

#: n -> (tokens -> its n-grams, in order).
GRAMS: dict[int, Callable[[Sequence[str]], Iterable[Gram]]] = {
    1: lambda t: t,
    2: pairwise,
    3: lambda t: zip(t, t[1:], t[2:], strict=False),
    4: lambda t: zip(t, t[1:], t[2:], t[3:], strict=False),
    5: lambda t: zip(t, t[1:], t[2:], t[3:], t[4:], strict=False),
}
#: Orders of BLEU and GLEU.
ORDERS = (1, 2, 3, 4)

#: Number of a reference's tokens from which on sorting numbers is cheaper than hashing tuples (measured: 52), and the
#: number of distinct ones up to which four of them fit into a number below 2**63.
SORT_FROM, SORT_DISTINCT = 52, 55_000

#: Tokens of a hypothesis -> n-grams shared with a known reference, for n = 1 to 4.
Shared: TypeAlias = Callable[[Sequence[str]], Sequence[int]]


def shared(grams: Iterable[Gram], counts: Mapping[Gram, int]) -> int:
    """The clipped count of `grams` that are in `counts` too."""
    return _take(grams, dict(counts))


def shared_with(reference: Sequence[str]) -> Shared:
    """The function that counts the n-grams that a hypothesis shares with this reference."""
    if len(reference) >= SORT_FROM:
        number = dict(zip(dict.fromkeys(reference), count(1)))
        if len(number) < SORT_DISTINCT:
            import numpy as np

            return partial(_shared_numbers, number, np.concatenate((_numbers(reference, number), [-1])))
    t, u, v, w = reference, reference[1:], reference[2:], reference[3:]
    # no strict=False, which costs time
    grams = chain(t, zip(t, u), zip(t, u, v), zip(t, u, v, w))  # noqa: B905  # the shifted lists are shorter on purpose
    return partial(_shared_tuples, Counter(grams))


def _shared_tuples(counts: Mapping[Gram, int], tokens: Sequence[str]) -> list[int]:
    left = dict(counts)
    get = left.get
    gram: Gram
    one = two = three = four = 0
    # Written out, since this loop is nearly all of BLEU's cost. None: the n-gram is not in the reference, so no longer
    # one that begins with it is either; 0: it is used up.
    for a, b, c, d in zip_longest(tokens, tokens[1:], tokens[2:], tokens[3:]):
        times = get(a)
        if times is None:
            continue
        if times:
            left[a] = times - 1
            one += 1
        times = get(gram := (a, b))
        if times is None:
            continue
        if times:
            left[gram] = times - 1
            two += 1
        times = get(gram := (a, b, c))
        if times is None:
            continue
        if times:
            left[gram] = times - 1
            three += 1
        times = get(gram := (a, b, c, d))
        if times:
            left[gram] = times - 1
            four += 1
    return [one, two, three, four]


def _take(grams: Iterable[Gram], left: dict[Gram, int]) -> int:
    """The number of grams that are still left, each removed from `left` when counted."""
    found = 0
    get = left.get
    for gram in grams:
        times = get(gram)
        if times:
            left[gram] = times - 1
            found += 1
    return found


def _shared_numbers(number: Mapping[str, int], reference: Any, tokens: Sequence[str]) -> list[int]:
    """The k-th of equal numbers in the hypothesis matches the k-th in the reference, which ends with a sentinel."""
    import numpy as np

    grams = _numbers(tokens, number)
    which = np.arange(len(grams)) - grams.searchsorted(grams)
    place = reference[:-1].searchsorted(grams) + which
    met = reference.take(place, mode="clip") == grams
    shared, start = [], 0
    for n in ORDERS:
        end = start + max(0, len(tokens) - n + 1)
        shared.append(int(np.count_nonzero(met[start:end])))
        start = end
    return shared


def _numbers(tokens: Sequence[str], number: Mapping[str, int]) -> Any:
    """All n-grams as numbers, sorted. Digits start at 1, so those of n tokens come before those of n + 1.

    Args:
        number: Token -> its digit, from 1; all other tokens share the digit after the last.
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
