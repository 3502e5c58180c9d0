"""Tasks, and the queue that returns their outcomes to the callers."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from graders_sandbox.limits import Outcome

from .sources.reading import SourceFacts

PAUSE_S = 0.05
#: Attempts of a sample before it is given up as infrastructure.
ATTEMPTS = 5


@dataclass(eq=False, slots=True)
class Task:
    """One sample from its submission to its outcome.

    Attributes:
        facts: The facts of its source; None until it has been read.
        alone: Whether it has to run alone, after it shared a process that failed.
    """

    source: str
    payload: bytes
    seed: int
    wall_s: float
    facts: SourceFacts | None
    future: Future[Outcome]
    attempts: int = 0
    alone: bool = False


@dataclass(eq=False, slots=True)
class SampleRun:
    """One process with a sample, or with several where the caller allowed it.

    Attributes:
        facts: The facts of the common source.
        result: The host's end of the result pipe; -1 for none.
        allowed_s: Seconds that its server has for it.
        written: Output of several samples so far.
    """

    number: int
    tasks: list[Task]
    facts: SourceFacts
    result: int = -1
    allowed_s: float = 0.0
    written: bytearray = field(default_factory=bytearray)

    def close(self) -> None:
        """Close the result pipe."""
        if self.result >= 0:
            os.close(self.result)
            self.result = -1


class TaskQueue:
    """The queue of tasks without an outcome, and of outcomes that have not been returned yet.

    `add` and `cancel` may be called from any thread, the others only from the pool's.
    """

    def __init__(self) -> None:
        # all tasks without an outcome, queued or running
        self._open: set[Task] = set()
        self._queue: deque[Task] = deque()
        self._cancelled: deque[Task] = deque()
        self._finished: deque[tuple[Future[Outcome], Outcome]] = deque()
        # no start before this time, after the kernel could not start a process
        self.paused_until = 0.0

    def pause(self, times: int = 1) -> None:
        """Pause starts for a moment; the caller checks `paused_until`."""
        self.paused_until = time.monotonic() + times * PAUSE_S

    def add(self, task: Task) -> None:
        self._open.add(task)
        self._queue.append(task)

    def cancel(self, task: Task) -> bool:
        """Cancel a task; returns whether there is something to stop."""
        try:
            self._open.remove(task)
        except KeyError:
            return False
        # notifies callers that wait for several futures
        task.future.set_running_or_notify_cancel()
        self._cancelled.append(task)
        return True

    def cancelled(self) -> Iterator[Task]:
        """The tasks cancelled since the last call."""
        while self._cancelled:
            yield self._cancelled.popleft()

    def is_open(self, task: Task) -> bool:
        return task in self._open

    @property
    def head(self) -> Task | None:
        """The next task that is not cancelled."""
        while self._queue:
            if self._queue[0] in self._open:
                return self._queue[0]
            self._queue.popleft()
        return None

    def pop(self) -> Task:
        return self._queue.popleft()

    def release(self, task: Task) -> None:
        """Remove a task that another pool takes over."""
        self._open.discard(task)

    def companions(self, task: Task, most: int) -> Iterator[Task]:
        """Take the following tasks that may share the task's process: same source and time, not to run alone."""
        for _ in range(most):
            other = self.head
            if other is None or task.alone:
                return
            if other.source != task.source or other.wall_s != task.wall_s or other.alone:
                return
            yield self.pop()

    def requeue(self, tasks: Iterable[Task]) -> None:
        """Return tasks to the front of the queue, in their order."""
        self._queue.extendleft(reversed(list(tasks)))

    def retry(self, tasks: list[Task], reason: str, tier: str, *, counts: bool = True) -> None:
        """Retry tasks, or give up those with too many attempts."""
        for task in tasks:
            task.attempts += counts
        for task in tasks:
            if task.attempts >= ATTEMPTS:
                text = f"{reason}, {task.attempts} times under this sample"
                self.finish(task, Outcome("infrastructure", tier=tier, text=text, attempts=task.attempts))
        self.requeue(task for task in tasks if task.attempts < ATTEMPTS)

    def finish(self, task: Task, outcome: Outcome) -> None:
        try:
            self._open.remove(task)
        except KeyError:
            return
        self._finished.append((task.future, outcome))

    def finish_queued(self, outcome: Outcome) -> None:
        """Finish all queued tasks with the same outcome."""
        while self._queue:
            self.finish(self._queue.popleft(), outcome)

    def finish_all(self, outcome: Outcome) -> None:
        """Finish every task with the same outcome."""
        for task in list(self._open):
            self.finish(task, outcome)
        self.return_outcomes()

    def return_outcomes(self) -> None:
        """Return the outcomes once nothing is left to do, since callers woken earlier compete for the interpreter."""
        while self._finished:
            future, outcome = self._finished.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(outcome)
