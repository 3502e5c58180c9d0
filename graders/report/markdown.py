"""Summaries and comparisons as Markdown, for comments on pull requests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from graders.report.claims import GraderClaim
from graders.report.format import (
    LISTED,
    agreement_text,
    chance,
    figure,
    latency_parts,
    marked,
    reliability_text,
    seconds,
    signed,
    spoken_interval,
    tokens,
    verdict,
)
from graders.stats.agreement.labels import Agreement
from graders.stats.comparison import Comparison
from graders.stats.estimates import Estimate
from graders.stats.figures import Summary
from graders.stats.gates import Gate
from graders.stats.pairing import Mover
from graders.wording import plural

#: Characters shown of the reason of a failure.
REASON = 160


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table: the first column is text, the others are numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return ["", *(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))]


def summary_markdown(
    summary: Summary,
    gates: Sequence[Gate] = (),
    agreement: Agreement | None = None,
    claims: Sequence[GraderClaim] = (),
) -> str:
    header = summary.header
    lines = [f"## {marked(header.name or header.type)}", "", verdict(summary)]
    lines += ["", *(f"- {claim.name}: {marked(claim.text_as_of_now)}" for claim in claims)] if claims else []
    lines += ["", *(f"- gate **{gate.verdict}**: {gate.name} {gate.text}" for gate in gates)] if gates else []
    lines += table(("", "value", "95 % interval"), _figures(summary))
    if summary.subs:
        head = ("sub-reward", "mean", "95 % interval", "moves the total by", "correlation")
        lines += table(
            head,
            (
                (
                    marked(sub.key),
                    *_cells(sub.spread.mean),
                    figure(sub.moves),
                    figure(sub.correlation),
                )
                for sub in summary.subs
            ),
        )
    if summary.flags:
        lines += table(("failure", "rows"), ((marked(flag), f"{n:,}") for flag, n in summary.flags.items()))
        reasons = summary.reasons[:LISTED]
        rows = [(marked(each.text, REASON), f"{each.rows:,}", marked(each.example, 40)) for each in reasons]
        lines += table(("reason", "rows", "one of them"), rows)
    if summary.spent:
        lines += table(
            ("judge", "tokens in", "tokens out", "cost"),
            (
                (
                    marked(use.model),
                    tokens(use.prompt_tokens),
                    tokens(use.completion_tokens),
                    "–" if use.cost is None else f"{use.cost:.4g}",
                )
                for use in summary.spent
            ),
        )
    if agreement is not None:
        lines += ["", f"Labels: {marked(agreement_text(agreement))}."]
    if summary.reliability is not None:
        lines += ["", f"Reliability: {marked(reliability_text(summary.reliability))}."]
    lines += ["", *(f"- {marked(caution)}" for caution in summary.cautions)] if summary.cautions else []
    about = f"{marked(header.engine)}, spec {header.digest[:12]}, data {marked(header.data)}"
    method = (
        f"; intervals are 95 %: {summary.rewards.mean.method}; {summary.grouping}" if summary.rewards else ""
    )
    return "\n".join([*lines, "", f"<sub>{about}{method}</sub>"]) + "\n"


def _figures(summary: Summary) -> list[tuple[str, str, str]]:
    """Name, value and interval of each figure."""
    rows = [
        ("rows", f"{summary.rows:,}", ""),
        ("scored", f"{summary.scored:,}", ""),
        ("failed", f"{summary.failed:,}", ""),
    ]
    if summary.rewards is not None:
        rows.append(("mean reward", *_cells(summary.rewards.mean)))
        rows.append(("median", figure(summary.rewards.quantiles["0.5"]), ""))
    if summary.passed is not None:
        rows.append((f"pass rate (at least {summary.threshold:g})", *_cells(summary.passed)))
    if summary.lowest is not None:
        rows.append(("mean, failed rows at the lowest reward", *_cells(summary.lowest)))
    if summary.bounds is not None:
        bounds = f"{figure(summary.bounds.low)} to {figure(summary.bounds.high)}"
        rows.append(("mean with failures at worst and best", "", bounds))
    for repeats in summary.repeats:
        rows.append((f"pass@{repeats.k}", *_cells(repeats.any_of_k)))
        rows.append((f"pass^{repeats.k}", *_cells(repeats.all_of_k)))
    rows += [(f"latency {name}", seconds(value), "") for name, value in latency_parts(summary.latency)]
    return rows


def comparison_markdown(found: Comparison, gates: Sequence[Gate] = ()) -> str:
    lines = [f"## {found.verdict}", ""]
    lines += [*(f"- gate **{gate.verdict}**: {gate.name} {gate.text}" for gate in gates), ""] if gates else []
    sides = (("A", found.a), ("B", found.b))
    lines += table(
        ("", "file", "rows", "mean over the pairs", "95 % interval", "only here", "failed"),
        (
            (
                letter,
                marked(side.path),
                f"{side.rows:,}",
                *(_cells(side.mean) if side.mean else ("–", "–")),
                f"{side.only_here:,}",
                f"{side.failed:,}",
            )
            for letter, side in sides
        ),
    )[1:]
    if found.delta is not None:
        rows = [("B - A", *_difference_cells(found.delta), chance(found.p_adjusted))]
        rows += [
            (marked(sub.key), *_difference_cells(sub.delta), chance(sub.p_adjusted)) for sub in found.subs
        ]
        lines += table(("difference", "mean", f"{found.level * 100:.3g} % interval", "p"), rows)
        counts = (
            f"{plural(found.pairs, 'pair')}: {found.up:,} up, {found.down:,} down, {found.same:,} the same."
        )
        could = ""
        if math.isfinite(found.smallest_shown):
            could = (
                f" The smallest difference such pairs show in 4 of 5 runs: {figure(found.smallest_shown)}."
            )
        lines += ["", f"{counts} p values are of sign flips.{could}"]
    if found.passes is not None:
        passes = found.passes
        lines += table(
            ("", "B passes", "B fails"),
            (
                ("A passes", f"{passes.both:,}", f"{passes.only_a:,}"),
                ("A fails", f"{passes.only_b:,}", f"{passes.neither:,}"),
            ),
        )
        lines += ["", f"McNemar, exact: p {chance(passes.p_value)}."]
    for title, movers in (("Most gained", found.gained), ("Most lost", found.lost)):
        if movers:
            lines += table((title, "A", "B"), map(_mover_cells, movers))
    lines += ["", *(f"- {marked(note)}" for note in found.notes)] if found.notes else []
    return "\n".join(lines) + "\n"


def comparisons_markdown(found: Sequence[Comparison], gates: Sequence[Sequence[Gate]]) -> str:
    """Each comparison with the first file."""
    return "\n".join(comparison_markdown(*each) for each in zip(found, gates, strict=True))


def _difference_cells(delta: Estimate) -> tuple[str, str]:
    return signed(delta.value), spoken_interval(delta, signed)


def _mover_cells(mover: Mover) -> tuple[str, str, str]:
    return marked(mover.id, 40), figure(mover.a), figure(mover.b)


def _cells(estimate: Estimate) -> tuple[str, str]:
    return figure(estimate.value), spoken_interval(estimate)
