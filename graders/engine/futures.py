"""Futures of answers: waiting for them, giving them up, and ending one with what another brings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from graders.ask import Answer
from graders.errors import GradeError, Interrupted, UnresponsiveReward

if TYPE_CHECKING:
    from asyncio import Task

#: How long after a deadline those who keep it themselves (judges, the sandbox) may take to say what became of it.
LATE_S = 1.0


def cancel(futures: Sequence[Future[Any]]) -> None:
    """Give up on what is under way; what has ended keeps its answer."""
    for future in futures:
        future.cancel()


def left(deadline: float) -> float:
    """Seconds to wait for an answer."""
    return max(0.0, deadline - time.monotonic()) + LATE_S


def answer_of(future: Future[Answer], deadline: float | None) -> Answer:
    """The answer that came; after the deadline, that none did."""
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
    """End `target` with what `read` makes of `source`'s result; a GradeError raised by it is the answer.

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

    def give_up(target: Future[Answer]) -> None:
        if target.cancelled():
            stop()

    target.add_done_callback(give_up)
    source.add_done_callback(done)
