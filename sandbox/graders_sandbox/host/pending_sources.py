"""Sources that are being read: each is read once for all tasks that wait for its facts."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field

from .sources import reading
from .tasks import Task, TaskQueue


@dataclass(eq=False, slots=True)
class PendingSource:
    """A source that is being read, and the tasks that wait for its facts."""

    source: str
    answer: int
    tasks: list[Task]
    written: bytearray = field(default_factory=bytearray)


class PendingSources:
    """The sources that are being read. The pool's selector watches their answers, each with its PendingSource as data.

    Args:
        queue: Gets the tasks back when the facts of their source are known.
        retry: Called with tasks that have to be retried, and the reason.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        queue: TaskQueue,
        retry: Callable[[list[Task], str], None],
    ) -> None:
        self._selector = selector
        self._queue = queue
        self._retry = retry
        self._reader = reading.Reader()
        self._by_source: dict[str, PendingSource] = {}

    def add(self, task: Task) -> None:
        """Keep a task until the facts of its source are known.

        Raises:
            OSError: the reader could not be started; the task is not kept here.
        """
        waiting = self._by_source.get(task.source)
        if waiting is not None:
            waiting.tasks.append(task)
            return
        answer = self._reader.begin(task.source)
        self._by_source[task.source] = waiting = PendingSource(task.source, answer, [task])
        self._selector.register(answer, selectors.EVENT_READ, waiting)

    def read(self, waiting: PendingSource) -> None:
        """Read the reader's output; at its end the tasks return to the queue."""
        data = os.read(waiting.answer, reading.ANSWER_BYTES)
        waiting.written += data
        if data and len(waiting.written) <= reading.ANSWER_BYTES:
            return
        self._selector.unregister(waiting.answer)
        os.close(waiting.answer)
        del self._by_source[waiting.source]
        facts = reading.settle(waiting.source, bytes(waiting.written))
        if facts is None and not self._reader.has_ended:
            # the server reports the reason when it compiles the source
            facts = reading.UNREADABLE
        if facts is None:
            self._retry(waiting.tasks, "the process that reads sources ended")
            return
        for task in waiting.tasks:
            task.facts = facts
        self._queue.requeue(waiting.tasks)

    def forget(self) -> None:
        """Release the reader without ending it, in a forked child."""
        self._reader.forget()
        self._close_answers()

    def close(self) -> None:
        self._reader.close()
        self._close_answers()

    def _close_answers(self) -> None:
        for waiting in self._by_source.values():
            os.close(waiting.answer)
