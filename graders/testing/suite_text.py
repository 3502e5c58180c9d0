"""Outcomes of a suite as text: a table, and the reasons for each test that did not pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graders.report.format import LISTED, clean, figure, interval, marked
from graders.report.markdown import table
from graders.testing.suite_runs import Outcome
from graders.wording import plural

HEAD = ("test", "verdict", "rows", "failed", "mean reward", "95 %", "demanded")
#: Rows shown of a test that did not pass, and characters of each of their texts.
ROWS_SHOWN = 3
EXCERPT = 60


def suite_table(outcomes: Sequence[Outcome]) -> str:
    """A table with a line for each test."""
    rows = [HEAD, *map(_cells, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    return "\n".join(lines)


def suite_markdown(outcomes: Sequence[Outcome]) -> str:
    """The table as Markdown, for a comment on a pull request."""
    rows = [[marked(cell) for cell in _cells(outcome)] for outcome in outcomes]
    return "\n".join(["## Graders", *table(HEAD, rows)]) + "\n"


def failure_text(outcome: Outcome) -> str:
    """The unmet gates, the reasons of failures, and the worst rows."""
    return "\n".join(f"{outcome.name}: {line}" for line in _failure_lines(outcome))


def count_line(outcomes: Sequence[Outcome]) -> str:
    """A line such as `3 passed, 1 failed`."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
    return ", ".join(
        plural(n, verdict, many="errors" if verdict == "error" else verdict) for verdict, n in counts.items()
    )


def _cells(outcome: Outcome) -> tuple[str, ...]:
    test = outcome.test
    demanded = [] if test.fail_under is None else [f"{'surely ' * test.surely}mean >= {test.fail_under:g}"]
    if test.min_coverage is not None:
        demanded.append(f"scored >= {test.min_coverage:g}")
    summary = None if outcome.report is None else outcome.report.summary
    counts = ("–", "–") if summary is None else (f"{summary.rows:,}", f"{summary.failed:,}")
    rewards = None if summary is None else summary.rewards
    mean = ("–", "–") if rewards is None else (figure(rewards.mean.value), interval(rewards.mean))
    return clean(outcome.name), outcome.verdict, *counts, *mean, ", ".join(demanded)


def _failure_lines(outcome: Outcome) -> Iterator[str]:
    if outcome.error:
        yield f"error: {clean(outcome.error)}"
    if outcome.verdict == "interrupted":
        yield "interrupted: what it demands was not judged"
    for gate in outcome.unmet:
        yield f"gate {gate.verdict}: {gate.name} {gate.text}"
    if outcome.report is None:
        return
    for reason in outcome.report.summary.reasons[:LISTED]:
        yield f"{reason.rows:,} x {clean(reason.text, 100)} (row {clean(reason.example, 40)})"
    for shown in outcome.worst(ROWS_SHOWN):
        row = shown.row
        reward = "failed" if row.reward is None else f"reward {row.reward:g}"
        output = clean(row.output_text, EXCERPT) if isinstance(row.output_text, str) else ""
        texts = [
            f"{name} {text!r}"
            for name, text in (("output", output), ("reference", clean(shown.reference, EXCERPT)))
            if text
        ]
        yield "  ".join((f"row {clean(row.id, 40)}", reward, *texts))
