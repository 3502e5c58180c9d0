"""Demands on a run, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from graders.stats.estimates import Estimate
from graders.stats.figures import Summary
from graders.wording import plural

Verdict = Literal["met", "failed", "inconclusive"]

#: Rounding of a mean of many rows, which is not what a gate is about.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Gate:
    """A demand on a run.

    Attributes:
        name: What it is about.
        verdict: "inconclusive" when the rows do not suffice to tell.
        text: What was wanted and what was found.
    """

    name: str
    verdict: Verdict
    text: str

    @property
    def met(self) -> bool:
        return self.verdict == "met"


def gates(
    summary: Summary,
    fail_under: float | None = None,
    min_coverage: float | None = None,
    *,
    surely: bool = False,
) -> list[Gate]:
    """What the demands come to.

    Args:
        fail_under: The mean reward is at least this. Failed rows count with the lowest reward, unless `min_coverage`
            says how many may be left out.
        min_coverage: At least this part of the rows was scored.
        surely: The whole interval has to be at least `fail_under`: failed when all of it lies below, inconclusive when
            it reaches over.
    """
    made = []
    if min_coverage is not None:
        made.append(
            Gate(
                "coverage",
                "met" if summary.coverage >= min_coverage else "failed",
                f"{summary.scored:,} of {summary.rows:,} rows scored ({summary.coverage:.4g}), wanted {min_coverage:g}",
            )
        )
    if fail_under is not None:
        made.append(_mean_gate(summary, fail_under, leave_out_failed=min_coverage is not None, surely=surely))
    return made


def all_pass(gates: Iterable[Gate], *, inconclusive: Literal["pass", "fail"] = "fail") -> bool:
    """Whether a command that has these gates succeeds."""
    return all(gate.met or (gate.verdict == "inconclusive" and inconclusive == "pass") for gate in gates)


def judge(found: Estimate, wanted: float, *, surely: bool) -> Verdict:
    """Whether a number is at least as large as wanted: the number itself, or surely, its whole interval."""
    if not surely:
        return "met" if found.value >= wanted - ROUNDING * max(1.0, abs(wanted)) else "failed"
    if math.isnan(found.width) or found.width <= 0:
        return "inconclusive"
    return "met" if found.low >= wanted else "failed" if found.high < wanted else "inconclusive"


def _mean_gate(summary: Summary, wanted: float, *, leave_out_failed: bool, surely: bool) -> Gate:
    if summary.rewards is None:
        return Gate("mean reward", "inconclusive", f"no row was scored, wanted at least {wanted:g}")
    found, left_out = summary.rewards.mean, ""
    if summary.lowest is not None and summary.bounds is not None and not leave_out_failed:
        left_out = (
            f" with {plural(summary.failed, 'failed row')} counted as {summary.bounds.least:g}"
            f" ({found.value:.4g} without; --min-coverage leaves them out)"
        )
        found = summary.lowest
    verdict = judge(found, wanted, surely=surely)
    text = f"{found.value:.4g}{left_out}, {found.between()}, wanted {'surely ' * surely}at least {wanted:g}"
    if verdict == "inconclusive":
        text += _how_many_would_tell(found, wanted)
    return Gate("mean reward", verdict, text)


def _how_many_would_tell(found: Estimate, wanted: float) -> str:
    """About how many rows have an interval that does not reach to what is wanted, if the mean stays."""
    distance = abs(found.value - wanted)
    if math.isnan(found.width) or distance == 0 or found.width <= 0:
        return ""
    rows = math.ceil(found.n * (found.width / 2 / distance) ** 2)
    return f"; some {rows:,} rows would tell" if rows > found.n else "; more rows would tell"
