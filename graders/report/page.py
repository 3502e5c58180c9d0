"""A report as one self-contained HTML page: no network, no library, works from a file.

The figures are HTML and SVG made here and can be read without scripts; the table of rows is made by assets/page.js from
JSON in the page, through textContent alone. A content security policy with the hashes of our own style and script
forbids everything else, so a text from the data can neither run nor load anything.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from graders.report import sections
from graders.report.html import safe
from graders.report.labels import labels
from graders.report.report import Report
from graders.report.rows import rows, script_data

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(report: Report) -> str:
    """The page's HTML."""
    name = report.summary.header.name or report.summary.header.type
    return document(f"{name}: grader report", _body(report), script_data(report))


def document(title: str, body: Iterable[str], data: Mapping[str, Any]) -> str:
    """A whole page around its sections.

    Args:
        body: HTML already.
        data: What the script makes the table of rows of.
    """
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
        "title": safe(title),
        "style": style,
        "script": script,
        "body": "\n".join(body),
        "data": _json(data),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return files("graders.report").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in: ASCII, and without the characters HTML looks for."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _body(report: Report) -> Iterable[str]:
    summary = report.summary
    yield from sections.top(report)
    yield from sections.tiles(report)
    if summary.rewards is not None:
        yield from sections.rewards(summary, summary.rewards)
    if summary.subs:
        yield from sections.sub_rewards(summary.subs)
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
