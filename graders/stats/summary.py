"""The summary statistics of a results file.

    summary = summarise(gather("results.jsonl"))
    summary.rewards.mean.value, summary.rewards.mean.low, summary.rewards.mean.high

Failed rows are excluded from means: they are counted, and `bounds` says how far they could move the mean. Rows of one
item (ids `x`, `x#2`, `x#3`, or rows with the same group field) are not independent; intervals are over items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graders.stats.agreement.association import correlation
from graders.stats.cautions import cautions
from graders.stats.estimates import Estimate, mean, pass_rate
from graders.stats.facts import reward_range
from graders.stats.figures import Bounds, Latency, Spread, SubReward, Summary, TokenUse
from graders.stats.gather import Columns
from graders.stats.histogram import histogram
from graders.stats.repeats import reliability, repeats_of
from graders.stats.resampling import Floats, Ints
from graders.stats.sequential import mean_at_any_stop
from graders.usage import Usage

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Rows for which the formula is evaluated again to find a sub-reward's influence.
MOVED_ROWS = 10_000


# a variance that overflows is shown as unknown
@np.errstate(over="ignore", invalid="ignore")
def summarise(
    columns: Columns,
    price: Callable[[str, Usage], float | None] = lambda model, usage: None,
    *,
    pass_threshold: float | None = None,
) -> Summary:
    """The statistics of a results file.

    Args:
        price: The cost of a judge's tokens; returns None for a model without a price.
        pass_threshold: The least reward that passes, in place of the spec's.
    """
    spec, rewards, items = columns.header.spec, columns.rewards, columns.items
    scored, failed = len(rewards), len(columns.failed_places)
    threshold = threshold_of(spec, rewards) if pass_threshold is None else pass_threshold
    passed = rewards >= threshold if threshold is not None and scored else None
    span, until_width = reward_range(spec), columns.header.options.get("until_width") is not None
    bounds = _bounds(span, rewards, failed) if scored and failed else None
    return Summary(
        header=columns.header,
        rows=scored + failed,
        scored=scored,
        failed=failed,
        items=scored if items is None else len(np.unique(items)),
        grouping=columns.grouping,
        flags=columns.flags,
        reasons=tuple(columns.reasons),
        rewards=_spread(rewards, items, span, until_width=until_width) if scored else None,
        threshold=threshold,
        passed=None if passed is None else pass_rate(passed, items),
        subs=_subs(columns) if scored else (),
        repeats=() if passed is None or items is None else repeats_of(passed, items),
        reliability=reliability(rewards, items, passed) if items is not None else None,
        bounds=bounds,
        lowest=None if bounds is None else _lowest(columns, bounds),
        cautions=cautions(columns),
        latency=_latency(columns.seconds, columns.waited) if len(columns.seconds) else None,
        spent=tuple(
            TokenUse(
                model, used.prompt_tokens, used.completion_tokens, used.cached_tokens, price(model, used)
            )
            for model, used in columns.usage.items()
        ),
    )


def threshold_of(spec: Mapping[str, Any], rewards: Floats) -> float | None:
    """The least reward that passes: the spec's pass_threshold; 1 where all rewards are 0 or 1; else None."""
    given = spec.get("pass_threshold")
    if given is not None:
        return float(given)
    return 1.0 if bool(np.all((rewards == 0) | (rewards == 1))) else None


def _spread(
    values: Floats,
    items: Ints | None,
    span: tuple[float, float] | None = None,
    *,
    until_width: bool = False,
) -> Spread:
    """Args:
    until_width: Whether the run stopped when the interval was narrow enough.
    """
    found = np.quantile(values, QUANTILES)
    return Spread(
        mean_at_any_stop(values, items, span) if until_width else mean(values, items, span),
        float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        float(values.min()),
        float(values.max()),
        {f"{part:g}": float(value) for part, value in zip(QUANTILES, found, strict=True)},
        histogram(values, span),
    )


def _subs(columns: Columns) -> tuple[SubReward, ...]:
    made = []
    moves = _moves(columns)
    for key, values in columns.subs.items():
        spec = columns.header.spec["graders"][key]
        threshold = spec.get("pass_threshold")
        made.append(
            SubReward(
                key,
                spec["type"],
                _spread(values, columns.items, reward_range(spec)),
                None if threshold is None else pass_rate(values >= threshold, columns.items),
                moves[key],
                correlation(values, columns.rewards),
            )
        )
    return tuple(made)


def _moves(columns: Columns) -> dict[str, float]:
    """`SubReward.moves` of each key of a multi, over at most MOVED_ROWS rows, evenly taken from the file."""
    from graders.errors import FormulaError
    from graders.formula import Formula

    keys = tuple(columns.subs)
    if not keys:
        return {}
    formula = Formula(columns.header.spec["calculate_output"], keys)
    step = max(1, len(columns.rewards) // MOVED_ROWS)
    totals = columns.rewards[::step].tolist()
    rows = list(zip(*(values[::step].tolist() for values in columns.subs.values()), strict=True))
    moved = {}
    for place, (key, values) in enumerate(columns.subs.items()):
        middle, changes = float(values.mean()), []
        for total, row in zip(totals, rows, strict=True):
            try:
                changes.append(abs(formula.value((*row[:place], middle, *row[place + 1 :])) - total))
            # the formula may have no value at the mean, as in a division by zero
            except FormulaError:
                continue
        moved[key] = math.fsum(changes) / len(changes) if changes else math.nan
    return moved


def _bounds(span: tuple[float, float] | None, rewards: Floats, failed: int) -> Bounds:
    if span is None:
        least, most = min(0.0, float(rewards.min())), max(1.0, float(rewards.max()))
        words = f"{least:g} to {most:g}: 0 to 1 and what the scored rows got, since the spec does not say"
    else:
        (least, most), words = span, f"{span[0]:g} to {span[1]:g}, by the spec"
    n, total = len(rewards) + failed, float(rewards.sum())
    return Bounds((total + failed * least) / n, (total + failed * most) / n, least, most, words)


def _lowest(columns: Columns, bounds: Bounds) -> Estimate:
    values = np.full(len(columns.rewards) + len(columns.failed_places), bounds.least)
    values[columns.places] = columns.rewards
    return mean(values, columns.all_items, reward_range(columns.header.spec))


def _latency(seconds: Floats, waited: Floats) -> Latency:
    p50, p90, p99 = np.quantile(seconds, (0.5, 0.9, 0.99))
    # one very slow row would hide all others
    shown = seconds[seconds <= p99]
    wait = None if np.isnan(waited).any() else float(np.median(waited))
    return Latency(
        len(seconds), float(p50), float(p90), float(p99), float(seconds.max()), histogram(shown), wait
    )
