"""The sections of the page, from the verdict to the spec."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from graders.report.charts import bars_svg, few, hbar, histogram, scale
from graders.report.format import (
    figure,
    interval,
    percent,
    reliability_text,
    seconds,
    spoken_interval,
    verdict,
)
from graders.report.html import cells, figures, interval_text, safe, section, select
from graders.report.report import Report
from graders.report.rows import ID_MAX, measures, reward_span
from graders.stats.figures import Latency, Spread, SubReward, Summary
from graders.stats.gates import Gate
from graders.wording import plural

#: Reasons of failures that the page lists.
REASONS = 12


def top(report: Report) -> Iterable[str]:
    header = report.summary.header
    eyebrow = f"{safe(header.type)} on <bdi>{safe(header.data or 'a dataset')}</bdi>"
    yield '<div class="top"><div>'
    yield f'<p class="eyebrow">{eyebrow}</p><h1><bdi>{safe(header.name or header.type)}</bdi></h1></div>'
    yield '<button class="quiet" id="theme" type="button">Light / dark</button></div>'
    yield f'<p class="verdict">{safe(verdict(report.summary))}</p>'
    yield from gate_list(report.gates)
    if report.claims:
        items = "".join(
            f"<li>{safe(claim.name)}: {safe(claim.text_as_of_now)}</li>" for claim in report.claims
        )
        yield f'<ul class="cautions" aria-label="What is known of the grader">{items}</ul>'
    if report.summary.cautions:
        items = "".join(f"<li>{safe(caution)}</li>" for caution in report.summary.cautions)
        yield f'<ul class="cautions" aria-label="What to know before believing the numbers">{items}</ul>'


def gate_list(gates: Sequence[Gate]) -> Iterable[str]:
    """The list of gates with their verdicts; nothing without gates."""
    if gates:
        yield f'<ul class="gates" aria-label="Gates">{"".join(map(_gate, gates))}</ul>'


def _gate(gate: Gate) -> str:
    return f'<li><span class="chip {gate.verdict}">{gate.verdict}</span><span>{safe(gate.name)}: {safe(gate.text)}</span></li>'


def tiles(report: Report) -> Iterable[str]:
    summary = report.summary
    made: list[tuple[str, str, str]] = []
    if summary.rewards is not None:
        mean = summary.rewards.mean
        made.append(
            ("Mean reward", figure(mean.value), scale(mean, reward_span(summary)) + interval_text(mean))
        )
    if (
        summary.passed is not None
        and summary.rewards is not None
        and summary.passed.value != summary.rewards.mean.value
    ):
        about = scale(summary.passed, (0, 1)) + interval_text(summary.passed)
        made.append((f"Pass rate, at least {summary.threshold:g}", figure(summary.passed.value), about))
    failed = (
        "none failed"
        if not summary.failed
        else f"{summary.failed:,} failed ({percent(1 - summary.coverage)})"
    )
    made.append(("Scored rows", f"{summary.scored:,}", f"of {summary.rows:,}; {failed}"))
    if summary.bounds is not None:
        bounds = f"{figure(summary.bounds.low)} – {figure(summary.bounds.high)}"
        made.append(("Mean, failures at worst and best", bounds, "the failed rows can move it so far"))
    agreed = report.agreement
    if agreed is not None and agreed.kappa is not None and agreed.agreement is not None:
        how = ", held out" if agreed.fitted else ""
        about = f"{interval(agreed.kappa)}; agree on {percent(agreed.agreement.value)} of {plural(agreed.n, 'label')}"
        made.append((f"Cohen's kappa with labels{how}", figure(agreed.kappa.value), about))
    if summary.latency is not None:
        waited = summary.latency.waited
        about = f"90 % within {seconds(summary.latency.p90)}; "
        if waited is None:
            about += "waiting for a free place included"
        else:
            about += f"{seconds(waited)} of waiting for a free place not counted"
        made.append(("Median time of a row", seconds(summary.latency.p50), about))
    if summary.cost is not None:
        each = summary.cost / summary.scored if summary.scored else math.nan
        made.append(("Cost of judges", f"{summary.cost:,.4g}", f"{each:.3g} for a scored row"))
    yield tile_list(made)


def tile_list(tiles: Iterable[tuple[str, str, str]]) -> str:
    """Tiles with key figures: (name, figure, explanation), all HTML already."""
    shown = (
        f'<div class="tile"><dt>{name}</dt><dd>{value}<div class="small">{about}</div></dd></div>'
        for name, value, about in tiles
    )
    return f'<dl class="tiles">{"".join(shown)}</dl>'


def rewards(summary: Summary, spread: Spread) -> Iterable[str]:
    yield section("Rewards", "Choose a bar to list its rows.")
    if all(bar.low == bar.high for bar in spread.bars):
        yield f'<div class="card">{few(spread.bars, summary.scored)}</div></section>'
        return
    names = {
        "0.05": "5 % are at most",
        "0.25": "a quarter are at most",
        "0.5": "median",
        "0.75": "three quarters are at most",
        "0.95": "95 % are at most",
    }
    facts = [("least", spread.least)]
    facts += [(names[part], value) for part, value in spread.quantiles.items()]
    facts += [("most", spread.most), ("standard deviation", spread.sd)]
    table = figures((name, figure(value)) for name, value in facts)
    yield f'<div class="card pair"><div>{histogram(spread)}</div><div>{table}</div></div></section>'


def sub_rewards(summary: Summary) -> Iterable[str]:
    about = (
        "“Moves” is how much the total changes, on average, when this sub-reward is replaced by its own mean: what it "
        "really weighs in these rows."
    )
    subs: Sequence[SubReward] = summary.subs
    yield section("Sub-rewards", about)
    most = max((sub.moves for sub in subs if not math.isnan(sub.moves)), default=0) or 1
    head = (
        '<thead><tr><th scope="col">grader</th><th scope="col" class="num">mean</th>'
        '<th scope="col" class="num">95 % interval</th><th scope="col" class="num">pass rate</th><th scope="col">spread</th>'
        '<th scope="col" class="num">moves</th><td></td><th scope="col" class="num">r with total</th></tr></thead>'
    )
    rows = []
    for sub in subs:
        found, moves = sub.spread.mean, 0.0 if math.isnan(sub.moves) else sub.moves
        passed = "–" if sub.passed is None else figure(sub.passed.value)
        rows.append(
            f'<tr><th scope="row" class="name"><bdi>{safe(sub.key)}</bdi><div class="small soft">{safe(sub.type)}</div></th>'
            f'<td class="num">{figure(found.value)}</td>'
            f'<td class="num soft">{spoken_interval(found)}</td><td class="num">{passed}</td>'
            f"<td>{bars_svg(sub.spread.bars, 'strip')}</td>"
            f'<td class="num">{figure(sub.moves)}</td><td>{hbar(moves / most)}</td>'
            f'<td class="num">{figure(sub.correlation)}</td></tr>'
        )
    yield f'<div class="card scroll" tabindex="0"><table class="figures">{head}<tbody>{"".join(rows)}</tbody></table></div>'
    if len(subs) > 1:
        yield _scatter(summary)
    yield "</section>"


def _scatter(summary: Summary) -> str:
    """Two numbers of the rows against each other, drawn and shown by the script."""
    across = select("across", "Number across", measures(summary), chosen="sub0")
    up = select("up", "Number upwards", measures(summary), chosen="sub1")
    return (
        f'<div class="card" id="members" hidden><div class="tools">{up}<span class="soft">against</span>{across}</div>'
        '<svg class="scatter" id="scatter" viewBox="-4 -4 108 108" role="img" aria-label=""></svg>'
        '<p class="small soft"><span id="ends"></span>. Larger points are more rows of this page; choose one to open a row.</p></div>'
    )


def failures(report: Report) -> Iterable[str]:
    summary = report.summary
    yield section(
        "Failures", "A failure is not a score: these rows are in no mean. A row may have several flags."
    )
    flags = "".join(
        f'<tr><th scope="row" class="name"><code>{safe(flag)}</code></th><td class="wide spare">{hbar(n / summary.failed, kind="bad")}</td>'
        f'<td class="num">{n:,}</td><td class="num soft">{percent(n / summary.rows)}</td>'
        f'<td class="num"><button class="quiet" type="button" data-flag="{safe(flag)}">show rows</button></td></tr>'
        for flag, n in summary.flags.items()
    )
    yield f'<div class="card"><table class="figures"><tbody>{flags}</tbody></table>'
    on_page = {each.row.id for each in report.rows}
    reasons = "".join(
        f'<tr><td class="num">{reason.rows:,}</td><td class="reason">{safe(reason.text)}</td>'
        f"<td>{_row_link(reason.example, reason.example in on_page)}</td></tr>"
        for reason in summary.reasons[:REASONS]
    )
    head = '<thead><tr><th scope="col" class="num">rows</th><th scope="col">what they say</th><th scope="col">one of them</th></tr></thead>'
    yield f'<div class="scroll" tabindex="0"><table class="figures reasons">{head}<tbody>{reasons}</tbody></table></div></div></section>'


def _row_link(row_id: str, on_page: bool) -> str:
    shown = f"<bdi>{safe(row_id[:60])}</bdi>"
    return f'<a href="#row={quote(row_id[:ID_MAX], safe="")}">{shown}</a>' if on_page else shown


def repeats(summary: Summary) -> Iterable[str]:
    yield section(
        "Repeated samples",
        f"{safe(summary.grouping)}. pass@k: at least one of k samples passes; pass^k: all of them do. Unbiased, over "
        "the items with at least k scored rows.",
    )
    rows = (
        (
            f"k = {repeats.k}",
            f"{repeats.any_of_k.n:,}",
            *cells(repeats.any_of_k),
            *cells(repeats.all_of_k),
        )
        for repeats in summary.repeats
    )
    head = ("", "items", "pass@k", "95 % interval", "pass^k", "95 % interval")
    table = figures(rows, head) if summary.repeats else ""
    found = (
        "" if summary.reliability is None else f"Reliability: {safe(reliability_text(summary.reliability))}."
    )
    yield f'<div class="card scroll" tabindex="0">{table}<p class="small soft">{found}</p></div></section>'


def costs(summary: Summary) -> Iterable[str]:
    latency, about = summary.latency, ""
    if latency is not None:
        about = (
            "From when a row's questions were ready to its reward, waiting for a free place at judge or sandbox included, "
            f"over {plural(latency.n, 'row')}; the chart ends at 99 % of them."
        )
    yield section("Time, tokens and cost", about)
    halves = [
        *([] if latency is None else [_latency(latency)]),
        *([_tokens(summary)] if summary.spent else []),
    ]
    kind = "card halves" if len(halves) > 1 else "card"
    yield f'<div class="{kind}">{"".join(f"<div>{half}</div>" for half in halves)}</div></section>'


def _tokens(summary: Summary) -> str:
    head = ("judge", "tokens in", "of them cached", "tokens out", "cost")
    rows = []
    for use in summary.spent:
        counts = (use.prompt_tokens, use.cached_tokens, use.completion_tokens)
        cost = "–" if use.cost is None else f"{use.cost:,.4g}"
        rows.append(
            (f"<bdi>{safe(use.model)}</bdi>", *("–" if n is None else f"{n:,}" for n in counts), cost)
        )
    table = f'<div class="scroll" tabindex="0">{figures(rows, head)}</div>'
    if summary.cost is None:
        table += '<p class="small soft">A cost needs [prices] in graders.toml for every judge.</p>'
    return table


def _latency(latency: Latency) -> str:
    facts = [
        ("median", latency.p50),
        ("90 % within", latency.p90),
        ("99 % within", latency.p99),
        ("slowest", latency.most),
        *(() if latency.waited is None else (("median wait before it", latency.waited),)),
    ]
    axis = f"<span>{seconds(latency.bars[0].low)}</span><span>{seconds(latency.bars[-1].high)}</span>"
    table = figures((name, seconds(value)) for name, value in facts)
    chart = (
        ""
        if len(latency.bars) < 3
        else f'{bars_svg(latency.bars, "chart low")}<div class="axis">{axis}</div>'
    )
    return chart + table


def foot(summary: Summary) -> Iterable[str]:
    header = summary.header
    lines = [f"{safe(header.engine)}, spec digest <code>{safe(header.digest[:16])}</code>"]
    if summary.rewards is not None:
        lines.append(
            f"Intervals are 95 %. Mean reward: {safe(summary.rewards.mean.method)}; {safe(summary.grouping)}."
        )
    lines.append("Failed rows are in no mean, quantile or rate.")
    spec = safe(json.dumps(dict(header.spec), ensure_ascii=False, indent=2))
    yield "<footer>" + "".join(f"<div>{line}</div>" for line in lines)
    yield f'<details class="spec"><summary>The spec</summary><pre class="text">{spec}</pre></details></footer>'
