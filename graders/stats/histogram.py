"""Histograms of rewards, differences and times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graders.stats.resampling import Floats

#: Bars of a histogram of continuous values.
BARS = 20
#: Up to MAX_DISTINCT_BARS different values get a bar each, if each stands for MIN_ROWS_PER_BAR rows on average.
MAX_DISTINCT_BARS = 11
MIN_ROWS_PER_BAR = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: how many values lie in [low, high); in the last one, and where both are equal, at most high."""

    low: float
    high: float
    n: int


def histogram(values: Floats, span: tuple[float, float] | None = None) -> tuple[Bar, ...]:
    """A bar for each value where they are few and come often, else BARS even steps, or one bar where none fit between.

    Two bars stand for 0 and 1 where those are all values. The steps go over `span`, else over 0 to 1, else over the
    values themselves: the first of these that holds them all.
    """
    distinct, counts = np.unique(values, return_counts=True)
    first = slice(MAX_DISTINCT_BARS)
    seen = dict(zip(distinct[first].tolist(), counts[first].tolist(), strict=True))
    if seen.keys() <= {0.0, 1.0}:
        return tuple(Bar(value, value, seen.get(value, 0)) for value in (0.0, 1.0))
    if len(distinct) <= min(MAX_DISTINCT_BARS, len(values) // MIN_ROWS_PER_BAR):
        return tuple(Bar(value, value, n) for value, n in seen.items())
    least, most = float(values.min()), float(values.max())
    spans = (span or (0.0, 1.0), (0.0, 1.0), (least, most))
    low, high = next((low, high) for low, high in spans if low <= least and most <= high)
    edges = np.linspace(low, high, BARS + 1)
    # a single value, or values too close for a step between them
    if not bool(np.all(edges[1:] > edges[:-1])):
        return (Bar(least, most, len(values)),)
    counts, _ = np.histogram(values, edges)
    return tuple(
        Bar(float(start), float(end), int(n))
        for start, end, n in zip(edges[:-1], edges[1:], counts, strict=True)
    )
