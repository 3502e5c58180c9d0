"""Summaries and comparisons as text for a terminal and as Markdown.

Names, ids and texts come from data: control characters are taken out of them, and in Markdown its marks are escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from graders.stats.compare import Comparison, Mover, Side
from graders.stats.estimates import Estimate
from graders.stats.labels import Agreement
from graders.stats.summary import Bar, Gate, Spread, Summary

BLOCKS = "▁▂▃▄▅▆▇█"  # eighths of a height
EIGHTHS = " ▏▎▍▌▋▊▉"  # and of a width
WIDTH = 32  # characters of the longest bar
LABEL = 13  # characters of the column of names
EXCERPT = 60  # characters of a text in a list of rows
LISTED = 5  # rows in a list

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_MARKS = re.compile(r"([\\`*_{}\[\]<>|#~&!])")


def figure(value: float) -> str:
    """A number for people: five digits, at most four of them decimals; – where there is none."""
    if not math.isfinite(value):
        return "–"
    whole = math.floor(math.log10(abs(value))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, 4 - whole)}f}"


def percent(part: float) -> str:
    """Never 0 % or 100 % of what is neither."""
    shown = f"{part:.1%}"
    shown = (
        "< 0.1%" if shown == "0.0%" and part > 0 else "> 99.9%" if shown == "100.0%" and part < 1 else shown
    )
    return shown.replace("%", "\N{NO-BREAK SPACE}%")


def signed(value: float) -> str:
    return figure(value) if not math.isfinite(value) or value < 0 else f"+{figure(value)}"


def seconds(value: float) -> str:
    number, unit = (value * 1000, "ms") if value < 1 else (value, "s")
    return f"{number:#.3g}".rstrip(".") + f" {unit}" if number < 1000 else f"{number:,.0f} {unit}"


def chance(p: float) -> str:
    """A p value: never a bare 0."""
    return "–" if math.isnan(p) else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def clean(text: str, most: int | None = None) -> str:
    """One line without control characters, which could move the cursor or turn the reading direction."""
    line = _CONTROL.sub(" ", text).strip()
    return line if most is None or len(line) <= most else line[: most - 1] + "…"


def marked(text: str, most: int | None = None) -> str:
    """As `clean`, with Markdown's marks escaped."""
    return _MARKS.sub(r"\\\1", clean(text, most))


def spark(bars: Sequence[Bar]) -> str:
    """A histogram in one line; what is not empty is never blank."""
    most = max((bar.n for bar in bars), default=0)
    return (
        "".join(BLOCKS[max(0, math.ceil(bar.n / most * 8) - 1)] if bar.n else " " for bar in bars)
        if most
        else ""
    )


