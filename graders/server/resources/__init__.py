"""The server's resources: one file each, and one line here."""

from __future__ import annotations

from collections.abc import Iterable
from pkgutil import resolve_name

from graders.server.metrics import Gauge
from graders.server.routing import RouteProvider, Routes
from graders.server.service import Service


class Resource(RouteProvider):
    """The endpoints of one resource."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> Routes:
        """Path -> method -> endpoint."""
        raise NotImplementedError

    def gauges(self) -> Iterable[Gauge]:
        """Its gauges in /metrics."""
        return ()

    def start(self) -> None:
        """Start its background work; called once, before the first request."""

    async def stop(self) -> None:
        """Close its connections to other servers."""

    def close(self) -> None:
        """End its threads."""


#: module:class, in the order in which they are created and closed
RESOURCES = (
    "graders.server.resources.graders:GraderResource",
    "graders.server.resources.batch:BatchResource",
    "graders.server.resources.files:FileResource",
    "graders.server.resources.evals:EvalResource",
    "graders.server.resources.tuning:TuningResource",
    "graders.server.resources.completions:CompletionResource",
    "graders.server.resources.page_data:PageDataResource",
    "graders.server.resources.status:StatusResource",
    "graders.server.resources.page:PageResource",
)


def resources(service: Service) -> tuple[Resource, ...]:
    """All resources of one service."""
    return tuple(resolve_name(name)(service) for name in RESOURCES)
