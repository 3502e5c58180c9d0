"""Charts of the page as SVG, which need no script."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graders.report.format import figure, percent
from graders.stats.agreement.labels import Bin
from graders.stats.estimates import Estimate
from graders.stats.figures import Spread
from graders.stats.histogram import HistogramBar
from graders.wording import plural


def scale(estimate: Estimate, span: tuple[float, float]) -> str:
    """A chart of an estimate with its interval on a line."""
    low, high = span
    width = (high - low) or 1.0
    at, start, end = ((value - low) / width * 100 for value in (estimate.value, estimate.low, estimate.high))
    if math.isnan(start):
        start = end = at
    return (
        '<svg class="scale" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" y="5" width="100" height="4"/>'
        f'<rect class="between" x="{start:.3f}" y="3" width="{max(0.4, end - start):.3f}" height="8"/>'
        f'<line class="at" x1="{at:.3f}" x2="{at:.3f}" y1="0" y2="14"/></svg>'
    )


def few(bars: Sequence[HistogramBar], n: int) -> str:
    """A table row for each distinct value."""
    most = max(bar.n for bar in bars) or 1
    rows = "".join(
        f'<tr><th scope="row" class="num">{bar.low:.4g}</th><td class="wide">{hbar(bar.n / most, bar)}</td>'
        f'<td class="num">{bar.n:,}</td><td class="num soft">{percent(bar.n / n)}</td></tr>'
        for bar in bars
    )
    head = (
        '<thead><tr><th scope="col" class="num">reward</th><td></td><th scope="col" class="num">rows</th>'
        '<th scope="col" class="num">share</th></tr></thead>'
    )
    return f'<table class="figures few">{head}<tbody>{rows}</tbody></table>'


def hbar(part: float, bar: HistogramBar | None = None, kind: str = "") -> str:
    pressed = ""
    if bar is not None:
        label = f"{plural(bar.n, 'row')} with reward {bar.low:g}"
        pressed = f' data-low="{bar.low!r}" data-high="{bar.high!r}" role="button" tabindex="0" aria-label="{label}"'
    return (
        f'<svg class="hbar {kind}" viewBox="0 0 100 12" preserveAspectRatio="none">'
        '<rect class="track" width="100" height="12" rx="0"/>'
        f'<rect class="bar" width="{max(part * 100, 0.6 if part else 0):.3f}" height="12"{pressed}/></svg>'
    )


def histogram(rewards: Spread) -> str:
    bars = rewards.bars
    low, high = bars[0].low, bars[-1].high
    at = (rewards.mean.value - low) / ((high - low) or 1.0) * 100
    mark = f'<line class="mark" x1="{at:.3f}" x2="{at:.3f}" y1="0" y2="100"/>'
    middle = (low + high) / 2
    axis = "".join(f"<span>{value:.3g}</span>" for value in (low, middle, high))
    key = f'<p class="key"><i></i>mean {figure(rewards.mean.value)}</p>'
    return f'{bars_svg(bars, "chart", mark, pressed=True)}<div class="axis">{axis}</div>{key}'


def bars_svg(bars: Sequence[HistogramBar], kind: str, more: str = "", *, pressed: bool = False) -> str:
    """Vertical bars with a width and height of 100, stretched by the page."""
    most, step = max((bar.n for bar in bars), default=0) or 1, 100 / len(bars)
    made = []
    for place, bar in enumerate(bars):
        if not bar.n:
            continue
        tall = max(1.0, bar.n / most * 98)
        about = f"{plural(bar.n, 'row')} from {bar.low:.4g} to {bar.high:.4g}"
        press = ""
        if pressed:
            press = f' data-low="{bar.low!r}" data-high="{bar.high!r}" role="button" tabindex="0" aria-label="{about}"'
        made.append(
            f'<rect class="bar" x="{place * step + step * 0.04:.3f}" y="{100 - tall:.3f}" width="{step * 0.92:.3f}" '
            f'height="{tall:.3f}"{press}><title>{about}</title></rect>'
        )
    base = '<line class="base" x1="0" x2="100" y1="100" y2="100"/>'
    return (
        f'<svg class="{kind}" viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'role="group">{base}{"".join(made)}{more}</svg>'
    )


def reliability_diagram(bins: Sequence[Bin], span: tuple[float, float]) -> str:
    """The human's pass rate, with its interval, over the grader's rewards; the diagonal shows perfect agreement."""
    low, high = span
    width = (high - low) or 1.0
    made = ['<line class="base" x1="0" y1="100" x2="100" y2="0"/>']
    for each in bins:
        x = (each.reward - low) / width * 100
        start, end = (100 - 100 * part for part in (each.passed.low, each.passed.high))
        if math.isnan(start):
            start = end = 100 - 100 * each.passed.value
        about = (
            f"{plural(each.passed.n, 'row')} with rewards {each.low:.3g} to {each.high:.3g}: "
            f"{percent(each.passed.value)} labelled yes"
        )
        made.append(
            f'<line class="whisker" x1="{x:.2f}" x2="{x:.2f}" y1="{start:.2f}" y2="{end:.2f}"/>'
            f'<rect class="bar" x="{x - 1:.2f}" y="{98 - 100 * each.passed.value:.2f}" width="2" height="4">'
            f"<title>{about}</title></rect>"
        )
    return (
        '<svg class="chart" viewBox="-2 -3 104 106" preserveAspectRatio="none" role="img" '
        f'aria-label="Part labelled yes at each reward">{"".join(made)}</svg>'
        f'<div class="axis"><span>{low:.3g}</span><span>reward; above it the part labelled yes</span>'
        f"<span>{high:.3g}</span></div>"
    )
