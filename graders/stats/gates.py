"""Gates: conditions that a run has to meet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from graders.stats.estimates import Estimate
from graders.stats.figures import Summary
from graders.wording import plural

Verdict = Literal["met", "failed", "inconclusive"]

#: Tolerance for rounding errors in a mean of many rows.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a run, with its verdict.

    Attributes:
        name: The quantity that it bounds.
        verdict: "met", "failed", or "inconclusive" when the rows do not suffice.
        text: The required and the actual value.
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
    """The gates for the given conditions, with their verdicts.

    Args:
        fail_under: The least mean reward. Failed rows count with the lowest reward, unless `min_coverage` allows them
            to be excluded.
        min_coverage: The least fraction of rows that were scored.
        surely: Whether the whole interval has to be at least `fail_under`: "failed" when all of it lies below,
            "inconclusive" when it contains `fail_under`.
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
    """The verdict on whether an estimate is at least `wanted`; with `surely`, whether its whole interval is."""
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
        text += _rows_needed(found, wanted)
    return Gate("mean reward", verdict, text)


def _rows_needed(found: Estimate, wanted: float) -> str:
    """An estimate of the number of rows whose interval would exclude `wanted`, if the mean stays the same."""
    distance = abs(found.value - wanted)
    if math.isnan(found.width) or distance == 0 or found.width <= 0:
        return ""
    rows = math.ceil(found.n * (found.width / 2 / distance) ** 2)
    return f"; some {rows:,} rows would tell" if rows > found.n else "; more rows would tell"
