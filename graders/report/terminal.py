"""Summaries and comparisons as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graders.report.claims import GraderClaim
from graders.report.format import (
    LISTED,
    agreement_text,
    bar_of,
    chance,
    clean,
    figure,
    interval,
    latency_parts,
    reliability_text,
    seconds,
    signed,
    spark,
    tokens,
)
from graders.stats.agreement.labels import Agreement
from graders.stats.comparison import Comparison, Side
from graders.stats.figures import Spread, Summary
from graders.stats.gates import Gate
from graders.wording import plural

#: Characters of the column of names.
LABEL = 13
#: Characters of a text in a list of rows, and of the reason of a failure.
EXCERPT = 60
REASON = 100


def summary_text(
    summary: Summary,
    gates: Sequence[Gate] = (),
    agreement: Agreement | None = None,
    claims: Sequence[GraderClaim] = (),
) -> str:
    """A summary of about ten lines, with block characters."""
    header = summary.header
    name = clean(header.name) if header.name in ("", header.type) else f"{clean(header.name)} ({header.type})"
    lines = [f"{name or header.type} on {clean(header.data)}, {header.engine}"]
    lines.append(_line("rows", f"{summary.rows:,}: {summary.scored:,} scored, {summary.failed:,} failed"))
    if summary.items != summary.scored:
        lines.append(_line("items", summary.grouping))
    if summary.rewards is not None:
        lines += _rewards_lines(summary, summary.rewards)
    lines += _sub_lines(summary)
    for place, (flag, n) in enumerate(summary.flags.items()):
        lines.append(_line("" if place else "failures", f"{bar_of(n / summary.failed, 12):12} {n:,} {flag}"))
    lines += _reason_lines(summary)
    if summary.bounds is not None:
        bounds = f"{figure(summary.bounds.low)} to {figure(summary.bounds.high)}"
        lines.append(_line("bounds", f"{bounds}: the mean, had all failed rows got the least or the most"))
    for repeats in summary.repeats:
        lines.append(
            _line(
                f"pass@{repeats.k}",
                f"{figure(repeats.any_of_k.value)} {interval(repeats.any_of_k)}  "
                f"pass^{repeats.k} {figure(repeats.all_of_k.value)} {interval(repeats.all_of_k)}",
            )
        )
    if summary.reliability is not None:
        lines.append(_line("reliability", reliability_text(summary.reliability)))
    if agreement is not None:
        lines.append(_line("labels", agreement_text(agreement)))
    lines += [_line(claim.name, clean(claim.text_as_of_now)) for claim in claims]
    lines += _cost_lines(summary)
    lines += [f"note: {caution}" for caution in summary.cautions]
    lines += [_line("gate", f"{gate.verdict}: {gate.name} {gate.text}") for gate in gates]
    return "\n".join(lines)


def _reason_lines(summary: Summary) -> list[str]:
    """The most frequent reasons of failures, each with the id of an example row."""
    lines = [
        _line("", f"{reason.rows:,} x {clean(reason.text, REASON)} (row {clean(reason.example, 40)})")
        for reason in summary.reasons[:LISTED]
    ]
    if len(summary.reasons) > LISTED:
        lines.append(_line("", f"and {plural(len(summary.reasons) - LISTED, 'other reason')}"))
    return lines


def _rewards_lines(summary: Summary, rewards: Spread) -> list[str]:
    lines = [
        _line(
            "mean reward",
            f"{figure(rewards.mean.value)}  95 % {interval(rewards.mean)}  {rewards.mean.method}",
        )
    ]
    passed = summary.passed
    if passed is not None and passed.value != rewards.mean.value:
        text = f"{figure(passed.value)}  95 % {interval(passed)}  reach {summary.threshold:g}"
        lines.append(_line("pass rate", text))
    if all(bar.low == bar.high for bar in rewards.bars):
        most = max(bar.n for bar in rewards.bars)
        width = max(len(f"{bar.low:.4g}") for bar in rewards.bars)
        for place, bar in enumerate(rewards.bars):
            text = f"{bar.low:>{width}.4g} {bar_of(bar.n / most)} {bar.n:,}"
            lines.append(_line("" if place else "rewards", text))
    else:
        low, high = f"{rewards.bars[0].low:.3g}", f"{rewards.bars[-1].high:.3g}"
        median = f"median {figure(rewards.quantiles['0.5'])}"
        lines.append(
            _line("rewards", f"{low} {spark(rewards.bars)} {high}  {median}  sd {figure(rewards.sd)}")
        )
    return lines


def _sub_lines(summary: Summary) -> list[str]:
    cells = [
        (
            clean(sub.key),
            figure(sub.spread.mean.value),
            interval(sub.spread.mean),
            f"moves {figure(sub.moves)}",
        )
        for sub in summary.subs
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        _line("" if place else "sub-rewards", f"{_padded(row, widths)}  {spark(sub.spread.bars)}")
        for place, (row, sub) in enumerate(zip(cells, summary.subs, strict=True))
    ]


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of cells: the first aligned left, the numbers right."""
    first, *rest = (f"{cell:{'>' if place else '<'}{widths[place]}}" for place, cell in enumerate(cells))
    return "  ".join((first, *rest))


