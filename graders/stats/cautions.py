"""Cautions: reasons to doubt the numbers of a run, for its reader."""

from __future__ import annotations

from collections import Counter

import numpy as np

from graders.stats.distributions import fisher_exact, holm
from graders.stats.gather import Columns
from graders.stats.resampling import Bools
from graders.wording import plural

#: Probability of reporting an association of failures where there is none, over all tests together.
LEVEL = 0.05
#: Fraction of all rows that belong to one item, from which on that is reported.
LARGE_ITEM = 0.5


def cautions(columns: Columns) -> tuple[str, ...]:
    """The cautions about a results file, a sentence each."""
    return (*_of_failures(columns), *_of_items(columns))


def _of_failures(columns: Columns) -> list[str]:
    """Failures associated with the rows' length, group or label: the scored rows are then no random sample of all."""
    n_failed, n = len(columns.failed_places), len(columns.lengths)
    if not n_failed or n_failed == n:
        return []
    failed = np.zeros(n, bool)
    failed[columns.failed_places] = True
    found: list[tuple[float, str]] = []
    # unreadable rows have no data row in the file
    lengths, fail = columns.lengths[columns.lengths > 1], failed[columns.lengths > 1]
    if fail.any() and not fail.all():
        long = lengths > float(np.median(lengths))
        more = "longer" if fail[long].sum() > fail.sum() / 2 else "shorter"
        medians = [float(np.median(lengths[which])) for which in (fail, ~fail)]
        about = f"the {more} rows fail (median {medians[0]:,.0f} bytes, of the scored ones {medians[1]:,.0f})"
        found.append((_p_value(fail, long), about))
    groups = np.array(columns.groups)
    for group, size in Counter(columns.groups).items():
        inside = groups == group
        if 1 < size < n and failed[inside].mean() > failed[~inside].mean():
            about = f"{failed[inside].sum():,} of the {plural(size, 'row')} with '{group}' fail, {failed[~inside].sum():,} of the others"
            found.append((_p_value(failed, inside), about))
    adjusted = holm([p for p, _ in found])
    likely = sorted((p, about) for p, (_, about) in zip(adjusted, found, strict=True) if p < LEVEL)
    return [
        f"failures are not at random: {about}, p {p:.2g}; the scored rows do not stand for all"
        for p, about in likely[:3]
    ]


def _p_value(failed: Bools, inside: Bools) -> float:
    return fisher_exact(
        int((failed & inside).sum()),
        int((failed & ~inside).sum()),
        int((~failed & inside).sum()),
        int((~failed & ~inside).sum()),
    )


def _of_items(columns: Columns) -> list[str]:
    """One item with most of the rows; and rows that share an item without being repeats."""
    cautions = []
    if columns.shared:
        rows, items = columns.shared
        cautions.append(
            f"{plural(rows, 'row')} without ids have only {plural(items, 'item')} between them; nothing says that they "
            "are repeats of one question, so each counts as its own: give the rows ids, or say what is one item with "
            "--group"
        )
    if columns.all_items is not None:
        sizes = np.bincount(columns.all_items)
        largest = float(sizes.max() / sizes.sum())
        if largest >= LARGE_ITEM and len(sizes) > 1:
            cautions.append(f"one item holds {largest:.0%} of the rows, so the intervals are of few items")
    return cautions
