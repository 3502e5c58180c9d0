"""Parameters and numbers of a results file, for experiment trackers."""

from __future__ import annotations

import math
from typing import Any

from graders.results.read import Header
from graders.stats.estimates import Estimate
from graders.stats.figures import Summary

#: Characters that MLflow allows in a metric's name, beside letters and digits; the others allow more.
_IN_NAMES = "_./ -"


def parameters(header: Header) -> dict[str, Any]:
    """The parameters that identify grader and data."""
    return {
        "grader": header.name,
        "type": header.type,
        "digest": header.digest,
        "engine": header.engine,
        "data": header.data,
    }


def figures(summary: Summary) -> dict[str, float]:
    """Name -> number, without NaN; means have the ends of their 95 % intervals."""
    made: dict[str, float] = {
        "rows": summary.rows,
        "scored": summary.scored,
        "failed": summary.failed,
        "coverage": summary.coverage,
    }
    if summary.rewards is not None:
        made |= _estimate("reward", summary.rewards.mean)
        made["reward/sd"] = summary.rewards.sd
    if summary.passed is not None:
        made |= _estimate("pass_rate", summary.passed)
    for sub in summary.subs:
        made |= _estimate(f"sub_reward/{sub.key}", sub.spread.mean)
    for repeats in summary.repeats:
        made |= _estimate(f"pass_at_{repeats.k}", repeats.any_of_k)
    for flag, n in summary.flags.items():
        made[f"failures/{flag}"] = n
    for use in summary.spent:
        made[f"tokens/{use.model}/prompt"] = use.prompt_tokens or 0
        made[f"tokens/{use.model}/completion"] = use.completion_tokens or 0
    if summary.latency is not None:
        made |= {"seconds/p50": summary.latency.p50, "seconds/p90": summary.latency.p90}
    if summary.cost is not None:
        made["cost"] = summary.cost
    return {_plain(name): float(value) for name, value in made.items() if math.isfinite(value)}


def _plain(name: str) -> str:
    return "".join(char if char.isalnum() or char in _IN_NAMES else "_" for char in name)


def _estimate(name: str, found: Estimate) -> dict[str, float]:
    return {f"{name}/mean": found.value, f"{name}/low": found.low, f"{name}/high": found.high}
