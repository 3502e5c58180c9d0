"""One event loop on a thread of its own, so that sync and async callers share connections and limits."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

#: How long closing waits for connections to end.
CLOSE_S = 2.0


class Loop:
    """A running event loop. The thread is a daemon: it never keeps a program alive."""

    def __init__(self, name: str = "graders-models") -> None:
        # a forked child has no such thread
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
        # those that do not end are left: the thread is a daemon
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=CLOSE_S))
        loop.close()

    def call(self, function: Callable[[], object]) -> None:
        """Call it on the loop, from any thread."""
        self._loop.call_soon_threadsafe(function)

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """As asyncio's; to be called on the loop."""
        return self._loop.create_task(work)

    def give_up(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task, from any thread."""
        # the loop has been closed, and its tasks with it
        with suppress(RuntimeError):
            self.call(task.cancel)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it on the loop. Cancelling the Future cancels the work."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def cancel(self) -> None:
        """Cancel what is under way; the loop goes on."""
        self.call(self._cancel)

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def finish(self, work: Coroutine[Any, Any, object]) -> None:
        """Run it and wait for it, briefly."""
        try:
            self.start(work).result(CLOSE_S)
        except (Exception, asyncio.CancelledError):
            # closing is best effort: there is nobody left to tell
            return

    def close(self) -> None:
        """Cancel what is under way and end the thread."""
        if self._thread.is_alive() and self.pid == os.getpid():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2 * CLOSE_S)
