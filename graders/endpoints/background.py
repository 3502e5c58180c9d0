"""An event loop on its own thread, so that sync and async callers share connections and limits."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that closing waits for connections to end.
CLOSE_S = 2.0


class Loop:
    """A running event loop. Its daemon thread never keeps a program alive."""

    def __init__(self, name: str = "graders-models") -> None:
        # to notice a forked child, in which the thread does not exist
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        # tasks that do not end are left to the daemon thread
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_S))
        loop.close()

    def call(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, from any thread."""
        self._loop.call_soon_threadsafe(function)

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """As asyncio's create_task; to be called on the loop."""
        return self._loop.create_task(work)

    def cancel_task(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task, from any thread."""
        # RuntimeError: the loop is closed, and with it its tasks
        with suppress(RuntimeError):
            self.call(task.cancel)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop. Cancelling the Future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def cancel(self) -> None:
        """Cancel all tasks; the loop keeps running."""
        self.call(self._cancel)

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def finish(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine and wait for it, for CLOSE_S at most."""
        try:
            self.start(work).result(CLOSE_S)
        except (Exception, asyncio.CancelledError):
            # closing is best effort: no caller could act on an error
            return

    def close(self) -> None:
        """Cancel all tasks and end the thread."""
        if self._thread.is_alive() and self.pid == os.getpid():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2 * CLOSE_S)
