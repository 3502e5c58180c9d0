"""Paired comparison of results files by id.

Rows in one file only, and rows that failed in either, are counted and excluded, so that a difference is always over the
same rows. Several files are compared with the first one; their intervals are simultaneous, and their p values are
adjusted for the number of files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graders.results.read import ResultsError
from graders.stats.comparison import Comparison, PassTable, Side, SubDifference
from graders.stats.distributions import holm, mcnemar
from graders.stats.estimates import difference, mean, pass_rate
from graders.stats.facts import reward_range
from graders.stats.gates import Gate, judge
from graders.stats.histogram import histogram
from graders.stats.paired import sign_flip, simultaneous_differences, simultaneous_level, smallest_shown
from graders.stats.pairing import Pairs, RunRows, movers, notes_on_specs, pair
from graders.stats.repeats import repeats_of
from graders.stats.resampling import LEVEL, Floats, Ints, per_item
from graders.stats.summary import threshold_of
from graders.wording import plural

#: Rows shown with the largest changes, in each direction.
MOVERS = 10
#: Ids shown of rows in one file only.
IDS_SHOWN = 20


def compare(
    a: str | Path,
    b: str | Path,
    *,
    group: str | None = None,
    different_specs: bool = False,
    movers: int = MOVERS,
) -> Comparison:
    """Compare two results files; see `compare_runs`."""
    return compare_runs([a, b], group=group, different_specs=different_specs, movers=movers)[0]


# a variance that overflows is shown as unknown
@np.errstate(over="ignore", invalid="ignore")
def compare_runs(
    paths: Sequence[str | Path],
    *,
    group: str | None = None,
    different_specs: bool = False,
    movers: int = MOVERS,
) -> list[Comparison]:
    """Compare each results file with the first one.

    Args:
        paths: At least two.
        group: As in `gather`; read from the first file's rows.
        different_specs: Whether files with different specs may be compared.
        movers: Number of rows with the largest changes to include, in each direction.

    Raises:
        ResultsError: a file cannot be read, or the specs differ.
    """
    if len(paths) < 2:
        raise ResultsError("nothing to compare with: name at least two results files")
    first, *others = (RunRows(path, None if number else group) for number, path in enumerate(paths))
    notes = [notes_on_specs(first, other, different_specs=different_specs) for other in others]
    paired = [pair(first, other) for other in others]
    level = _level(paired)
    found = [
        replace(_comparison(pairs, level, movers, said), subs=_subs(pairs, len(others)))
        for pairs, said in zip(paired, notes, strict=True)
    ]
    adjusted = iter(holm([each.p_value for each in found if each.delta is not None]))
    return [each if each.delta is None else replace(each, p_adjusted=next(adjusted)) for each in found]


def _level(paired: Sequence[Pairs]) -> float:
    """The level of simultaneous intervals, from the rows scored in every file."""
    if len(paired) == 1:
        return LEVEL
    common = paired[0].at_a
    for pairs in paired[1:]:
        common = np.intersect1d(common, pairs.at_a)
    if not len(common):
        return 1 - (1 - LEVEL) / len(paired)
    # in the order of A's positions, since each pairing may have another order
    columns = []
    for pairs in paired:
        inside = np.isin(pairs.at_a, common)
        columns.append(pairs.deltas[inside][np.argsort(pairs.at_a[inside])])
    return simultaneous_level(columns, paired[0].a.items_at(common))


def _comparison(pairs: Pairs, level: float, most_movers: int, notes: list[str]) -> Comparison:
    deltas, items, there = pairs.deltas, pairs.items, bool(len(pairs.deltas))
    passes = _passes(pairs) if there else None
    if passes is not None and items is not None:
        notes.append(
            "McNemar's p counts rows as independent, which rows of one item are not: go by the interval"
        )
    for name, failed in (("A", pairs.failed_a), ("B", pairs.failed_b)):
        if failed.any():
            many = plural(int(failed.sum()), "shared row")
            notes.append(f"{many} failed in {name} and are left out of the difference")
    thresholds = passes.thresholds if passes else (None, None)
    p_value = sign_flip(per_item(deltas, items)[0]) if there else math.nan
    gained, lost = movers(pairs, most_movers)
    return Comparison(
        a=_side(pairs.a, pairs.rewards_a, thresholds[0], items, pairs.failed_a, set(pairs.b.ids)),
        b=_side(pairs.b, pairs.rewards_b, thresholds[1], items, pairs.failed_b, set(pairs.a.ids)),
        shared=pairs.shared,
        pairs=len(deltas),
        failed_in_both=int((pairs.failed_a & pairs.failed_b).sum()),
        items=len(deltas) if items is None else len(np.unique(items)),
        grouping=pairs.a.columns.grouping,
        delta=difference(deltas, items, _scale(pairs), level) if there else None,
        level=level,
        up=int((deltas > 0).sum()),
        down=int((deltas < 0).sum()),
        same=int((deltas == 0).sum()),
        p_value=p_value,
        p_adjusted=p_value,
        smallest_shown=smallest_shown(deltas, items) if there else math.nan,
        passes=passes,
        subs=(),
        bars=histogram(deltas[deltas != 0]) if deltas.any() else (),
        gained=gained,
        lost=lost,
        notes=tuple(notes),
    )


def gate(comparison: Comparison, max_drop: float, *, surely: bool = False) -> Gate:
    """The gate that B's mean is at most `max_drop` below A's; with `surely`, its whole interval has to be."""
    wanted = f"wanted {'surely ' * surely}at least {0 - max_drop:g}"
    delta = comparison.delta
    if delta is None:
        return Gate("difference", "inconclusive", f"no row was scored in both, {wanted}")
    verdict = judge(delta, -max_drop, surely=surely)
    return Gate("difference", verdict, f"{delta.value:+.4g}, {delta.between('+')}, {wanted}")


def _scale(pairs: Pairs) -> float | None:
    """The largest possible difference: the spec's range, else the range of all rewards in both files."""
    span = reward_range(pairs.a.columns.header.spec)
    if span is not None:
        return span[1] - span[0]
    rewards = np.concatenate((pairs.rewards_a, pairs.rewards_b))
    return max(1.0, float(rewards.max())) - min(0.0, float(rewards.min()))


