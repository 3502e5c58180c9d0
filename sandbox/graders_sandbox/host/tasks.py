"""Samples on their way, and the way of their outcomes back to who waits for them."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from graders_sandbox.limits import Outcome

from .sources.reading import SourceFacts

PAUSE_S = 0.05  # after something could not be started
ATTEMPTS = 5  # servers that may die under a sample before it is given up as infrastructure


@dataclass(eq=False, slots=True)
class Task:
    """One sample on its way.

    Attributes:
        facts: Of its source; None until a reader has said them.
        alone: Whether it shared a process that did not end well.
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
class Run:
    """One process of samples: one, or several where the caller allowed it.

    Attributes:
        facts: Of the source that all of them have.
        result: Our end of the result pipe; -1 for none.
        allowed_s: To its server, from the start on.
        written: By several samples, so far.
    """

    number: int
    tasks: list[Task]
    facts: SourceFacts
    result: int = -1
    allowed_s: float = 0.0
    written: bytearray = field(default_factory=bytearray)

    def close(self) -> None:
        """Let go of the result pipe."""
        if self.result >= 0:
            os.close(self.result)
            self.result = -1


class TaskQueue:
    """Tasks that have no outcome yet, in order, and outcomes that have not been handed back yet.

    `add` and `cancel` may be called from any thread, the others only from the pool's.
    """

    def __init__(self) -> None:
        self._open: set[Task] = set()  # tasks that have no outcome yet, wherever they are
        self._queue: deque[Task] = deque()
        self._cancelled: deque[Task] = deque()
        self._finished: deque[tuple[Future[Outcome], Outcome]] = deque()
        self.paused_until = 0.0  # nothing is started before, since the kernel could not

    def pause(self, times: int = 1) -> None:
        """Start nothing for a moment; the caller looks at `paused_until`."""
        self.paused_until = time.monotonic() + times * PAUSE_S

    def add(self, task: Task) -> None:
        self._open.add(task)
        self._queue.append(task)

    def cancel(self, task: Task) -> bool:
        """Whether there is something to stop."""
        try:
            self._open.remove(task)
        except KeyError:  # it has just been finished
            return False
        task.future.set_running_or_notify_cancel()  # for those who wait for several
        self._cancelled.append(task)
        return True

    def cancelled(self) -> Iterator[Task]:
        """Those that were cancelled since the last call."""
        while self._cancelled:
            yield self._cancelled.popleft()

    def is_open(self, task: Task) -> bool:
        return task in self._open

    @property
    def head(self) -> Task | None:
        """The next task, without those that were cancelled."""
        while self._queue:
            if self._queue[0] in self._open:
                return self._queue[0]
            self._queue.popleft()
        return None

    def pop(self) -> Task:
        return self._queue.popleft()

    def release(self, task: Task) -> None:
        """Somebody else answers for it from now on."""
        self._open.discard(task)

    def companions(self, task: Task, most: int) -> Iterator[Task]:
        """Take those right behind a task that may share its process: of its source and time, and not to run alone."""
        for _ in range(most):
            other = self.head
            if other is None or task.alone:
                return
            if other.source != task.source or other.wall_s != task.wall_s or other.alone:
                return
            yield self.pop()

    def put_back(self, tasks: Iterable[Task]) -> None:
        """In front of the others, in their order."""
        self._queue.extendleft(reversed(list(tasks)))

    def again(self, tasks: list[Task], reason: str, tier: str, *, counts: bool = True) -> None:
        """Have tasks run once more, or give up those that were tried too often."""
        for task in tasks:
            task.attempts += counts
        for task in tasks:
            if task.attempts >= ATTEMPTS:
                text = f"{reason}, {task.attempts} times under this sample"
                self.finish(task, Outcome("infrastructure", tier=tier, text=text, attempts=task.attempts))
        self.put_back(task for task in tasks if task.attempts < ATTEMPTS)

    def finish(self, task: Task, outcome: Outcome) -> None:
        try:
            self._open.remove(task)
        except KeyError:  # cancelled
            return
        self._finished.append((task.future, outcome))

    def finish_queued(self, outcome: Outcome) -> None:
        """The same outcome for all that wait."""
        while self._queue:
            self.finish(self._queue.popleft(), outcome)

    def finish_all(self, outcome: Outcome) -> None:
        """The same outcome for every task that has none."""
        for task in list(self._open):
            self.finish(task, outcome)
        self.hand_back()

    def hand_back(self) -> None:
        """Wake those who wait for outcomes, when nothing is left to do: earlier they would take the interpreter from us."""
        while self._finished:
            future, outcome = self._finished.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(outcome)
