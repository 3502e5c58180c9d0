"""A comparison of two runs as one self-contained HTML page: the difference, and the differing rows, worst first."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from graders.pages.document import document
from graders.report.charts import bars_svg
from graders.report.format import chance, figure, interval, signed, spoken_interval, visible
from graders.report.html import figures, safe, section
from graders.report.rows import ID_MAX, TEXT_MAX, RowChoices, rows_section
from graders.report.sections import gate_list, tile_list
from graders.stats.comparison import Comparison
from graders.stats.gates import Gate
from graders.stats.pairing import Mover
from graders.wording import plural

#: Rows on the page with the largest gains, and as many with the largest losses.
MOVERS = 1000


def comparison_page(found: Comparison, gates: Sequence[Gate] = ()) -> str:
    """The page's HTML; it shows `found.gained` and `found.lost`, so make it with `movers=MOVERS`."""
    title = visible(f"{found.b.path} against {found.a.path}")
    return document(title, _body(found, gates), module="report.js", data=_data(found)).html


def _body(found: Comparison, gates: Sequence[Gate]) -> Iterable[str]:
    header = found.a.header
    yield '<div class="top"><div>'
    yield f'<p class="eyebrow">{safe(header.name or header.type)}: A is <bdi>{safe(found.a.path)}</bdi>, B is <bdi>{safe(found.b.path)}</bdi></p>'
    yield f"<h1>{safe(found.verdict)}</h1></div>"
    yield '<button class="quiet" id="theme" type="button">Light / dark</button></div>'
    yield from gate_list(gates)
    if found.notes:
        yield f'<ul class="cautions">{"".join(f"<li>{safe(note)}</li>" for note in found.notes)}</ul>'
    yield tile_list(_tiles(found))
    if found.subs:
        about = "Intervals hold all at once; p values are adjusted for how many there are."
        head = ("grader", "B - A", "interval", "p")
        cells = (
            (
                f"<bdi>{safe(sub.key)}</bdi>",
                signed(sub.delta.value),
                spoken_interval(sub.delta, signed),
                safe(chance(sub.p_adjusted)),
            )
            for sub in found.subs
        )
        yield section("Sub-rewards", about)
        yield f'<div class="card scroll" tabindex="0">{figures(cells, head)}</div></section>'
    if len(found.bars) > 1:
        ends = f"<span>{signed(found.bars[0].low)}</span><span>{signed(found.bars[-1].high)}</span>"
        yield section("Differences", "Of the pairs that differ; choose a bar to list its rows.")
        yield f'<div class="card">{bars_svg(found.bars, "chart low", pressed=True)}<div class="axis">{ends}</div></div></section>'
    yield from rows_section(_held(found), _CHOICES)
    yield (
        f"<footer><div>{safe(header.engine)}, spec digest <code>{safe(header.digest[:16])}</code></div>"
        "<div>Rows are paired by id; those that failed in either file are in no difference.</div></footer>"
    )


_CHOICES = RowChoices(
    shows=[("every", "every row that differs"), ("worst", "lost"), ("best", "gained")],
    flags=[("", "")],
    sorts=[("reward", "largest loss first"), ("-reward", "largest gain first"), ("id", "by id")],
    measures=[("reward", "change"), ("sub0", "A"), ("sub1", "B")],
    columns=[
        ("id", "c-id", "id"),
        ("reward", "num c-reward", "change"),
        ("sub0", "num c-sub", "A"),
        ("sub1", "num c-sub", "B"),
        ("field", "c-field", ""),
        ("text", "c-text", "output of B"),
    ],
)


def _tiles(found: Comparison) -> list[tuple[str, str, str]]:
    made = []
    if found.delta is not None:
        about = (
            f"{found.level * 100:.3g} %: {interval(found.delta, signed)}; p {safe(chance(found.p_adjusted))}"
        )
        made.append(("B minus A", signed(found.delta.value), about))
    for letter, side in (("A", found.a), ("B", found.b)):
        if side.mean is not None:
            made.append((f"Mean of {letter}", figure(side.mean.value), interval(side.mean)))
    counts = f"{found.up:,} up, {found.down:,} down, {found.same:,} the same"
    made.append(("Pairs", f"{found.pairs:,}", counts))
    if found.passes is not None:
        about = f"only B; only A {found.passes.only_a:,}; McNemar p {safe(chance(found.passes.p_value))}"
        made.append(("Pass in one only", f"{found.passes.only_b:,}", about))
    if math.isfinite(found.smallest_shown):
        about = "smallest difference that such pairs show in 4 of 5 runs"
        made.append(("Could show", figure(found.smallest_shown), about))
    return made


def _held(found: Comparison) -> str:
    n, differ = len(found.gained) + len(found.lost), found.up + found.down
    if n == differ:
        return f"{plural(n, 'row')} that differ, of {plural(found.pairs, 'pair')}."
    return f"Of {differ:,} rows that differ: those that gained most, and those that lost most."


def _data(found: Comparison) -> dict[str, Any]:
    movers = [*((mover, "best") for mover in found.gained), *((mover, "worst") for mover in found.lost)]
    largest = max((abs(mover.delta) for mover, _ in movers), default=1.0)
    return {
        "rows": [_row(mover, why) for mover, why in movers],
        "total": found.up + found.down,
        "measure": "change",
        "sides": ["Output of B", "Output of A"],
        "subs": ["A", "B"],
        "columns": 2,
        "range": (-largest, largest),
        "threshold": None,
        "label": None,
        "labels": {},
        "curve": [],
        "cut": 0,
    }


def _row(mover: Mover, why: str) -> dict[str, Any]:
    return {
        "place": mover.place,
        "id": mover.id[:ID_MAX],
        "reward": mover.delta,
        "subs": [mover.a, mover.b],
        "flags": [],
        "errors": [],
        "label": None,
        "distance": None,
        "seconds": None,
        "why": [why],
        "cut": max(len(mover.a_text), len(mover.b_text)) > TEXT_MAX,
        "messages": [],
        "output": mover.b_text[:TEXT_MAX],
        "reference": mover.a_text[:TEXT_MAX],
        "item": json.dumps(dict(mover.item), ensure_ascii=False)[:TEXT_MAX],
        "provenance": "{}",
    }
