"""Sequential stopping: ends a run when the interval of its mean is narrow enough, with a valid interval.

Repeated looks at ordinary intervals inflate their error rate. The level used here grows with the number of items, so
that the intervals at all numbers of items hold together with probability LEVEL and the run may stop at any of them.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from graders.results.read import parse_header
from graders.stats.chunks import numbers_of
from graders.stats.distributions import normal
from graders.stats.estimates import Estimate, mean
from graders.stats.facts import reward_range
from graders.stats.items import item_numbers
from graders.stats.resampling import LEVEL, Floats, Ints, jackknife_error, per_item

#: Number of items before which no run stops, since the mean of fewer is not close enough to normal.
MIN_ITEMS = 50
#: Number of items at which the interval is tightest: about the number that a width of 0.1 needs.
BEST_AT = 500
#: Seconds between two looks at the results.
LOOK_S = 0.5


def level_at(n: int) -> float:
    """The level of the interval at n items for which the intervals at all n hold together with probability LEVEL.

    Source: Robbins 1970, "Statistical methods related to the law of the iterated logarithm" (normal mixture); for means
    of any distribution Waudby-Smith et al. 2024, "Time-uniform central limit theory", theorem 2.2 and appendix B.2.
    """
    alpha = 1 - LEVEL
    scale = n * (math.log(1 / alpha**2) + math.log(math.log(1 / alpha**2) + 1)) / BEST_AT
    boundary = math.sqrt((scale + 1) / scale * math.log((scale + 1) / alpha**2))
    return 2 * normal.cdf(boundary) - 1


def mean_at_any_stop(
    values: Floats, items: Ints | None = None, span: tuple[float, float] | None = None
) -> Estimate:
    """The mean of rewards, with an interval that is valid for any stopping rule.

    Args:
        values, items, span: As in `estimates.mean`.
    """
    n_items = len(values) if items is None else int(items.max()) + 1
    return mean(values, items, span, level_at(n_items))


def is_narrow(values: Floats, items: Ints | None, span: tuple[float, float] | None, width: float) -> bool:
    """Whether the interval of `mean_at_any_stop` has at most this width."""
    sums, sizes = per_item(values, items)
    if len(sums) < MIN_ITEMS:
        return False
    # the normal interval is cheap; the resampled one is computed only where it can be narrow enough
    z = normal.inv_cdf((1 + level_at(len(sums))) / 2)
    if 2 * z * jackknife_error(sums, sizes) > width:
        return False
    return mean_at_any_stop(values, items, span).width <= width


class WidthWatcher:
    """Reads a growing results file and checks whether the interval of its mean is narrow enough.

    Args:
        path: The results file.
        width: The largest width of the interval.
    """

    def __init__(self, path: str | Path, width: float) -> None:
        self._path, self._width = Path(path), width
        self._offset = 0
        self._span: tuple[float, float] | None = None
        self._ids: list[str] = []
        self._rewards: list[float] = []
        self._looked = -math.inf
        self.reached = False

    def update(self) -> bool:
        """Read the new lines, at most every LOOK_S; returns whether the interval is narrow enough."""
        if self.reached or time.monotonic() - self._looked < LOOK_S:
            return self.reached
        if self._read():
            self.reached = is_narrow(
                np.array(self._rewards), item_numbers(self._ids), self._span, self._width
            )
        self._looked = time.monotonic()
        return self.reached

    def _read(self) -> bool:
        """Read the new complete lines; returns whether there are any."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        if lines and not self._offset:
            self._offset += len(lines[0])
            self._span = reward_range(parse_header(lines.pop(0), str(self._path)).spec)
        self._offset += sum(map(len, lines))
        for row in numbers_of(lines):
            if row["ok"]:
                self._ids.append(row["id"])
                self._rewards.append(row["reward"])
        return bool(lines)
