"""/v1/graders: run and validate, the service's endpoints, and the problems of a spec, for editors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from graders.engine.futures import LATE_S
from graders.engine.grader import Grader
from graders.errors import UnresponsiveReward
from graders.result import RunResult, Score
from graders.server.errors import JsonResponse
from graders.server.grading import CompiledGrader
from graders.server.limits import Overloaded
from graders.server.request import CALL, Call, cancelled_with_client, typed
from graders.server.resources import Resource
from graders.server.routing import Routes, api


class GraderResource(Resource):
    """run, validate and problems."""

    def routes(self) -> Routes:
        return {
            **api(
                {
                    "/fine_tuning/alpha/graders/run": {"POST": self.run},
                    "/fine_tuning/alpha/graders/validate": {"POST": self.validate},
                }
            ),
            "/v1/graders/problems": {"POST": self.problems},
        }

    async def run(self, request: Request) -> Response:
        """One row."""
        body = await self.service.json(
            request, ("grader", "model_sample", "item"), ("grader", "model_sample")
        )
        sample = typed(body, "model_sample", str, "a string")
        item = typed(body, "item", (dict, type(None)), "an object")
        compiled = await self.service.graders.get(body["grader"])
        result = await self._grade(request, compiled, sample, item)
        return JsonResponse(result.to_wire())

    async def _grade(
        self, request: Request, compiled: CompiledGrader, sample: str, item: Mapping[str, Any] | None
    ) -> RunResult:
        call: Call = request.scope[CALL]
        grader = compiled.grader
        large, asks = compiled.is_large(call.body_bytes), grader.kind.n_asks > 0
        if not large and not asks:
            # takes microseconds and does not wait
            result = await grader.arun(sample, item)
        else:
            left_s = call.deadline - time.monotonic()
            work = grader.arun(sample, item, timeout_s=left_s)
            try:
                async with asyncio.timeout(left_s + 2 * LATE_S):
                    if large:
                        work = self.service.lanes.run(work, asks=asks)
                    result = await cancelled_with_client(request, work)
            except Overloaded as error:
                raise self.service.refused("large", str(error)) from None
            except TimeoutError:
                # a metric over long texts; graders that ask keep the deadline themselves
                result = _too_slow(grader, call)
        for failure in result.failures:
            if isinstance(failure, Overloaded):
                raise self.service.refused("rows", str(failure))
        self.service.graded(call, grader, result)
        return result

    async def validate(self, request: Request) -> Response:
        """The normalised spec."""
        body = await self.service.json(request, ("grader",), ("grader",))
        grader = (await self.service.graders.get(body["grader"])).grader
        return JsonResponse({"grader": grader.spec.to_wire()})

    async def problems(self, request: Request) -> Response:
        """All problems of a spec's text, with lines, for editors and the page."""
        body = await self.service.json(request, ("spec",), ("spec",))
        text = typed(body, "spec", str, "a string")
        found, normalised = await self.service.graders.problems(text)
        return JsonResponse({"problems": [asdict(problem) for problem in found], "grader": normalised})


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
