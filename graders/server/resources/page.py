"""The page for people: one file, no build step, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from graders.server.resources import Resource
from graders.server.routing import Routes, get


@cache
def _page() -> tuple[str, dict[str, str]]:
    """The page and its headers. The policy names its script and its style by their hashes: nothing else can run."""
    html = files("graders.server").joinpath("page.html").read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _hash(html, "script"),
        "style-src": _hash(html, "style"),
        "img-src": "data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return html, headers


def _hash(html: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    assert found, f"page.html has no <{tag}>"
    return f"'sha256-{b64encode(sha256(found[1].encode()).digest()).decode()}'"


class PageResource(Resource):
    """The page at /."""

    def routes(self) -> Routes:
        return {"/": get(self.page)}

    async def page(self, request: Request) -> Response:
        """For people."""
        html, headers = _page()
        return Response(html, headers=headers, media_type="text/html")
