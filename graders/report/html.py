"""HTML pieces of the page: escaped texts, sections and tables of figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from graders.report.format import figure, visible
from graders.stats.estimates import Estimate


def safe(text: object) -> str:
    """A text for HTML: markup escaped, and invisible characters shown by name."""
    return escape(visible(str(text)))


def section(title: str, about: str = "", anchor: str = "") -> str:
    """The start of a section; the caller ends it."""
    place = f' id="{anchor}"' if anchor else ""
    return f"<section{place}><header><h2>{title}</h2>{f'<p>{about}</p>' if about else ''}</header>"


def figures(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """A table whose first column holds names and the others numbers; cells are HTML already."""
    titles = "".join(
        f'<th scope="col"{" class=num" if place else ""}>{name}</th>' for place, name in enumerate(head)
    )
    body = "".join(
        f'<tr><th scope="row" class="name">{first}</th>{"".join(f"<td class=num>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    shown = f"<thead><tr>{titles}</tr></thead>" if head else ""
    return f'<table class="figures">{shown}<tbody>{body}</tbody></table>'


def cells(estimate: Estimate) -> tuple[str, str]:
    """The estimate and its interval, as two cells of a table."""
    between = f"{figure(estimate.low)} – {figure(estimate.high)}"
    return figure(estimate.value), f'<span class="soft">{between}</span>'


def interval_text(estimate: Estimate) -> str:
    """The interval in words."""
    if math.isnan(estimate.low):
        return estimate.between()
    return f"95 %: {figure(estimate.low)} to {figure(estimate.high)}"


def select(
    name: str, label: str, options: Iterable[tuple[str, str]], *, hidden: bool = False, chosen: str = ""
) -> str:
    """A choice; values and names are HTML already."""
    inside = "".join(
        f'<option value="{value}"{" selected" * (value == chosen)}>{shown}</option>'
        for value, shown in options
    )
    return f'<select id="{name}" aria-label="{label}"{" hidden" * hidden}>{inside}</select>'
