"""Routing of paths to endpoints.

A path without parameters is found by one dict look-up, since starlette's router would cost a third of grading a row.
Paths with parameters are matched segment by segment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from graders.server.metrics import Gauge

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Methods: TypeAlias = Mapping[str, Endpoint]
#: Path, perhaps with parameters like `{eval_id}` as whole segments -> method -> endpoint.
Routes: TypeAlias = Mapping[str, Methods]


class RouteProvider(Protocol):
    """The endpoints of one resource: the interface that the service uses."""

    def routes(self) -> Routes:
        """Path -> method -> endpoint."""

    def gauges(self) -> Iterable[Gauge]:
        """Its gauges in /metrics."""

    def start(self) -> None:
        """Start its background work; called once, before the first request."""

    async def stop(self) -> None:
        """Close its connections to other servers."""

    def close(self) -> None:
        """End its threads."""


#: Prefixes of the service's paths: OpenAI's, Azure's, and that of Azure's clients that send an api-version.
PREFIXES = ("/v1", "/openai/v1", "/openai")


#: Paths of pages. They contain no data, which the script requests with the token.
PAGES = ("/", "/row", "/compare", "/jobs")
#: Prefixes of the pages of one eval and of one job.
PAGES_BELOW = ("/evals/", "/jobs/")


def is_page(path: str) -> bool:
    """Whether a path is a page's."""
    return path in PAGES or (path.startswith(PAGES_BELOW) and path.count("/") == 2)


def api(routes: Routes) -> dict[str, Methods]:
    """The service's own paths, below each of PREFIXES."""
    return {prefix + path: methods for prefix in PREFIXES for path, methods in routes.items()}


def get(endpoint: Endpoint) -> Methods:
    """The methods of a read-only endpoint: GET and HEAD."""
    return {"GET": endpoint, "HEAD": endpoint}


class RouteMatch(NamedTuple):
    """The methods of a path, and the values of its parameters."""

    methods: Methods
    parameters: Mapping[str, str]


_NO_PARAMETERS: Mapping[str, str] = {}


class Router:
    """All routes of the server."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self._exact = {path: RouteMatch(methods, _NO_PARAMETERS) for path, methods in routes.items()}
        self._patterns: dict[int, list[tuple[list[str], Methods]]] = {}
        for path, methods in routes.items():
            if "{" in path:
                segments = path.split("/")
                self._patterns.setdefault(len(segments), []).append((segments, methods))

    def find(self, path: str) -> RouteMatch | None:
        """The match of a path; None without one."""
        found = self._exact.get(path)
        if found is None or "{" in path:
            segments = path.split("/")
            found = _match(segments, self._patterns.get(len(segments), ()))
        return found


def _match(segments: list[str], patterns: Iterable[tuple[list[str], Methods]]) -> RouteMatch | None:
    for pattern, methods in patterns:
        parameters = {}
        for wanted, segment in zip(pattern, segments, strict=True):
            if wanted.startswith("{"):
                if not segment:
                    break
                parameters[wanted[1:-1]] = segment
            elif wanted != segment:
                break
        else:
            return RouteMatch(methods, parameters)
    return None
