"""Small pieces of HTML that notebooks show for an object.

They use the page's own colours, light or dark. Every text is escaped, since it may be a model's output.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

#: Characters shown of a text, and of a block of text.
TEXT_MAX, BLOCK_MAX = 300, 4000

_TABLE = "border-collapse:collapse;color:inherit;background:transparent"
_CELL = (
    "text-align:left;padding:1px 10px 1px 0;border:0;color:inherit;background:transparent;vertical-align:top"
)


def table(title: str, rows: Iterable[tuple[object, ...]]) -> str:
    """A table without rules, a heading above it."""
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_text(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<div style="color:inherit"><b>{_text(title)}</b><table style="{_TABLE}">{body}</table></div>'


def block(title: str, text: str) -> str:
    """A text under its title; a long one is cut to its beginning."""
    return (
        f'<div style="color:inherit"><b>{_text(title)}</b>'
        f'<pre style="color:inherit;background:transparent;white-space:pre-wrap">{_shown(text, BLOCK_MAX)}</pre></div>'
    )


def _text(value: object) -> str:
    return _shown(f"{value:.6g}" if isinstance(value, float) else str(value), TEXT_MAX)


def _shown(text: str, most: int) -> str:
    # a lone surrogate cannot be encoded for the page
    text = text.encode("utf-8", "replace").decode()
    return escape(text if len(text) <= most else text[: most - 1] + "…")
