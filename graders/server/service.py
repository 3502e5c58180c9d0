"""The service: the state and resources that endpoints share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request

from graders.engine.backends import Backends
from graders.engine.grader import Grader
from graders.result import RunResult
from graders.server.errors import ApiError, overloaded
from graders.server.grading import Graders, WorkerLoops
from graders.server.limits import AdmissionBackends, BodyBudget, Limits
from graders.server.metrics import Gauge, Metrics
from graders.server.ready import Readiness
from graders.server.request import CALL, JSON, Call, parameters, read_body, read_json, require_media_type
from graders.server.routing import RouteProvider, Router

if TYPE_CHECKING:
    from graders.config.config import Config
    from graders.store import Store


#: Threads for the store, whose reads are concurrent and whose writes are serial.
STORE_THREADS = 4
#: Seconds between deletions of expired files and logs, whose lifetimes are hours or days.
SWEEP_S = 3600.0

T = TypeVar("T")

log = logging.getLogger("graders.server")

#: Bytes of JSON that is parsed on the event loop, in at most some 5 ms.
INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Recording:
    """Settings of forwarding and logging requests to models.

    Attributes:
        retention_days: Days until a logged request expires; None: never.
    """

    retention_days: float | None = 30.0


class Service:
    """The resources, and the graders, limits and counters behind them.

    Args:
        resources: Creates the resources of a service.
    """

    def __init__(
        self,
        backends: Backends,
        limits: Limits,
        *,
        strict: bool,
        store: Store | None = None,
        recording: Recording | None = None,
        tuning: bool = False,
        claims: Sequence[str] = (),
        resources: Callable[[Service], Iterable[RouteProvider]] = lambda service: (),
    ) -> None:
        self.limits = limits
        self.strict = strict
        self.recording = recording
        self.tuning = tuning
        self.claims = tuple(claims)
        self.metrics = Metrics()
        self.buffered = BodyBudget(limits.buffered_bytes)
        self.shared = AdmissionBackends(backends, limits, self.metrics)
        self.graders = Graders(self.shared, keep=limits.compiled, strict=strict)
        self.lanes = WorkerLoops(limits.large)
        self.ready = Readiness(backends)
        # a single thread: two concurrent parsers would block the event loop twice as long
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="graders-read")
        self._store = store
        self._store_threads = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="graders-store")
        self._sweeper: asyncio.Task[None] | None = None
        self.resources = tuple(resources(self))

    @cached_property
    def router(self) -> Router:
        return Router({path: methods for one in self.resources for path, methods in one.routes().items()})

    def gauges(self) -> Iterable[Gauge]:
        """The gauges in /metrics, beside its counters."""
        under_way = self.shared.under_way
        yield Gauge("graders_compiled", "Graders kept compiled.", lambda: len(self.graders))
        yield Gauge(
            "graders_compiled_hits_total",
            "Requests that found theirs compiled.",
            lambda: self.graders.hits,
        )
        yield Gauge("graders_compiled_misses_total", "Graders compiled.", lambda: self.graders.misses)
        yield Gauge("graders_buffered_bytes", "Request bodies in memory.", lambda: self.buffered.n_bytes)
        yield Gauge("graders_code_under_way", "Python graders that run or wait.", lambda: under_way["code"])
        yield Gauge(
            "graders_judge_under_way",
            "Questions to judges that run or wait.",
            lambda: under_way["judge"],
        )
        yield Gauge("graders_sample_under_way", "Samples of models under way.", lambda: under_way["sample"])
        yield Gauge("graders_embed_under_way", "Texts being embedded.", lambda: under_way["embed"])
        yield Gauge(
            "graders_large_under_way",
            "Rows with long texts that run or wait.",
            lambda: self.lanes.working,
        )
        for resource in self.resources:
            yield from resource.gauges()

    @property
    def config(self) -> Config:
        """The configuration. Raises ConfigError when its file is not valid."""
        return self.shared.backends.config

    @property
    def has_store(self) -> bool:
        return self._store is not None

    @property
    def store(self) -> Store:
        """
        Raises:
            ApiError: the server was started without one.
        """
        if self._store is None:
            text = "This server keeps nothing: it was started without a store."
            raise ApiError(404, text, code="no_store")
        return self._store

    async def in_store(self, work: Callable[..., T], *arguments: Any) -> T:
        """The result of `work`, run on a thread that may wait for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._store_threads, work, *arguments)

    async def json(
        self, request: Request, known: tuple[str, ...], required: tuple[str, ...]
    ) -> dict[str, Any]:
        """The request's JSON object.

        Raises:
            ApiError: the body is not a JSON object, has an unknown parameter, or lacks a required one.
        """
        return parameters(await self.value(request), known, required)

    async def value(self, request: Request) -> Any:
        """The request's JSON value.

        Raises:
            ApiError: the body is not JSON, or too large.
        """
        require_media_type(request.scope[CALL], JSON)
        body = await read_body(request, self.limits, self.buffered)
        return await self.off_loop(len(body), read_json, body, self.limits)

    async def off_loop(self, n_bytes: int, function: Callable[..., T], *args: Any) -> T:
        """The result of a function of `n_bytes` of input, on a thread if that takes longer than switching threads."""
        if n_bytes <= INLINE_BYTES:
            return function(*args)
        return await asyncio.get_running_loop().run_in_executor(self._reading, partial(function, *args))

    def graded(self, call: Call, grader: Grader, result: RunResult) -> None:
        """Count a row, and note it for the log."""
        self.metrics.row(grader.type, result)
        call.type = grader.type
        call.n_rows += 1
        if result.failures:
            call.flags = tuple(dict.fromkeys((*call.flags, *result.flags)))

    def refused(self, what: str, reason: str) -> ApiError:
        """A counted 429."""
        self.metrics.refused[what] += 1
        return overloaded(reason)

    def start(self) -> None:
        """Start the background work, on the event loop."""
        for resource in self.resources:
            resource.start()
        if self._store is not None:
            self._sweeper = asyncio.create_task(self._sweep(self._store))

    async def _sweep(self, store: Store) -> None:
        """Delete expired files and logs, now and periodically."""
        while True:
            try:
                await self.in_store(store.sweep)
            except Exception:
                # a store that is temporarily busy or full must not end the sweeping
                log.exception("what has expired could not be deleted")
            await asyncio.sleep(SWEEP_S)

    async def stop(self) -> None:
        """Stop the background work on the event loop."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for resource in self.resources:
            await resource.stop()

    def close(self) -> None:
        """End threads; the backends belong to the caller."""
        for resource in self.resources:
            resource.close()
        self._store_threads.shutdown(wait=False, cancel_futures=True)
        self.graders.close()
        self.lanes.close()
        self._reading.shutdown(wait=False, cancel_futures=True)
