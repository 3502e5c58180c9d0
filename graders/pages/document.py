"""A complete page: its joined script, its style, and a policy that blocks everything else."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HtmlDocument:
    """A page, and its content security policy, which is also in the page and may be sent as a header too."""

    html: str
    policy: str


def document(
    title: str,
    body: Iterable[str],
    *,
    module: str,
    styles: Sequence[str] = ("base.css",),
    data: Mapping[str, Any] | None = None,
    policy: Mapping[str, str] | None = None,
    head: str = "",
    skip_to: str = "rows",
) -> HtmlDocument:
    """A page around its sections.

    Args:
        body: HTML of the sections.
        module: The main module of the script.
        styles: Style sheets, joined in this order.
        data: JSON that the script reads with `data.js`.
        policy: Further directives of the policy.
        head: Further HTML of the page's head.
        skip_to: The id of the element that the page's first link leads to.
    """
    style, script = "".join(map(_asset, styles)), joined(module)
    rules = {
        "default-src": "'none'",
        "style-src": f"'{_digest(style)}'",
        "script-src": f"'{_digest(script)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        **(policy or {}),
    }
    shown = "; ".join(f"{name} {value}" for name, value in rules.items())
    parts = {
        "policy": shown,
        "title": escape(title),
        "head": head,
        "style": style,
        "script": script,
        "skip": skip_to,
        "body": "\n".join(body),
        "data": _json(data),
    }
    return HtmlDocument(_PLACE.sub(lambda place: parts[place[1]], _asset("page.html")), shown)


@cache
def joined(module: str) -> str:
    """One script from a module and its imports, each before the modules that import it.

    The joined modules share one scope, so no two of a page may define the same top-level name: the browser would refuse
    the script. Supported forms: `import { a } from "./b.js";`, `import "./b.js";` and `export` before a declaration.
    """
    order: list[str] = []
    _visit(module, order)
    return '"use strict";\n' + "".join(_EXPORT.sub("", _IMPORT.sub("", _asset(name))) for name in order)


def _visit(module: str, order: list[str]) -> None:
    for name in _IMPORT.findall(_asset(module)):
        if name not in order:
            _visit(name, order)
    order.append(module)


@cache
def _asset(name: str) -> str:
    return files("graders.pages").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON that cannot end its script element: ASCII, without characters that have a meaning in HTML."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
