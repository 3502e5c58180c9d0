"""Status of the server: health, readiness, counters, and its OpenAPI document."""

from __future__ import annotations

import time
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from graders._version import __version__
from graders.server import metrics, openapi
from graders.server.errors import JsonResponse
from graders.server.resources import Resource
from graders.server.routing import Routes, get


class StatusResource(Resource):
    """Health, readiness, metrics, state and the OpenAPI document."""

    def routes(self) -> Routes:
        return {
            "/healthz": get(self.healthz),
            "/readyz": get(self.readyz),
            "/metrics": get(self.counters),
            "/openapi.json": get(self.openapi),
            "/state": get(self.state),
        }

    async def healthz(self, request: Request) -> Response:
        """It answers, so it lives."""
        return JsonResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether rows can be graded. `?exclude=sandbox` for a server that gets no python graders."""
        checks = await self.service.ready.checks()
        excluded = request.query_params.getlist("exclude")
        ready = all(check.ok for name, check in checks.items() if name not in excluded)
        # without reasons, which /state gives to holders of the token
        found = {name: check.ok for name, check in checks.items()}
        return JsonResponse(
            {"status": "ready" if ready else "not ready", "checks": found}, 200 if ready else 503
        )

    async def counters(self, request: Request) -> Response:
        """Prometheus text."""
        text = self.service.metrics.text(self.service.gauges())
        return Response(text, media_type=metrics.CONTENT_TYPE)

    async def state(self, request: Request) -> Response:
        """The server's state, for the page."""
        service = self.service
        checks = await service.ready.checks()
        return JsonResponse(
            {
                "version": __version__,
                "strict": service.strict,
                "uptime_s": round(time.time() - service.metrics.started, 1),
                "checks": {name: asdict(check) for name, check in checks.items()},
                "requests": sum(service.metrics.requests.values()),
                "rows": dict(service.metrics.rows),
                "failures": {flag: n for flag, n in service.metrics.flags.items() if n},
                "compiled": len(service.graders),
                "under_way": {name: n for name, n in service.shared.under_way.items() if n},
            }
        )

    async def openapi(self, request: Request) -> Response:
        """This server's description."""
        return JsonResponse(openapi.document(self.service.router.routes))
