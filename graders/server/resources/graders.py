"""What the server answers. Every endpoint reads its request, calls the one Grader, and writes what comes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from graders._version import __version__
from graders.engine.backends import LATE_S, Backends
from graders.engine.grader import Grader
from graders.errors import UnresponsiveReward
from graders.result import RunResult, Score
from graders.server import metrics, openapi, page
from graders.server.edge import Endpoint
from graders.server.errors import ApiError, Json, overloaded
from graders.server.limits import Borrowed, Buffered, Limits, Overloaded, Shared
from graders.server.ready import Readiness
from graders.server.request import (
    CALL,
    Call,
    parameters,
    read_body,
    read_json,
    require_media_type,
    typed,
    unless_gone,
)
from graders.server.resources import batch
from graders.server.resources.grading import Compiled, Graders, Lanes

JSON = "application/json"
#: What stands before /fine_tuning/...: OpenAI's, Azure's, and that of Azure's clients that send an api-version.
PREFIXES = ("/v1", "/openai/v1", "/openai")
GRADERS = "/fine_tuning/alpha/graders"


class Service:
    """The endpoints and what they share."""

    def __init__(self, backends: Backends, limits: Limits, *, strict: bool) -> None:
        self.limits = limits
        self.metrics = metrics.Metrics()
        self.buffered = Buffered(limits.buffered_bytes)
        self.shared = Shared(backends, limits, self.metrics)
        self.graders = Graders(self.shared, keep=limits.compiled, strict=strict)
        self.lanes = Lanes(limits.large)
        self.ready = Readiness(backends)
        self.batch_threads = ThreadPoolExecutor(limits.batches, thread_name_prefix="graders-batch")
        self.n_batches = 0
        self.strict = strict

    def routes(self) -> dict[str, dict[str, Endpoint]]:
        """path -> method -> endpoint."""
        posts = {
            **{f"{prefix}{GRADERS}/run": self.run for prefix in PREFIXES},
            **{f"{prefix}{GRADERS}/validate": self.validate for prefix in PREFIXES},
            "/v1/graders/batch": self.batch,
            "/v1/graders/problems": self.problems,
        }
        gets = {
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.counters,
            "/openapi.json": self.openapi,
            "/state": self.state,
            "/": self.page,
        }
        return {
            **{path: {"POST": endpoint} for path, endpoint in posts.items()},
            **{path: {"GET": endpoint, "HEAD": endpoint} for path, endpoint in gets.items()},
        }

    # --- graders ---

    async def run(self, request: Request) -> Response:
        """One row."""
        body = await self._json(request, ("grader", "model_sample", "item"), ("grader", "model_sample"))
        sample = typed(body, "model_sample", str, "a string")
        item = typed(body, "item", (dict, type(None)), "an object")
        compiled = await self.graders.get(body["grader"])
        result = await self._grade(request, compiled, sample, item)
        return Json(result.to_wire())

    async def _grade(
        self, request: Request, compiled: Compiled, sample: str, item: Mapping[str, Any] | None
    ) -> RunResult:
        call: Call = request.scope[CALL]
        grader = compiled.grader
        large, asks = compiled.is_large(call.body_bytes), grader.kind.n_asks > 0
        if not large and not asks:
            result = await grader.arun(sample, item)  # microseconds, and nothing to wait for
        else:
            left_s = call.deadline - time.monotonic()
            work = grader.arun(sample, item, timeout_s=left_s)
            try:
                async with asyncio.timeout(left_s + 2 * LATE_S):
                    if large:
                        work = self.lanes.run(work, asks=asks)
                    result = await unless_gone(request, work)
            except Overloaded as error:
                raise self._refused("large", error) from None
            except TimeoutError:  # a metric over long texts: what waits for others keeps the deadline itself
                result = _too_slow(grader, call)
        for failure in result.failures:
            if isinstance(failure, Overloaded):
                raise self._refused("rows", failure)
        self.graded(call, grader, result)
        return result

    def _refused(self, what: str, error: Overloaded) -> ApiError:
        self.metrics.refused[what] += 1
        return overloaded(str(error))

    def graded(self, call: Call, grader: Grader, result: RunResult) -> None:
        """Count a row, and note it for the log."""
        self.metrics.row(grader.type, result)
        call.type = grader.type
        call.n_rows += 1
        if result.failures:
            call.flags = tuple(dict.fromkeys((*call.flags, *result.flags)))

    async def validate(self, request: Request) -> Response:
        """The normalised spec."""
        body = await self._json(request, ("grader",), ("grader",))
        grader = (await self.graders.get(body["grader"])).grader
        return Json({"grader": grader.spec.to_json()})

    async def problems(self, request: Request) -> Response:
        """Everything that can be said about the text of a spec, with lines: what editors and the page show."""
        body = await self._json(request, ("spec",), ("spec",))
        text = typed(body, "spec", str, "a string")
        found, normalised = await self.graders.on_thread(self.graders.problems, text)
        return Json({"problems": [asdict(problem) for problem in found], "grader": normalised})

    async def batch(self, request: Request) -> Response:
        """Many rows."""
        if self.n_batches >= self.limits.batches:
            self.metrics.refused["batches"] += 1
            raise overloaded(f"{self.n_batches} batches are under way")
        self.n_batches += 1  # given back when the last line has been sent
        try:
            media_type = require_media_type(request.scope[CALL], JSON, batch.NDJSON)
            body = await read_body(request, self.limits, self.buffered)
            head, rows = batch.read(body, media_type)
            backends = Borrowed(self.shared, self.limits.timeout_s)
            grader = await self.graders.on_thread(self.graders.compile, head["grader"], backends)
        except BaseException:
            self.n_batches -= 1
            raise
        return batch.BatchResponse(self, grader, backends, rows, head.get("merge"))

    async def _json(
        self, request: Request, known: tuple[str, ...], required: tuple[str, ...]
    ) -> dict[str, Any]:
        require_media_type(request.scope[CALL], JSON)
        body = await read_body(request, self.limits, self.buffered)
        return parameters(read_json(body), known, required)

    # --- the server itself ---

    async def healthz(self, request: Request) -> Response:
        """It answers, so it lives."""
        return Json({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether rows can be graded. `?exclude=sandbox` for a server that gets no python graders."""
        checks = await self.ready.checks()
        excluded = request.query_params.getlist("exclude")
        ready = all(check.ok for name, check in checks.items() if name not in excluded)
        body = {
            "status": "ready" if ready else "not ready",
            "checks": {
                name: check.ok for name, check in checks.items()
            },  # why not is for those who have the token
        }
        return Json(body, 200 if ready else 503)

    async def counters(self, request: Request) -> Response:
        """Prometheus text."""
        return Response(self.metrics.text(self._gauges), media_type=metrics.CONTENT_TYPE)

    @cached_property
    def _gauges(self) -> list[tuple[str, str, Callable[[], float]]]:
        under_way = self.shared.under_way
        return [
            ("graders_compiled", "Graders kept compiled.", lambda: len(self.graders)),
            (
                "graders_compiled_hits_total",
                "Requests that found theirs compiled.",
                lambda: self.graders.hits,
            ),
            ("graders_compiled_misses_total", "Graders compiled.", lambda: self.graders.misses),
            ("graders_buffered_bytes", "Request bodies in memory.", lambda: self.buffered.n_bytes),
            ("graders_code_under_way", "Python graders that run or wait.", lambda: under_way["code"]),
            ("graders_judge_under_way", "Questions to judges that run or wait.", lambda: under_way["judge"]),
            ("graders_embed_under_way", "Texts being embedded.", lambda: under_way["embed"]),
            (
                "graders_large_under_way",
                "Rows with long texts that run or wait.",
                lambda: self.lanes.working,
            ),
            ("graders_batches_under_way", "Batches.", lambda: self.n_batches),
        ]

    async def state(self, request: Request) -> Response:
        """What the page shows of the server."""
        checks = await self.ready.checks()
        return Json(
            {
                "version": __version__,
                "strict": self.strict,
                "uptime_s": round(time.time() - self.metrics.started, 1),
                "checks": {name: asdict(check) for name, check in checks.items()},
                "requests": sum(self.metrics.requests.values()),
                "rows": dict(self.metrics.rows),
                "failures": {flag: n for flag, n in self.metrics.flags.items() if n},
                "compiled": len(self.graders),
                "under_way": {name: n for name, n in self.shared.under_way.items() if n},
            }
        )

    async def openapi(self, request: Request) -> Response:
        """This server's description."""
        return Json(openapi.document())

    async def page(self, request: Request) -> Response:
        """For people."""
        return page.response()

    def close(self) -> None:
        """End threads; the backends are their owner's."""
        self.graders.close()
        self.lanes.close()
        self.batch_threads.shutdown(wait=False, cancel_futures=True)


def _too_slow(grader: Grader, call: Call) -> RunResult:
    failure = UnresponsiveReward("the grader gave no answer within the time that this request was given")
    return RunResult(
        reward=0.0,
        failures=(failure,),
        execution_time=time.perf_counter() - call.started,
        id="",
        identity=grader.identity,
        score=Score(0.0),
    )
