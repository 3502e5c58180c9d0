"""A report as one self-contained HTML page: no network, no library, works from a file.

The figures are HTML and SVG and can be read without scripts. A script builds the table of rows from JSON in the page.
"""

from __future__ import annotations

from collections.abc import Iterable

from graders.pages.document import document
from graders.report import sections
from graders.report.format import visible
from graders.report.labels import labels
from graders.report.report import Report
from graders.report.rows import rows, script_data


def page(report: Report) -> str:
    """The page's HTML."""
    name = report.summary.header.name or report.summary.header.type
    title = f"{visible(name)}: grader report"
    return document(title, _body(report), module="report.js", data=script_data(report)).html


def _body(report: Report) -> Iterable[str]:
    summary = report.summary
    yield from sections.top(report)
    yield from sections.tiles(report)
    if summary.rewards is not None:
        yield from sections.rewards(summary, summary.rewards)
    if summary.subs:
        yield from sections.sub_rewards(summary)
    if summary.flags:
        yield from sections.failures(report)
    if report.agreement is not None:
        yield from labels(report.agreement)
    if summary.repeats or summary.reliability is not None:
        yield from sections.repeats(summary)
    yield from rows(report)
    if summary.latency is not None or summary.spent:
        yield from sections.costs(summary)
    yield from sections.foot(summary)
