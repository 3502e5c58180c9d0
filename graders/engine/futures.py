"""Helpers for futures of answers: wait, cancel, and complete one with the result of another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from graders.ask import Answer
from graders.errors import GradeError, Interrupted, UnresponsiveReward

if TYPE_CHECKING:
    from asyncio import Task

#: Seconds after a deadline in which judges and the sandbox, which keep the deadline themselves, may still answer.
LATE_S = 1.0


def cancel(futures: Sequence[Future[Any]]) -> None:
    """Cancel the futures that are not done; the others keep their answers."""
    for future in futures:
        future.cancel()


def left(deadline: float) -> float:
    """Seconds that are left until a deadline, LATE_S included."""
    return max(0.0, deadline - time.monotonic()) + LATE_S


def answer_of(future: Future[Answer], deadline: float | None) -> Answer:
    """The answer; an UnresponsiveReward when there is none at the deadline."""
    if deadline is None or future.done():
        return future.result()
    future.cancel()
    return UnresponsiveReward("no answer came within the time that this row was given")


def follow(
    source: Future[Any] | Task[Any],
    target: Future[Answer],
    read: Callable[[Any], Answer],
    stop: Callable[[], object],
) -> None:
    """Complete `target` with `read(source.result())`; a GradeError raised on the way becomes the answer.

    Cancelling `target` calls `stop`, which should cancel `source`.
    """

    def done(source: Future[Any] | Task[Any]) -> None:
        if not target.set_running_or_notify_cancel():
            return
        if source.cancelled():
            target.set_result(Interrupted("called off before an answer came"))
            return
        error = source.exception()
        if error is None:
            target.set_result(read(source.result()))
        elif isinstance(error, GradeError):
            target.set_result(error)
        else:
            target.set_result(GradeError(f"{type(error).__name__}: {error}"))

    def cancel_source(target: Future[Answer]) -> None:
        if target.cancelled():
            stop()

    target.add_done_callback(cancel_source)
    source.add_done_callback(done)