def bar_of(part: float, width: int = WIDTH) -> str:
    """A bar of `part` (0 to 1) of the width, in eighths of a character."""
    eighths = round(part * width * 8)
    full, rest = divmod(max(eighths, 1 if part > 0 else 0), 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def interval(estimate: Estimate) -> str:
    return f"[{figure(estimate.low)}, {figure(estimate.high)}]"


def verdict(summary: Summary) -> str:
    """The one sentence that a reader takes away."""
    failed = "none failed" if not summary.failed else f"{summary.failed:,} more failed and are left out"
    if summary.rewards is None:
        return (
            f"No row could be scored: all {summary.failed:,} failed."
            if summary.rows
            else "There are no rows."
        )
    found = summary.rewards.mean
    about = "no interval: a single item"
    if not math.isnan(found.low):
        about = f"95 % interval {figure(found.low)} to {figure(found.high)}"
    return f"Mean reward {figure(found.value)} ({about}) over {summary.scored:,} scored rows; {failed}."


# --- terminal -----------------------------------------------------------------------------------------------------


def summary_text(summary: Summary, gates: Sequence[Gate] = (), agreement: Agreement | None = None) -> str:
    """Ten or so lines with block characters."""
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
    if agreement is not None:
        lines.append(_line("labels", agreement_text(agreement)))
    lines += _cost_lines(summary)
    lines += [_line("gate", f"{gate.verdict}: {gate.name} {gate.text}") for gate in gates]
    return "\n".join(lines)


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
    """The first to the left, the numbers to the right."""
    first, *rest = (f"{cell:{'>' if place else '<'}{widths[place]}}" for place, cell in enumerate(cells))
    return "  ".join((first, *rest))


def _cost_lines(summary: Summary) -> list[str]:
    lines = []
    latency = summary.latency
    if latency is not None:
        parts = (f"{name} {seconds(value)}" for name, value in _latency_parts(summary))
        lines.append(_line("latency", ", ".join(parts)))
    for place, spent in enumerate(summary.spent):
        text = (
            f"{clean(spent.model)}: {_count(spent.prompt_tokens)} in, {_count(spent.completion_tokens)} out"
        )
        if spent.cached_tokens:
            text += f", {spent.cached_tokens:,} cached"
        text += "" if spent.cost is None else f", cost {spent.cost:.4g}"
        lines.append(_line("" if place else "tokens", text))
    return lines


def _latency_parts(summary: Summary) -> list[tuple[str, float]]:
    found = summary.latency
    if found is None:
        return []
    return [("p50", found.p50), ("p90", found.p90), ("p99", found.p99), ("most", found.most)]


def agreement_text(agreement: Agreement) -> str:
    """Agreement with the labels in one line."""
    found = f"'{clean(agreement.field)}' on {agreement.n:,} rows"
    cut = agreement.cut
    if cut is None:
        found += f": r {figure(agreement.correlation)}, rank correlation {figure(agreement.rank_correlation)}"
        if agreement.weighted_kappa is not None:
            found += f", weighted kappa {figure(agreement.weighted_kappa)}"
        return found
    found += f" at {cut.threshold:g}: agreement {figure(cut.agreement.value)} {interval(cut.agreement)}"
    return f"{found}, kappa {figure(cut.kappa)}, {cut.only_grader:,} passed wrongly, {cut.only_human:,} failed wrongly"


def _count(tokens: int | None) -> str:
    return "–" if tokens is None else f"{tokens:,}"


def _line(label: str, text: str) -> str:
    return f"{label:{LABEL}}{text}".rstrip()


def comparison_text(found: Comparison, gates: Sequence[Gate] = ()) -> str:
    """The comparison for a terminal."""
    lines = [
        f"A  {clean(found.a.path)}  {_side_text(found.a)}",
        f"B  {clean(found.b.path)}  {_side_text(found.b)}",
        "",
    ]
    pairs = f"{found.pairs:,} rows scored in both"
    if found.items != found.pairs:
        pairs += f", of {found.items:,} items"
    lines.append(_line("pairs", pairs))
    delta = found.delta
    if delta is not None:
        lines.append(
            _line("B - A", f"{signed(delta.value)}  95 % [{signed(delta.low)}, {signed(delta.high)}]")
        )
        lines.append(_line("", f"p {chance(found.p_value)} (sign flips), {delta.method}"))
        lines.append(_line("rows", f"{found.up:,} up, {found.down:,} down, {found.same:,} the same"))
    if found.passes is not None:
        passes = found.passes
        lines.append(
            _line(
                "passes",
                f"both {passes.both:,}, only A {passes.only_a:,}, only B {passes.only_b:,}, neither {passes.neither:,}; "
                f"McNemar p {chance(passes.p_value)}",
            )
        )
    for place, sub in enumerate(found.subs):
        text = (
            f"{clean(sub.key)} {signed(sub.delta.value)} [{signed(sub.delta.low)}, {signed(sub.delta.high)}]"
        )
        lines.append(_line("" if place else "sub-rewards", text))
    if len(found.bars) > 2:
        low, high = signed(found.bars[0].low), signed(found.bars[-1].high)
        lines.append(_line("differences", f"{low} {spark(found.bars)} {high}"))
    for side, letter in ((found.a, "A"), (found.b, "B")):
        if side.only_here:
            ids = ", ".join(clean(id, 24) for id in side.only_ids[:LISTED])
            more = ", ..." if side.only_here > LISTED else ""
            lines.append(_line(f"only in {letter}", f"{side.only_here:,} rows: {ids}{more}"))
    for title, movers in (("most gained", found.gained), ("most lost", found.lost)):
        for place, mover in enumerate(movers[:LISTED]):
            text = f"{signed(mover.delta)}  {clean(mover.id, 24)}  {clean(mover.b_text, EXCERPT)}"
            lines.append(_line("" if place else title, text))
    lines += [f"note: {note}" for note in found.notes]
    lines += [_line("gate", f"{gate.verdict}: {gate.name} {gate.text}") for gate in gates]
    return "\n".join([*lines, "", f"{found.verdict}."])


def _side_text(side: Side) -> str:
    text = f"{clean(side.header.name)}, {side.rows:,} rows"
    return text if side.mean is None else f"{text}, mean {figure(side.mean.value)} {interval(side.mean)}"


# --- Markdown -----------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table: the first column is text, the others are numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return ["", *(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))]


def summary_markdown(summary: Summary, gates: Sequence[Gate] = (), agreement: Agreement | None = None) -> str:
    header = summary.header
    lines = [f"## {marked(header.name or header.type)}", "", verdict(summary)]
    lines += ["", *(f"- gate **{gate.verdict}**: {gate.name} {gate.text}" for gate in gates)] if gates else []
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
    if summary.bounds is not None:
        bounds = f"{figure(summary.bounds.low)} to {figure(summary.bounds.high)}"
        rows.append(("mean with failures at worst and best", "", bounds))
    for repeats in summary.repeats:
        rows.append((f"pass@{repeats.k}", *_cells(repeats.any_of_k)))
        rows.append((f"pass^{repeats.k}", *_cells(repeats.all_of_k)))
    rows += [(f"latency {name}", seconds(value), "") for name, value in _latency_parts(summary)]
    lines += table(("", "value", "95 % interval"), rows)
    if summary.subs:
        head = ("sub-reward", "mean", "95 % interval", "moves the total by", "correlation")
        lines += table(
            head,
            (
                (
                    marked(sub.key), *_cells(sub.spread.mean), figure(sub.moves), figure(sub.correlation),
                )
                for sub in summary.subs
            ),
        )  # fmt: skip
    if summary.flags:
        lines += table(("failure", "rows"), ((marked(flag), f"{n:,}") for flag, n in summary.flags.items()))
    if summary.spent:
        lines += table(
            ("judge", "tokens in", "tokens out", "cost"),
            (
                (
                    marked(spent.model), _count(spent.prompt_tokens), _count(spent.completion_tokens),
                    "–" if spent.cost is None else f"{spent.cost:.4g}",
                )
                for spent in summary.spent
            ),
        )  # fmt: skip
    if agreement is not None:
        lines += ["", f"Labels: {marked(agreement_text(agreement))}."]
    about = f"{marked(header.engine)}, spec {header.digest[:12]}, data {marked(header.data)}"
    method = (
        f"; intervals are 95 %: {summary.rewards.mean.method}; {summary.grouping}" if summary.rewards else ""
    )
    return "\n".join([*lines, "", f"<sub>{about}{method}</sub>"]) + "\n"


def comparison_markdown(found: Comparison, gates: Sequence[Gate] = ()) -> str:
    lines = [f"## {found.verdict}", ""]
    lines += [*(f"- gate **{gate.verdict}**: {gate.name} {gate.text}" for gate in gates), ""] if gates else []
    sides = (("A", found.a), ("B", found.b))
    lines += table(
        ("", "file", "rows", "mean over the pairs", "95 % interval", "only here", "failed"),
        (
            (
                letter, marked(side.path), f"{side.rows:,}", *(_cells(side.mean) if side.mean else ("–", "–")),
                f"{side.only_here:,}", f"{side.failed:,}",
            )
            for letter, side in sides
        ),
    )[1:]  # fmt: skip
    if found.delta is not None:
        rows = [
            ("B - A", signed(found.delta.value), f"{signed(found.delta.low)} to {signed(found.delta.high)}"),
            *((marked(sub.key), signed(sub.delta.value), f"{signed(sub.delta.low)} to {signed(sub.delta.high)}") for sub in found.subs),
        ]  # fmt: skip
        lines += table(("difference", "mean", "95 % interval"), rows)
        lines += [
            "",
            f"{found.pairs:,} pairs: {found.up:,} up, {found.down:,} down, {found.same:,} the same. ",
        ]
        lines[-1] += f"Sign flips: p {chance(found.p_value)}."
    if found.passes is not None:
        passes = found.passes
        lines += table(
            ("", "B passes", "B fails"),
            (("A passes", f"{passes.both:,}", f"{passes.only_a:,}"), ("A fails", f"{passes.only_b:,}", f"{passes.neither:,}")),
        )  # fmt: skip
        lines += ["", f"McNemar, exact: p {chance(passes.p_value)}."]
    for title, movers in (("Most gained", found.gained), ("Most lost", found.lost)):
        if movers:
            lines += table((title, "A", "B"), map(_mover_cells, movers))
    lines += ["", *(f"- {marked(note)}" for note in found.notes)] if found.notes else []
    return "\n".join(lines) + "\n"


def _mover_cells(mover: Mover) -> tuple[str, str, str]:
    return marked(mover.id, 40), figure(mover.a), figure(mover.b)


def _cells(estimate: Estimate) -> tuple[str, str]:
    return figure(estimate.value), _plain(estimate)


def _plain(estimate: Estimate) -> str:
    return f"{figure(estimate.low)} to {figure(estimate.high)}"
