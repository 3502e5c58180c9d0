"""Histograms of rewards, differences and times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graders.stats.resampling import Floats

#: Bars of a histogram of continuous values.
BARS = 20
#: Up to MAX_DISTINCT_BARS distinct values get a bar each, if they have MIN_ROWS_PER_BAR rows each on average.
MAX_DISTINCT_BARS = 11
MIN_ROWS_PER_BAR = 3


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """One bar: the number of values in [low, high), or in [low, high] for the last bar and where both are equal."""

    low: float
    high: float
    n: int


def histogram(values: Floats, span: tuple[float, float] | None = None) -> tuple[HistogramBar, ...]:
    """A bar for each of few and frequent values; else BARS even steps, or one bar if all values are (nearly) equal.

    If all values are 0 or 1 there are two bars. The steps cover the first of these that contains all values: `span`,
    0 to 1, their own range.
    """
    distinct, counts = np.unique(values, return_counts=True)
    first = slice(MAX_DISTINCT_BARS)
    seen = dict(zip(distinct[first].tolist(), counts[first].tolist(), strict=True))
    if seen.keys() <= {0.0, 1.0}:
        return tuple(HistogramBar(value, value, seen.get(value, 0)) for value in (0.0, 1.0))
    if len(distinct) <= min(MAX_DISTINCT_BARS, len(values) // MIN_ROWS_PER_BAR):
        return tuple(HistogramBar(value, value, n) for value, n in seen.items())
    least, most = float(values.min()), float(values.max())
    spans = (span or (0.0, 1.0), (0.0, 1.0), (least, most))
    low, high = next((low, high) for low, high in spans if low <= least and most <= high)
    edges = np.linspace(low, high, BARS + 1)
    # a single value, or values too close for a step between them
    if not bool(np.all(edges[1:] > edges[:-1])):
        return (HistogramBar(least, most, len(values)),)
    counts, _ = np.histogram(values, edges)
    return tuple(
        HistogramBar(float(start), float(end), int(n))
        for start, end, n in zip(edges[:-1], edges[1:], counts, strict=True)
    )