def _cost_lines(summary: Summary) -> list[str]:
    lines = []
    latency = summary.latency
    if latency is not None:
        parts = (f"{name} {seconds(value)}" for name, value in latency_parts(latency))
        lines.append(_line("latency", ", ".join(parts)))
    for place, use in enumerate(summary.spent):
        text = f"{clean(use.model)}: {tokens(use.prompt_tokens)} in, {tokens(use.completion_tokens)} out"
        if use.cached_tokens:
            text += f", {use.cached_tokens:,} cached"
        text += "" if use.cost is None else f", cost {use.cost:.4g}"
        lines.append(_line("" if place else "tokens", text))
    return lines


def _line(label: str, text: str) -> str:
    return f"{label:{LABEL}}{text}".rstrip()


def comparison_text(found: Comparison, gates: Sequence[Gate] = ()) -> str:
    """The comparison for a terminal."""
    lines = [
        f"A  {clean(found.a.path)}  {_side_text(found.a)}",
        f"B  {clean(found.b.path)}  {_side_text(found.b)}",
        "",
    ]
    pairs = f"{plural(found.pairs, 'row')} scored in both"
    if found.items != found.pairs:
        pairs += f", of {plural(found.items, 'item')}"
    lines.append(_line("pairs", pairs))
    lines += _delta_lines(found)
    if found.passes is not None:
        passes = found.passes
        lines.append(
            _line(
                "passes",
                f"both {passes.both:,}, only A {passes.only_a:,}, only B {passes.only_b:,}, neither {passes.neither:,}; "
                f"McNemar p {chance(passes.p_value)}",
            )
        )
    for a, b in zip(found.a.repeats[-1:], found.b.repeats[-1:], strict=False):
        text = f"A {figure(a.all_of_k.value)} {interval(a.all_of_k)}, B {figure(b.all_of_k.value)} {interval(b.all_of_k)}"
        lines.append(_line(f"pass^{a.k}", text))
    for place, sub in enumerate(found.subs):
        text = f"{clean(sub.key)} {signed(sub.delta.value)} {interval(sub.delta, signed)}  p {chance(sub.p_adjusted)}"
        lines.append(_line("" if place else "sub-rewards", text))
    if len(found.subs) > 1:
        lines.append(_line("", f"intervals hold all at once; p adjusted for {len(found.subs)} graders"))
    if len(found.bars) > 2:
        low, high = signed(found.bars[0].low), signed(found.bars[-1].high)
        lines.append(_line("differences", f"{low} {spark(found.bars)} {high}"))
    for side, letter in ((found.a, "A"), (found.b, "B")):
        if side.only_here:
            ids = ", ".join(clean(row_id, 24) for row_id in side.only_ids[:LISTED])
            more = ", ..." if side.only_here > LISTED else ""
            lines.append(_line(f"only in {letter}", f"{plural(side.only_here, 'row')}: {ids}{more}"))
    for title, movers in (("most gained", found.gained), ("most lost", found.lost)):
        for place, mover in enumerate(movers[:LISTED]):
            text = f"{signed(mover.delta)}  {clean(mover.id, 24)}  {clean(mover.b_text, EXCERPT)}"
            lines.append(_line("" if place else title, text))
    lines += [f"note: {note}" for note in found.notes]
    lines += [_line("gate", f"{gate.verdict}: {gate.name} {gate.text}") for gate in gates]
    return "\n".join([*lines, "", f"{found.verdict}."])


def comparisons_text(found: Sequence[Comparison], gates: Sequence[Sequence[Gate]]) -> str:
    """Each comparison with the first file, preceded by a table of all if there are several."""
    parts = [comparison_text(*each) for each in zip(found, gates, strict=True)]
    if len(found) == 1:
        return parts[0]
    cells = [
        (
            clean(each.b.path),
            "–" if each.delta is None else signed(each.delta.value),
            "–" if each.delta is None else interval(each.delta, signed),
            f"p {chance(each.p_adjusted)}",
            each.verdict,
        )
        for each in found
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [f"{_padded(row[:4], widths)}  {row[4]}" for row in cells]
    about = (
        f"{len(found)} files (B) against {clean(found[0].a.path)} (A): intervals hold all at once, "
        "p adjusted for how many they are"
    )
    return "\n\n".join(["\n".join([about, *rows]), *parts])


def _delta_lines(found: Comparison) -> list[str]:
    delta = found.delta
    if delta is None:
        return []
    many = "" if found.p_adjusted == found.p_value else f", {chance(found.p_adjusted)} adjusted"
    lines = [
        _line("B - A", f"{signed(delta.value)}  {found.level * 100:.3g} % {interval(delta, signed)}"),
        _line("", f"p {chance(found.p_value)} (sign flips){many}, {delta.method}"),
        _line("rows", f"{found.up:,} up, {found.down:,} down, {found.same:,} the same"),
    ]
    if math.isfinite(found.smallest_shown):
        text = f"{figure(found.smallest_shown)}: the smallest difference such pairs show in 4 of 5 runs"
        lines.append(_line("could show", text))
    return lines


def _side_text(side: Side) -> str:
    text = f"{clean(side.header.name)}, {plural(side.rows, 'row')}"
    return text if side.mean is None else f"{text}, mean {figure(side.mean.value)} {interval(side.mean)}"
