"""Formats numbers, names and texts for people, in a terminal, in Markdown and on a page.

Names, ids and texts come from data: control characters are removed, and in Markdown markup is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from graders.stats.agreement.labels import Agreement
from graders.stats.estimates import Estimate
from graders.stats.figures import Latency, Summary
from graders.stats.histogram import HistogramBar
from graders.stats.repeats import Reliability
from graders.wording import plural

#: Block characters for eighths of a height, and of a width.
BLOCKS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉"
#: Characters of the longest bar.
WIDTH = 32
#: Rows or reasons of failures in a list.
LISTED = 5

#: Characters that are invisible or change the reading direction: control, zero-width and bidi characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_MARKS = re.compile(r"([\\`*_{}\[\]<>|#~&!])")


def figure(value: float) -> str:
    """A number with five digits, at most four of them decimals; – for NaN."""
    if not math.isfinite(value):
        return "–"
    whole = math.floor(math.log10(abs(value))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, 4 - whole)}f}"


def percent(part: float) -> str:
    """A percentage that is never rounded to 0 % or 100 %."""
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
    """A p value, never rounded to 0."""
    return "–" if math.isnan(p) else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def clean(text: str, most: int | None = None) -> str:
    """One line without control characters, which could move the cursor or change the reading direction."""
    line = _CONTROL.sub(" ", text).strip()
    return line if most is None or len(line) <= most else line[: most - 1] + "…"


def marked(text: str, most: int | None = None) -> str:
    """As `clean`, with Markdown's markup escaped."""
    return _MARKS.sub(r"\\\1", clean(text, most))


def spark(bars: Sequence[HistogramBar]) -> str:
    """A histogram in one line; a bar that is not empty is never blank."""
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


def interval(estimate: Estimate, number: Callable[[float], str] = figure) -> str:
    """`[0.1000, 0.2000]`, each end as `number` writes it."""
    if math.isnan(estimate.low):
        return "[no interval]"
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def spoken_interval(estimate: Estimate, number: Callable[[float], str] = figure) -> str:
    """`0.1000 to 0.2000`, for a cell of a table."""
    if math.isnan(estimate.low):
        return "–"
    return f"{number(estimate.low)} to {number(estimate.high)}"


def verdict(summary: Summary) -> str:
    """The main result in one sentence."""
    failed = "none failed" if not summary.failed else f"{summary.failed:,} more failed and are left out"
    if summary.rewards is None:
        return (
            f"No row could be scored: all {summary.failed:,} failed."
            if summary.rows
            else "There are no rows."
        )
    found = summary.rewards.mean
    about = found.between()
    if not math.isnan(found.low):
        about = f"95 % interval {figure(found.low)} to {figure(found.high)}"
    scored = plural(summary.scored, "scored row")
    return f"Mean reward {figure(found.value)} ({about}) over {scored}; {failed}."


def latency_parts(found: Latency | None) -> list[tuple[str, float]]:
    """Percentiles by name, and the median wait where it is known."""
    if found is None:
        return []
    parts = [("p50", found.p50), ("p90", found.p90), ("p99", found.p99), ("most", found.most)]
    return parts if found.waited is None else [*parts, ("waited", found.waited)]


def tokens(n: int | None) -> str:
    """A count of tokens; – where it is unknown."""
    return "–" if n is None else f"{n:,}"


def agreement_text(agreement: Agreement) -> str:
    """Agreement with the labels in one line."""
    found = f"'{clean(agreement.field)}' on {plural(agreement.n, 'row')}"
    cut, agreed, kappa = agreement.cut, agreement.agreement, agreement.kappa
    if cut is None or agreed is None or kappa is None:
        found += f": r {figure(agreement.correlation)}, rank correlation {figure(agreement.rank_correlation)}"
        if agreement.weighted_kappa is not None:
            found += f", weighted kappa {figure(agreement.weighted_kappa)}"
        return found
    if agreement.fitted:
        found += ", each half at the threshold that is best on the other"
    else:
        found += f" at {cut.threshold:g}"
    found += f": agreement {figure(agreed.value)} {interval(agreed)}, kappa {figure(kappa.value)} {interval(kappa)}"
    if agreement.auroc is not None and not math.isnan(agreement.auroc.value):
        found += f", AUROC {figure(agreement.auroc.value)} {interval(agreement.auroc)}"
    if agreement.fitted:
        return f"{found}; {cut.threshold:g} is best on all of them"
    return f"{found}, {cut.only_grader:,} passed wrongly, {cut.only_human:,} failed wrongly"


def reliability_text(found: Reliability) -> str:
    """The agreement of repeats in one line."""
    parts = []
    if math.isfinite(found.one_row):
        parts.append(f"{figure(found.one_row)} of one row, {figure(found.item_mean)} of an item's mean")
    if found.same_verdict is not None:
        same = f"{figure(found.same_verdict.value)} {interval(found.same_verdict)}"
        parts.append(f"two rows of an item get the same verdict {same}")
    return f"{'; '.join(parts) or 'rewards do not vary'}; {plural(found.items, 'item')} with repeats"


def visible(text: str) -> str:
    """A text with each invisible character replaced by its name."""
    return _UNSEEN.sub(_named, text)


def _named(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 32 else f"⟨U+{code:04X}⟩"
