"""A report as one self-contained HTML page: no network, no library, works from a file.

The figures are HTML and SVG made here and can be read without scripts; the table of rows is made by page/page.js from
JSON in the page, through textContent alone. A content security policy with the hashes of our own style and script
forbids everything else, so a text from the data can neither run nor load anything.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from graders.report.format import figure, interval, percent, seconds, verdict, visible
from graders.report.report import Report, Shown
from graders.stats.estimates import Estimate, number_or_none
from graders.stats.facts import reward_range
from graders.stats.gates import Gate
from graders.stats.histogram import Bar
from graders.stats.labels import Agreement, Cut
from graders.stats.summary import Latency, Spread, SubReward, Summary
from graders.wording import plural

TEXT_MAX = 4000  # characters of a text on the page
TEXTS_MAX = 9_000_000  # characters of all texts on the page, which cuts them shorter where rows are many
TEXT_MIN = 400  # but not below this
SUB_COLUMNS = 4  # sub-rewards with a column of their own in the table of rows

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(report: Report) -> str:
    """The page's HTML."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = {
        "policy": policy,
        "title": safe(f"{report.summary.header.name or report.summary.header.type}: grader report"),
        "style": style,
        "script": script,
        "body": "\n".join(_body(report)),
        "data": _json(_data(report)),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _asset("page.html"))


def safe(text: object) -> str:
    """A text for HTML: marks escaped, and characters that would not be seen shown by name."""
    return escape(visible(str(text)))


def _asset(name: str) -> str:
    return files("graders.report").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in: ASCII, and without the characters HTML looks for."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


# --- what the script gets -----------------------------------------------------------------------------------------


