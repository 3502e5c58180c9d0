"""The HTML pages: one document for all of them, whose script shows the page of the address."""

from __future__ import annotations

from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from graders.pages.document import HtmlDocument, document
from graders.server.resources import Resource
from graders.server.routing import PAGES, Routes, get

#: The icon, inside the page.
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' "
    "height='16' rx='4' fill='%232f5bb7'/%3E%3Cpath d='M4 8.5l2.6 2.6L12 5.4' fill='none' stroke='white' "
    "stroke-width='2' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E"
)


@cache
def _page() -> HtmlDocument:
    return document(
        "local-graders",
        ['<div id="page" tabindex="-1"></div>'],
        module="app.js",
        styles=("base.css", "app.css", "editor.css"),
        policy={"img-src": "data:", "connect-src": "'self'"},
        head=f'<link rel="icon" href="{ICON}">',
        skip_to="page",
    )


class PageResource(Resource):
    """The pages at /, /row, /evals/EVAL, /compare, /jobs and /jobs/JOB."""

    def routes(self) -> Routes:
        return dict.fromkeys((*PAGES, "/evals/{eval_id}", "/jobs/{job_id}"), get(self.page))

    async def page(self, request: Request) -> Response:
        """For people."""
        page = _page()
        headers = {
            # only a header can forbid framing
            "content-security-policy": f"{page.policy}; frame-ancestors 'none'",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        }
        return Response(page.html, headers=headers, media_type="text/html")
