"""Executes a store's queued runs in the background, some at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from graders.endpoints.background import Loop
from graders.engine.backends import Backends
from graders.evals.execution import RunExecution
from graders.store import Store

T = TypeVar("T")

#: Runs in progress at once; others wait in the order of their creation.
RUNS = 4
#: Rows in flight over all runs, of which each run gets an equal share.
ROWS = 64
#: Seconds between polls for runs that other processes queued, cancelled or deleted.
LOOK_S = 0.5
#: Threads for the store and local criteria, so that chunks of two runs are graded concurrently.
THREADS = 2

log = logging.getLogger("graders.evals")


class Runner:
    """The background runner of the process that holds the store's claim.

    Thread-safe. Closing leaves runs in progress for the next runner.
    """

    def __init__(self, store: Store, backends: Backends, *, rows: int = ROWS) -> None:
        """
        Args:
            rows: Rows in flight over all runs.
        """
        self._store = store
        self._backends = backends
        self._rows = rows
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="graders-evals")
        self._executing: dict[int, tuple[RunExecution, asyncio.Task[None]]] = {}
        self._loop = Loop("graders-evals")
        self._wanted: asyncio.Event | None = None
        self._main = self._loop.start(self._work())

    def wake(self) -> None:
        """Poll the store now, after a run was queued, cancelled or deleted."""
        self._loop.call(self._wake)

    def _wake(self) -> None:
        if self._wanted is not None:
            self._wanted.set()

    def cancel(self, number: int) -> Future[None]:
        """Cancel the execution of a run. Once the Future is done, no further row of it starts."""
        return self._loop.start(self._cancel(number))

    async def _cancel(self, number: int) -> None:
        if number in self._executing:
            self._executing[number][0].cancel()

    def under_way(self) -> int:
        """The number of runs in progress."""
        return len(self._executing)

    def close(self) -> None:
        """Stop. Complete answers are stored; rows in flight are cancelled."""
        self._loop.finish(self._stop())
        self._loop.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _stop(self) -> None:
        self._main.cancel()
        for execution, _ in self._executing.values():
            execution.cancel()
        tasks = [task for _, task in self._executing.values()]
        if tasks:
            await asyncio.wait(tasks)

    async def _work(self) -> None:
        self._wanted = asyncio.Event()
        while True:
            try:
                await self._update()
            except Exception:
                # a store that is temporarily busy or full must not end the runner
                log.exception("the runs of the store could not be looked at")
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            self._wanted.clear()

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _update(self) -> None:
        """Start queued runs, as far as there is room; stop cancelled and deleted ones."""
        open_runs = await self._on_thread(self._store.runs.to_execute)
        numbers = {number for number, _ in open_runs}
        for number, (execution, _) in self._executing.items():
            if number not in numbers:
                execution.cancel()
        for number, run_id in open_runs:
            if number not in self._executing and len(self._executing) < RUNS:
                await self._begin(number, run_id)

    async def _begin(self, number: int, run_id: str) -> None:
        run = await self._on_thread(lambda: self._store.runs.get(run_id))
        if run is None:
            return
        execution = RunExecution(self._store, self._backends, run, threads=self._threads, window=self._share)
        task = asyncio.create_task(execution.execute())
        self._executing[number] = execution, task
        task.add_done_callback(lambda done: self._on_end(number, run_id, done))

    def _on_end(self, number: int, run_id: str, task: asyncio.Task[None]) -> None:
        del self._executing[number]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("run %s ended by a bug", run_id, exc_info=error)
        self._wake()

    def _share(self) -> int:
        """The number of rows that one run may have in flight."""
        return max(1, self._rows // max(1, len(self._executing)))
