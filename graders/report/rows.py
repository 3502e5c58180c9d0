"""The table of rows: its HTML frame, and the JSON from which the page's script fills it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.report.html import safe, section, select
from graders.report.labels import cut_index
from graders.report.report import Report, ReportRow
from graders.stats.estimates import number_or_none
from graders.stats.facts import reward_range
from graders.stats.figures import Summary

#: Characters of a text on the page.
TEXT_MAX = 4000
#: Characters of all texts on the page. With many rows each text is cut shorter, but not below TEXT_MIN.
TEXTS_MAX = 9_000_000
TEXT_MIN = 400
#: Sub-rewards with a column of their own in the table of rows.
SUB_COLUMNS = 4

#: Characters of an id on the page.
ID_MAX = 200


@dataclass(frozen=True, slots=True)
class RowChoices:
    """The filters and sort orders of a table of rows. Each is a value for the script and its name as HTML.

    Attributes:
        shows: Kinds of rows.
        flags: Flags of failures; the first entry means all.
        sorts: Sort orders; a value with "-" is descending.
        measures: Numbers that can be filtered by a range.
        columns: (sort key, classes, name) of the table's columns.
    """

    shows: Sequence[tuple[str, str]]
    flags: Sequence[tuple[str, str]]
    sorts: Sequence[tuple[str, str]]
    measures: Sequence[tuple[str, str]]
    columns: Sequence[tuple[str, str, str]]


def rows(report: Report) -> Iterable[str]:
    """The section of rows: filters, an empty table, and its pager."""
    summary = report.summary
    texts = "" if summary.header.options.get("texts", True) else " The file holds no texts (--no-texts)."
    shows = [("every", "every row"), ("worst", "lowest rewards"), ("best", "highest rewards")]
    if summary.failed:
        shows.append(("failed", "failed"))
    if summary.threshold is not None:
        shows += [("passed", f"at least {summary.threshold:g}"), ("missed", f"below {summary.threshold:g}")]
    if report.agreement is not None:
        shows.append(("far", "apart from their label"))
    columns = [("id", "c-id", "id"), ("reward", "num c-reward", "reward")]
    columns += [(f"sub{n}", "num c-sub", safe(sub.key)) for n, sub in enumerate(summary.subs[:SUB_COLUMNS])]
    if report.agreement is not None:
        columns.append(("label", "c-label", "label"))
    choices = RowChoices(
        shows,
        [("", "any failure or none"), *((safe(flag), safe(flag)) for flag in summary.flags)],
        [
            ("reward", "worst first"),
            ("-reward", "best first"),
            ("place", "in the file's order"),
            ("id", "by id"),
        ],
        measures(summary),
        [*columns, ("field", "c-field", ""), ("text", "c-text", "output, or what went wrong")],
    )
    yield from rows_section(report.held + texts, choices)


def measures(summary: Summary) -> list[tuple[str, str]]:
    """The numbers of a row: a value for the script, and its name as HTML."""
    return [("reward", "reward"), *((f"sub{n}", safe(sub.key)) for n, sub in enumerate(summary.subs))]


def rows_section(held: str, choices: RowChoices) -> Iterable[str]:
    """A table of rows, which the script fills.

    Args:
        held: A sentence that says which rows the page has.
    """
    yield section("Rows", safe(held), "rows")
    yield '<noscript><p class="small soft">The table of rows needs JavaScript; everything above does not.</p></noscript>'
    yield (
        '<div class="tools"><input type="search" id="search" placeholder="Search ids and texts" aria-label="Search ids and texts">'
        f"{select('show', 'Which rows', choices.shows)}"
        f"{select('flag', 'Failure', choices.flags, hidden=len(choices.flags) < 2)}"
        f"{select('sort', 'Order', choices.sorts)}"
        f'<span class="range">{select("of", "Which number is between", choices.measures, hidden=len(choices.measures) < 2)}'
        '<label><span class="soft">from</span> <input class="between" id="low" type="number" step="any"></label>'
        '<label><span class="soft">to</span> <input class="between" id="high" type="number" step="any"></label></span>'
        '<select id="column" aria-label="Column of the item"><option value="">no column of the item</option></select>'
        '<button class="quiet" id="clear" type="button">Clear</button></div>'
    )
    head = "".join(
        f'<th scope="col" class="{kind}" data-sort="{key}"><button type="button"><bdi>{name}</bdi><span class="way"></span></button></th>'
        for key, kind, name in choices.columns
    )
    yield (
        f'<div class="card"><table class="list" id="list"><thead><tr>{head}</tr></thead><tbody></tbody></table>'
        '<p class="none" id="none" hidden></p>'
        '<div class="pager"><span id="count" role="status"></span><div>'
        '<button class="quiet" id="download" type="button">Download these rows</button>'
        '<button class="quiet" id="before" type="button">Previous</button>'
        '<button class="quiet" id="after" type="button">Next</button></div></div></div>'
        '<p class="keys"><kbd>/</kbd> search &ensp; <kbd>j</kbd> <kbd>k</kbd> or arrows: next, previous row &ensp; '
        "<kbd>Enter</kbd> open &ensp; <kbd>Esc</kbd> close &ensp; <kbd>n</kbd> <kbd>p</kbd> next, previous page</p></section>"
    )


def script_data(report: Report) -> dict[str, Any]:
    """The data of the page's script."""
    summary, agreed = report.summary, report.agreement
    most = max(TEXT_MIN, min(TEXT_MAX, TEXTS_MAX // max(1, len(report.rows)) // 3))
    curve = [] if agreed is None else agreed.curve
    return {
        "rows": [_row(shown, summary, most) for shown in report.rows],
        "total": summary.rows,
        "measure": "reward",
        "sides": ["Output", "Reference"],
        "subs": [sub.key for sub in summary.subs],
        "columns": min(SUB_COLUMNS, len(summary.subs)),
        "range": reward_span(summary),
        "threshold": summary.threshold,
        "label": None if agreed is None else agreed.field,
        "labels": {"yes": agreed.yes, "no": agreed.no} if agreed else {},
        "curve": curve,
        "cut": cut_index(agreed),
    }


def _row(shown: ReportRow, summary: Summary, most: int) -> dict[str, Any]:
    row = shown.row
    item = {} if row.item is row.row else row.item
    texts = {
        "output": row.output_text,
        "reference": shown.reference,
        "item": json.dumps(item or _rest(row.row), ensure_ascii=False),
        "provenance": json.dumps(row.provenance, ensure_ascii=False),
    }
    messages = [(who, text[:most]) for who, text in shown.messages]
    long = any(len(text) > most for text in (*texts.values(), *(text for _, text in shown.messages)))
    failed = row.reward is None
    return {
        "place": shown.place,
        "id": row.id[:ID_MAX],
        "reward": row.reward,
        # in a failed multi a member may have failed too, so its number in the file is not a score
        "subs": [None if failed else row.sub_rewards.get(sub.key) for sub in summary.subs],
        "flags": row.flags,
        "errors": [error[:most] for error in row.errors[:20]],
        "label": None if shown.label is None else _plain(shown.label)[:80],
        "distance": number_or_none(shown.distance),
        "seconds": None if row.seconds is None else round(row.seconds - (row.waited or 0.0), 6),
        "why": shown.reasons,
        "cut": row.cut or long,
        "messages": messages,
        **{name: text[:most] for name, text in texts.items()},
    }


def _plain(label: Any) -> str:
    return label if isinstance(label, str) else json.dumps(label)


def _rest(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a row that is its own item, without those shown elsewhere."""
    return {key: value for key, value in row.items() if key not in ("id", "sample")}


def reward_span(summary: Summary) -> tuple[float, float]:
    """Least and largest value of the scale for rewards."""
    given = reward_range(summary.header.spec)
    rewards = summary.rewards
    if rewards is None:
        return given or (0.0, 1.0)
    low, high = given or (0.0, 1.0)
    return min(low, rewards.least), max(high, rewards.most)