def _side(
    rows: RunRows, rewards: Floats, threshold: float | None, items: Ints | None, failed: Any, others: set[str]
) -> Side:
    only = [row_id for row_id in rows.ids if row_id not in others]
    spec = rows.columns.header.spec
    passed = None if threshold is None else rewards >= threshold
    return Side(
        path=str(rows.path),
        header=rows.columns.header,
        rows=len(rows.ids),
        mean=mean(rewards, items, reward_range(spec)) if len(rewards) else None,
        passed=None if passed is None else pass_rate(passed, items),
        repeats=() if passed is None or items is None else repeats_of(passed, items),
        only_here=len(only),
        only_ids=tuple(only[:IDS_SHOWN]),
        failed=int(failed.sum()),
    )


def _passes(pairs: Pairs) -> PassTable | None:
    threshold_a = threshold_of(pairs.a.columns.header.spec, pairs.rewards_a)
    threshold_b = threshold_of(pairs.b.columns.header.spec, pairs.rewards_b)
    if threshold_a is None or threshold_b is None:
        return None
    a, b = pairs.rewards_a >= threshold_a, pairs.rewards_b >= threshold_b
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return PassTable(
        (threshold_a, threshold_b),
        int((a & b).sum()),
        only_a,
        only_b,
        int((~a & ~b).sum()),
        mcnemar(only_a, only_b),
    )


def _subs(pairs: Pairs, n_files: int) -> tuple[SubDifference, ...]:
    """The differences of sub-rewards, adjusted for the number of members and of compared files."""
    columns = pairs.columns()
    if not len(pairs.deltas) or not columns:
        return ()
    deltas = [b - a for a, b in columns.values()]
    scales = [
        max(1.0, float(max(a.max(), b.max()))) - min(0.0, float(min(a.min(), b.min())))
        for a, b in columns.values()
    ]
    p_values = [sign_flip(per_item(values, pairs.items)[0]) for values in deltas]
    adjusted = holm([min(1.0, p * n_files) for p in p_values])
    found = simultaneous_differences(deltas, pairs.items, scales, 1 - (1 - LEVEL) / n_files)
    return tuple(map(SubDifference, columns, found, p_values, adjusted))