def _data(report: Report) -> dict[str, Any]:
    summary, agreed = report.summary, report.agreement
    most = max(TEXT_MIN, min(TEXT_MAX, TEXTS_MAX // max(1, len(report.shown)) // 3))
    curve = [] if agreed is None else agreed.curve
    return {
        "rows": [_row(shown, summary, most) for shown in report.shown],
        "subs": [sub.key for sub in summary.subs],
        "columns": min(SUB_COLUMNS, len(summary.subs)),
        "range": _span(summary),
        "threshold": summary.threshold,
        "label": None if agreed is None else agreed.field,
        "labels": {"yes": agreed.yes, "no": agreed.no} if agreed else {},
        "curve": curve,
        "cut": _cut_index(agreed),
    }


def _row(shown: Shown, summary: Summary, most: int) -> dict[str, Any]:
    row = shown.row
    item = {} if row.item is row.row else row.item
    texts = {
        "output": row.output_text,
        "reference": shown.reference,
        "item": _fields(item or _rest(row.row)),
        "provenance": _fields(row.provenance),
    }
    return {
        "place": shown.place,
        "id": row.id[:200],
        "reward": row.reward,
        "subs": [row.sub_rewards.get(sub.key) for sub in summary.subs],
        "flags": row.flags,
        "errors": [error[:most] for error in row.errors[:20]],
        "label": None if shown.label is None else _plain(shown.label)[:80],
        "distance": number_or_none(shown.distance),
        "seconds": row.seconds,
        "why": shown.reasons,
        "cut": row.cut or any(len(text) > most for text in texts.values()),
        **{name: text[:most] for name, text in texts.items()},
    }


def _fields(value: Mapping[str, Any]) -> str:
    """A field a line, texts as they are: easier to read than JSON, whose line ends are marks."""
    return "\n".join(
        f"{key}: {inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False, indent=2)}"
        for key, inner in value.items()
    )


def _plain(label: Any) -> str:
    return label if isinstance(label, str) else json.dumps(label)


def _rest(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row that is its own item, without what stands elsewhere."""
    return {key: value for key, value in row.items() if key not in ("id", "sample")}


def _span(summary: Summary) -> tuple[float, float]:
    """The ends of the scale that rewards are drawn on."""
    given = reward_range(summary.header.spec)
    rewards = summary.rewards
    if rewards is None:
        return given or (0.0, 1.0)
    low, high = given or (0.0, 1.0)
    return min(low, rewards.least), max(high, rewards.most)


def _cut_index(agreed: Agreement | None) -> int:
    """The place of the chosen threshold in the curve, or the next one above it."""
    if agreed is None or agreed.cut is None:
        return 0
    at = [threshold for threshold, *_ in agreed.curve]
    return next(
        (place for place, threshold in enumerate(at) if threshold >= agreed.cut.threshold), len(at) - 1
    )


# --- sections -----------------------------------------------------------------------------------------------------


def _body(report: Report) -> Iterable[str]:
    summary = report.summary
    yield from _top(report)
    yield from _tiles(report)
    if summary.rewards is not None:
        yield from _rewards(summary, summary.rewards)
    if summary.subs:
        yield from _subs(summary.subs)
    if summary.flags:
        yield from _failures(summary)
    if report.agreement is not None:
        yield from _labels(report.agreement)
    if summary.repeats:
        yield from _repeats(summary)
    yield from _rows(report)
    if summary.latency is not None or summary.spent:
        yield from _costs(summary)
    yield from _foot(summary)


def _section(title: str, about: str = "", id: str = "") -> str:
    place = f' id="{id}"' if id else ""
    return f"<section{place}><header><h2>{title}</h2>{f'<p>{about}</p>' if about else ''}</header>"


def _top(report: Report) -> Iterable[str]:
    header = report.summary.header
    eyebrow = f"{safe(header.type)} on <bdi>{safe(header.data or 'a dataset')}</bdi>"
    yield '<div class="top"><div>'
    yield f'<p class="eyebrow">{eyebrow}</p><h1><bdi>{safe(header.name or header.type)}</bdi></h1></div>'
    yield '<button class="quiet" id="theme" type="button" aria-label="Switch between light and dark">Light / dark</button></div>'
    yield f'<p class="verdict">{safe(verdict(report.summary))}</p>'
    if report.gates:
        items = "".join(map(_gate, report.gates))
        yield f'<ul class="gates" aria-label="Gates">{items}</ul>'


def _gate(gate: Gate) -> str:
    return f'<li><span class="chip {gate.verdict}">{gate.verdict}</span><span>{safe(gate.name)}: {safe(gate.text)}</span></li>'


def _tiles(report: Report) -> Iterable[str]:
    summary = report.summary
    tiles = []
    if summary.rewards is not None:
        mean = summary.rewards.mean
        tiles.append(("Mean reward", figure(mean.value), _scale(mean, _span(summary)) + _interval(mean)))
    if (
        summary.passed is not None
        and summary.rewards is not None
        and summary.passed.value != summary.rewards.mean.value
    ):
        about = _scale(summary.passed, (0, 1)) + _interval(summary.passed)
        tiles.append((f"Pass rate, at least {summary.threshold:g}", figure(summary.passed.value), about))
    failed = (
        "none failed"
        if not summary.failed
        else f"{summary.failed:,} failed ({percent(1 - summary.coverage)})"
    )
    tiles.append(("Scored rows", f"{summary.scored:,}", f"of {summary.rows:,}; {failed}"))
    if summary.bounds is not None:
        bounds = f"{figure(summary.bounds.low)} – {figure(summary.bounds.high)}"
        tiles.append(("Mean, failures at worst and best", bounds, "the failed rows can move it so far"))
    agreed = report.agreement
    if agreed is not None and agreed.kappa is not None and agreed.agreement is not None:
        how = ", held out" if agreed.fitted else ""
        about = f"{interval(agreed.kappa)}; agree on {percent(agreed.agreement.value)} of {plural(agreed.n, 'label')}"
        tiles.append((f"Cohen's kappa with labels{how}", figure(agreed.kappa.value), about))
    if summary.latency is not None:
        about = f"90 % within {seconds(summary.latency.p90)}"
        tiles.append(("Median time of a row", seconds(summary.latency.p50), about))
    if summary.cost is not None:
        each = summary.cost / summary.scored if summary.scored else math.nan
        tiles.append(("Cost of judges", f"{summary.cost:,.4g}", f"{each:.3g} for a scored row"))
    cells = (
        f'<div class="tile"><dt>{name}</dt><dd>{value}<div class="small">{about}</div></dd></div>'
        for name, value, about in tiles
    )
    yield f'<dl class="tiles">{"".join(cells)}</dl>'


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return "no interval: a single item"
    return f"95 %: {figure(estimate.low)} to {figure(estimate.high)}"


def _scale(estimate: Estimate, span: tuple[float, float]) -> str:
    """The estimate and its interval on a line."""
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


def _rewards(summary: Summary, rewards: Spread) -> Iterable[str]:
    yield _section("Rewards", "Choose a bar to list its rows.")
    if all(bar.low == bar.high for bar in rewards.bars):
        yield f'<div class="card">{_few(rewards.bars, summary.scored)}</div></section>'
        return
    names = {"0.05": "5 % are at most", "0.25": "a quarter are at most", "0.5": "median",
             "0.75": "three quarters are at most", "0.95": "95 % are at most"}  # fmt: skip
    facts = [("least", rewards.least)]
    facts += [(names[part], value) for part, value in rewards.quantiles.items()]
    facts += [("most", rewards.most), ("standard deviation", rewards.sd)]
    table = _figures((name, figure(value)) for name, value in facts)
    yield f'<div class="card pair"><div>{_histogram(rewards)}</div><div>{table}</div></div></section>'


def _few(bars: Sequence[Bar], n: int) -> str:
    """A row of the table for each value."""
    most = max(bar.n for bar in bars) or 1
    rows = "".join(
        f'<tr><th scope="row" class="num">{bar.low:.4g}</th><td class="wide">{_hbar(bar.n / most, bar)}</td>'
        f'<td class="num">{bar.n:,}</td><td class="num soft">{percent(bar.n / n)}</td></tr>'
        for bar in bars
    )
    head = (
        '<thead><tr><th scope="col" class="num">reward</th><td></td><th scope="col" class="num">rows</th>'
        '<th scope="col" class="num">share</th></tr></thead>'
    )
    return f'<table class="figures few">{head}<tbody>{rows}</tbody></table>'


def _hbar(part: float, bar: Bar | None = None, kind: str = "") -> str:
    pressed = ""
    if bar is not None:
        label = f"{bar.n:,} rows with reward {bar.low:g}"
        pressed = f' data-low="{bar.low!r}" data-high="{bar.high!r}" role="button" tabindex="0" aria-label="{label}"'
    return (
        f'<svg class="hbar {kind}" viewBox="0 0 100 12" preserveAspectRatio="none">'
        '<rect class="track" width="100" height="12" rx="0"/>'
        f'<rect class="bar" width="{max(part * 100, 0.6 if part else 0):.3f}" height="12"{pressed}/></svg>'
    )


def _histogram(rewards: Spread) -> str:
    bars = rewards.bars
    low, high = bars[0].low, bars[-1].high
    at = (rewards.mean.value - low) / ((high - low) or 1.0) * 100
    mark = f'<line class="mark" x1="{at:.3f}" x2="{at:.3f}" y1="0" y2="100"/>'
    middle = (low + high) / 2
    axis = "".join(f"<span>{value:.3g}</span>" for value in (low, middle, high))
    key = f'<p class="key"><i></i>mean {figure(rewards.mean.value)}</p>'
    return f'{_bars_svg(bars, "chart", mark, pressed=True)}<div class="axis">{axis}</div>{key}'


def _bars_svg(bars: Sequence[Bar], kind: str, more: str = "", *, pressed: bool = False) -> str:
    """Standing bars over a width of 100 and a height of 100, stretched by the page."""
    most, step = max((bar.n for bar in bars), default=0) or 1, 100 / len(bars)
    made = []
    for place, bar in enumerate(bars):
        if not bar.n:
            continue
        tall = max(1.0, bar.n / most * 98)
        about = f"{bar.n:,} rows from {bar.low:.4g} to {bar.high:.4g}"
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


def _figures(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """A table whose first column is a name and the others numbers; cells are HTML already."""
    cells = "".join(
        f'<th scope="col"{" class=num" if place else ""}>{name}</th>' for place, name in enumerate(head)
    )
    body = "".join(
        f'<tr><th scope="row" class="name">{first}</th>{"".join(f"<td class=num>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    shown = f"<thead><tr>{cells}</tr></thead>" if head else ""
    return f'<table class="figures">{shown}<tbody>{body}</tbody></table>'


def _subs(subs: Sequence[SubReward]) -> Iterable[str]:
    about = (
        "“Moves” is how much the total changes, on average, when this sub-reward is replaced by its own mean: what it "
        "really weighs in these rows."
    )
    yield _section("Sub-rewards", about)
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
            f'<td class="num soft">{figure(found.low)} – {figure(found.high)}</td><td class="num">{passed}</td>'
            f"<td>{_bars_svg(sub.spread.bars, 'strip')}</td>"
            f'<td class="num">{figure(sub.moves)}</td><td>{_hbar(moves / most)}</td>'
            f'<td class="num">{figure(sub.correlation)}</td></tr>'
        )
    yield f'<div class="card scroll"><table class="figures">{head}<tbody>{"".join(rows)}</tbody></table></div></section>'


def _failures(summary: Summary) -> Iterable[str]:
    yield _section(
        "Failures", "A failure is not a score: these rows are in no mean. A row may have several flags."
    )
    rows = "".join(
        f'<tr><th scope="row" class="name"><code>{safe(flag)}</code></th><td class="wide spare">{_hbar(n / summary.failed, kind="bad")}</td>'
        f'<td class="num">{n:,}</td><td class="num soft">{percent(n / summary.rows)}</td>'
        f'<td class="num"><button class="quiet" type="button" data-flag="{safe(flag)}">show rows</button></td></tr>'
        for flag, n in summary.flags.items()
    )
    yield f'<div class="card"><table class="figures"><tbody>{rows}</tbody></table></div></section>'


def _labels(agreed: Agreement) -> Iterable[str]:
    missing = f"; {agreed.unlabelled:,} scored rows have none" if agreed.unlabelled else ""
    yield _section(
        "Agreement with labels", f"Field <code>{safe(agreed.field)}</code>, {agreed.n:,} labels{missing}."
    )
    correlations = [
        ("correlation", figure(agreed.correlation)),
        ("rank correlation", figure(agreed.rank_correlation)),
    ]
    if agreed.weighted_kappa is not None:
        correlations.append(("weighted kappa (quadratic)", figure(agreed.weighted_kappa)))
    cut = agreed.cut
    if cut is None:
        yield f'<div class="card">{_figures(correlations)}</div></section>'
        return
    cells = (
        '<tbody><tr><th scope="row">label yes</th>'
        f'<td><span>agree</span><b id="both">{cut.both:,}</b></td>'
        f'<td class="off"><span>failed wrongly</span><b id="missed">{cut.only_human:,}</b></td></tr>'
        '<tr><th scope="row">label no</th>'
        f'<td class="off"><span>passed wrongly</span><b id="wrongly">{cut.only_grader:,}</b></td>'
        f'<td><span>agree</span><b id="neither">{cut.neither:,}</b></td></tr></tbody>'
    )
    head = (
        '<thead><tr><td></td><th scope="col">grader passes</th><th scope="col">grader fails</th></tr></thead>'
    )
    yield f'<div class="card halves"><div><table class="confusion">{head}{cells}</table></div><div>'
    if len(agreed.curve) > 2:  # with two there is nothing to choose
        yield _slider(agreed, cut)
    facts = [
        (
            "agreement at this threshold",
            f'<span id="agreed">{percent((cut.both + cut.neither) / agreed.n)}</span>',
        ),
        ("kappa at this threshold", f'<span id="kappa">{figure(cut.kappa)}</span>'),
        *correlations,
    ]
    items = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    yield f'<dl class="facts">{items}</dl></div></div></section>'


def _slider(agreed: Agreement, cut: Cut) -> str:
    """The threshold to try, above kappa at each."""
    curve = agreed.curve
    return (
        f'<label class="small soft" for="cut">Passes from reward <b id="cut-at">{figure(cut.threshold)}</b> on</label>'
        f'<input class="slider" id="cut" type="range" min="0" max="{len(curve) - 1}" value="{_cut_index(agreed)}">'
        '<svg class="chart low" id="kappas" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        'aria-label="Kappa at each threshold"></svg>'
        f'<div class="axis"><span>{curve[0][0]:.3g}</span><span>kappa at each threshold, 0 to 1</span>'
        f"<span>{curve[-1][0]:.3g}</span></div>"
        f'<p class="small soft">It starts at {safe(agreed.chosen)}. '
        '<button class="quiet" id="cut-reset" type="button">back there</button></p>'
    )


def _repeats(summary: Summary) -> Iterable[str]:
    yield _section(
        "Repeated samples",
        f"{safe(summary.grouping)}. pass@k: at least one of k samples passes; pass^k: all of them do. Unbiased, over "
        "the items with at least k scored rows.",
    )
    rows = (
        (
            f"k = {repeats.k}",
            f"{repeats.any_of_k.n:,}",
            *_cells(repeats.any_of_k),
            *_cells(repeats.all_of_k),
        )
        for repeats in summary.repeats
    )
    head = ("", "items", "pass@k", "95 % interval", "pass^k", "95 % interval")
    yield f'<div class="card scroll">{_figures(rows, head)}</div></section>'


def _cells(estimate: Estimate) -> tuple[str, str]:
    between = f"{figure(estimate.low)} – {figure(estimate.high)}"
    return figure(estimate.value), f'<span class="soft">{between}</span>'


def _rows(report: Report) -> Iterable[str]:
    summary = report.summary
    texts = "" if summary.header.options.get("texts", True) else " The file holds no texts (--no-texts)."
    yield _section("Rows", safe(report.held + texts), id="rows")
    shows = [("every", "every row"), ("worst", "lowest rewards"), ("best", "highest rewards")]
    if summary.failed:
        shows.append(("failed", "failed"))
    if summary.threshold is not None:
        shows += [("passed", f"at least {summary.threshold:g}"), ("missed", f"below {summary.threshold:g}")]
    if report.agreement is not None:
        shows.append(("far", "apart from their label"))
    options = "".join(f'<option value="{value}">{name}</option>' for value, name in shows)
    flags = "".join(f'<option value="{safe(flag)}">{safe(flag)}</option>' for flag in summary.flags)
    hidden = "" if summary.flags else " hidden"
    yield (
        '<noscript><p class="small soft">The table of rows needs JavaScript; everything above does not.</p></noscript>'
        '<div class="tools"><input type="search" id="search" placeholder="Search ids and texts" aria-label="Search ids and texts">'
        f'<select id="show" aria-label="Which rows">{options}</select>'
        f'<select id="flag" aria-label="Failure"{hidden}><option value="">any failure or none</option>{flags}</select>'
        '<label>reward <input class="between" id="low" type="number" step="any" placeholder="from" aria-label="Reward from">'
        '<input class="between" id="high" type="number" step="any" placeholder="to" aria-label="Reward to"></label>'
        '<button class="quiet" id="clear" type="button">Clear</button></div>'
    )
    columns = [("id", "c-id", "id"), ("reward", "num c-reward", "reward")]
    columns += [(f"sub{n}", "num c-sub", sub.key) for n, sub in enumerate(summary.subs[:SUB_COLUMNS])]
    if report.agreement is not None:
        columns.append(("label", "c-label", "label"))
    columns.append(("text", "c-text", "output, or what went wrong"))
    head = "".join(
        f'<th scope="col" class="{kind}" data-sort="{key}"><button type="button"><bdi>{safe(name)}</bdi><span class="way"></span></button></th>'
        for key, kind, name in columns
    )
    yield (
        f'<div class="card"><table class="list" id="list"><thead><tr>{head}</tr></thead><tbody></tbody></table>'
        '<p class="none" id="none" hidden>No row here is like that.</p>'
        '<div class="pager"><span id="count" role="status"></span><div><button class="quiet" id="before" type="button">Previous</button>'
        '<button class="quiet" id="after" type="button">Next</button></div></div></div>'
        '<p class="keys"><kbd>/</kbd> search &ensp; <kbd>j</kbd> <kbd>k</kbd> or arrows: next, previous row &ensp; '
        "<kbd>Enter</kbd> open &ensp; <kbd>Esc</kbd> close &ensp; <kbd>n</kbd> <kbd>p</kbd> next, previous page</p></section>"
    )


def _costs(summary: Summary) -> Iterable[str]:
    latency, about = summary.latency, ""
    if latency is not None:
        about = f"From sending a row's questions off to its result, over {latency.n:,} rows; the chart ends at 99 % of them."
    yield _section("Time, tokens and cost", about)
    halves = [
        *([] if latency is None else [_latency(latency)]),
        *([_tokens(summary)] if summary.spent else []),
    ]
    kind = "card halves" if len(halves) > 1 else "card"
    yield f'<div class="{kind}">{"".join(f"<div>{half}</div>" for half in halves)}</div></section>'


def _tokens(summary: Summary) -> str:
    head = ("judge", "tokens in", "of them cached", "tokens out", "cost")
    rows = []
    for spent in summary.spent:
        counts = (spent.prompt_tokens, spent.cached_tokens, spent.completion_tokens)
        cost = "–" if spent.cost is None else f"{spent.cost:,.4g}"
        rows.append(
            (f"<bdi>{safe(spent.model)}</bdi>", *("–" if n is None else f"{n:,}" for n in counts), cost)
        )
    table = f'<div class="scroll">{_figures(rows, head)}</div>'
    if summary.cost is None:
        table += '<p class="small soft">A cost needs [prices] in graders.toml for every judge.</p>'
    return table


def _latency(latency: Latency) -> str:
    facts = [
        ("median", latency.p50),
        ("90 % within", latency.p90),
        ("99 % within", latency.p99),
        ("slowest", latency.most),
    ]
    axis = f"<span>{seconds(latency.bars[0].low)}</span><span>{seconds(latency.bars[-1].high)}</span>"
    table = _figures((name, seconds(value)) for name, value in facts)
    chart = (
        ""
        if len(latency.bars) < 3
        else f'{_bars_svg(latency.bars, "chart low")}<div class="axis">{axis}</div>'
    )
    return chart + table


def _foot(summary: Summary) -> Iterable[str]:
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
