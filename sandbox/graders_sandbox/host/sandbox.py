"""`Sandbox`, the interface for all callers. Its pool, a thread, talks to the servers."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from graders_sandbox.limits import WASM, Job, Limits, Outcome, SandboxUnavailable

from .choice import TierChoice
from .memory import ConcurrencyBound
from .sources import reading
from .tasks import Task

if TYPE_CHECKING:
    from .pool import Pool
    from .wasm_pool import WasmPool

#: Jobs that run_many reads ahead, in multiples of the samples in flight.
_AHEAD = 8


class Sandbox:
    """Runs python graders in a jail. Cheap to create: it starts and probes nothing before the first sample.

    Thread-safe, and usable after a fork of the caller. A context manager.

    Args:
        limits: Limits of one sample; None: the hosted service's.
        require: The weakest acceptable tier of TIERS; None: any. `wasm`: only that tier.
        tier: Exactly this tier (for tests and diagnosis).
        unsandboxed: Whether to run without a jail. Only for programs that you wrote; every outcome says so.
        seed: The run's seed; with a sample's key it seeds random and numpy.
        hash_seed: Seed of the programs' str hashes, and so of the order of their sets: the same in every run by
            default.
        in_flight: Number of concurrent samples; None: twice the cores, fewer where memory is short.
        servers: Number of import sets with servers; the least recently used are closed.
        samples_per_process: Number of samples of one source that may share a process, for speed. Above 1, samples are
            not isolated from each other: modules, globals and files of one are visible to the next, and after a crash
            or time-out all of them run again. Every outcome says so.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        require: str | None = None,
        tier: str | None = None,
        unsandboxed: bool = False,
        seed: int = 0,
        hash_seed: int = 0,
        in_flight: int | None = None,
        servers: int = 8,
        samples_per_process: int = 1,
    ) -> None:
        for name, number in (
            ("in_flight", in_flight),
            ("servers", servers),
            ("samples_per_process", samples_per_process),
        ):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")
        self.limits = limits or Limits()
        self.seed = seed
        self.hash_seed = hash_seed
        self._bound = ConcurrencyBound(self.limits, in_flight)
        self.samples_per_process = samples_per_process
        # callers inside batch_submissions, which wake the sandbox's thread at the end
        self._open_batches = 0
        self._max_servers = servers
        self._choice = TierChoice(require=require, tier=tier, unsandboxed=unsandboxed)
        self._lock = threading.Lock()
        self._pool: Pool | WasmPool | None = None
        _ALL.add(self)

    @property
    def in_flight(self) -> int:
        """The largest number of concurrent samples."""
        return self._bound.most

    def sibling(self, *, hash_seed: int) -> Sandbox:
        """A new sandbox with the same settings and another hash seed."""
        other = Sandbox(
            limits=self.limits,
            seed=self.seed,
            hash_seed=hash_seed,
            in_flight=self.in_flight,
            servers=self._max_servers,
        )
        other._choice = self._choice
        return other

    @property
    def tier(self) -> str:
        """The tier of samples here, found by running one.

        Raises:
            SandboxUnavailable: no tier works, or none as strong as required.
        """
        if not self._choice.tier:
            outcome = self.run("def grade(sample, item):\n    return 1.0\n", None, None)
            if not self._choice.tier:
                raise SandboxUnavailable(self._choice.refusal or outcome.text)
        return self._choice.tier

    @property
    def notes(self) -> tuple[str, ...]:
        """Protections that are weaker here than the tier promises; () before the first sample."""
        return self._choice.notes

    def run(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Outcome:
        """Grade one sample and wait. Failures of the sample or the jail do not raise: see Outcome.status.

        Raises:
            TypeError, ValueError, RecursionError: sample or item has no JSON form.
        """
        future = self.submit(source, sample, item, key=key, timeout_s=timeout_s)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def arun(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Outcome:
        """As run, for async callers. Cancelling it stops the sample."""
        return await asyncio.wrap_future(self.submit(source, sample, item, key=key, timeout_s=timeout_s))

    def run_many(self, jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        """Grade many samples, lazily and in order, with a bounded number in flight. Closing the generator stops them.

        Raises:
            TypeError, ValueError, RecursionError: as run, when the job is read.
        """
        waiting: deque[Future[Outcome]] = deque()
        source = iter(jobs)
        try:
            while True:
                self._read_on(source, waiting)
                if not waiting:
                    return
                yield waiting[0].result()
                waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()

    async def arun_many(self, jobs: Iterable[Job]) -> AsyncIterator[Outcome]:
        """As run_many, for async callers."""
        waiting: deque[Future[Outcome]] = deque()
        source = iter(jobs)
        try:
            while True:
                self._read_on(source, waiting)
                if not waiting:
                    return
                yield await asyncio.wrap_future(waiting[0])
                waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()

    def _read_on(self, source: Iterator[Job], waiting: deque[Future[Outcome]]) -> None:
        """Submit more jobs, each as soon as it is read, but many at a time, since each call wakes the thread."""
        ahead = _AHEAD * self.in_flight * self.samples_per_process
        if len(waiting) <= ahead // 2:
            waiting.extend(map(self._submit, islice(source, ahead - len(waiting))))

    def _submit(self, job: Job) -> Future[Outcome]:
        return self.submit(job.source, job.sample, job.item, key=job.key, timeout_s=job.timeout_s)

    def submit(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Future[Outcome]:
        """Grade one sample without waiting. Cancelling the future drops or stops the sample.

        Raises:
            TypeError, ValueError, RecursionError: sample or item has no JSON form.
        """
        payload = json.dumps({"sample": sample, "item": item}).encode()
        future: Future[Outcome] = Future()
        limits = self.limits
        size = len(source) if source.isascii() else len(source.encode("utf-8", "surrogatepass"))
        if size > limits.source_bytes:
            text = f"the source has {size} bytes; the limit is {limits.source_bytes}"
            future.set_result(
                Outcome("grader_error", stage="compile", error_type="SourceTooLarge", text=text)
            )
            return future
        if len(payload) > limits.payload_bytes:
            text = f"sample and item have {len(payload)} bytes as JSON; the limit is {limits.payload_bytes}"
            future.set_result(
                Outcome("grader_error", stage="payload", error_type="PayloadTooLarge", text=text)
            )
            return future
        digest = hashlib.blake2b(
            f"{self.seed}:{key}".encode("utf-8", "surrogatepass"), digest_size=8
        ).digest()
        wall_s = limits.wall_s if timeout_s is None else min(limits.wall_s, timeout_s)
        seed = int.from_bytes(digest, "little")
        task = Task(source, payload, seed, wall_s, reading.known_facts(source), future)
        with self._lock:
            if self._choice.refusal:
                future.set_result(Outcome("infrastructure", text=self._choice.refusal))
                return future
            if self._pool is None or not self._pool.accepting:
                self._pool = self._new_pool()
            pool = self._pool
            pool.add(task, wake=not self._open_batches)
        future.add_done_callback(lambda done: pool.cancel(task) if done.cancelled() else None)
        return future

    @contextmanager
    def batch_submissions(self) -> Iterator[None]:
        """Defer waking the sandbox's thread until the block ends, since each waking takes the interpreter from the
        caller.

        Keep the block short: submissions from other threads are deferred too.
        """
        with self._lock:
            self._open_batches += 1
        try:
            yield
        finally:
            with self._lock:
                # a fork in between has reset it
                self._open_batches = max(0, self._open_batches - 1)
                pool = self._pool
            if pool is not None:
                pool.wake_up()

    def _new_pool(self) -> Pool | WasmPool:
        if self._choice.next == WASM:
            # imported here: the other pool needs Linux, this one does not
            from .wasm_pool import WasmPool

            return WasmPool(self.limits, self._choice)
        from .pool import Pool, PoolSettings

        settings = PoolSettings(
            limits=self.limits,
            in_flight=self._bound,
            hash_seed=self.hash_seed,
            max_servers=self._max_servers,
            samples_per_process=self.samples_per_process,
        )
        return Pool(settings, self._choice)

    def close(self) -> None:
        """End all servers and their samples. The sandbox may be used again."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _after_fork_in_child(self) -> None:
        """Reset a forked child, which has no pool thread and must not keep servers alive."""
        self._lock = threading.Lock()
        self._open_batches = 0
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.forget()


_ALL: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sandbox in list(_ALL):
        sandbox._after_fork_in_child()


def _close_all() -> None:
    for sandbox in list(_ALL):
        sandbox.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
