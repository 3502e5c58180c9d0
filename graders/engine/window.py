"""The window of a batch: the rows whose asks are in flight.

The asks of a few rows are submitted together, equal questions once where that is allowed. Rows are settled when their
answers are complete: in the order of the rows, or as they become ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol

from graders.ask import Answer, Ask, ModelAsk, without_usage
from graders.engine.backends import Backends
from graders.engine.futures import cancel
from graders.engine.rows import failure_of, id_of, in_chunks, row_of
from graders.errors import GradeError, ModelStop
from graders.result import RunResult
from graders.row import Row
from graders.spec.kind import Kind

#: Rows whose asks are submitted together.
CHUNK = 64
#: Answers to repeatable asks that a batch remembers.
MERGED = 8192


class RowGrader(Protocol):
    """The part of a Grader that a window uses."""

    kind: Kind
    backends: Backends

    def settle(self, row: Row, answers: Sequence[Answer], seconds: float) -> RunResult: ...

    def failed(self, error: GradeError, seconds: float, row_id: str) -> RunResult: ...


class Window:
    """At most `size` rows in flight.

    Args:
        merge: Whether equal questions to a judge are asked once: None where the spec makes them repeatable.
    """

    def __init__(self, grader: RowGrader, size: int, merge: bool | None) -> None:
        self._grader = grader
        self._size = size
        # refilled well before it drains, so that judges and sandbox always have work
        self._chunk_rows = max(1, min(CHUNK, size // 8))
        self._waiting: dict[int, PendingRow] = {}
        self._shared = SharedAnswers(merge)
        self._n_sent = 0

    def results(self, rows: Iterator[Mapping[str, Any]], *, in_order: bool) -> Iterator[RunResult]:
        """The results of all rows.

        Raises:
            ModelStop: a judge's endpoint can answer no later row. In order, the rows before that one have been
                yielded; else every result that was complete.
            Exception: whatever `rows` raises, once the rows before it have been yielded.
        """
        order = SubmissionOrder() if in_order else CompletionOrder()
        chunks = in_chunks(rows, self._chunk_rows)
        stop: Exception | None = None
        try:
            while True:
                if stop is None:
                    try:
                        self._fill(chunks, order)
                    except Exception as error:
                        stop = error
                if not self._waiting:
                    break
                pending = self._waiting.pop(order.next())
                if isinstance(pending.row, GradeError):
                    yield self._grader.failed(pending.row, 0.0, pending.row_id)
                    continue
                answers = pending.answers()
                stopped = next((answer for answer in answers if isinstance(answer, ModelStop)), None)
                if stopped is None:
                    yield self._grader.settle(pending.row, answers, pending.seconds)
                elif in_order:
                    raise stopped
                else:
                    stop = stop or stopped
            if stop:
                raise stop
        finally:
            # also when the caller stops early, or an interrupt arrives
            for pending in self._waiting.values():
                cancel(pending.futures)

    def _fill(self, chunks: Iterator[list[Mapping[str, Any]]], order: CompletionOrder) -> None:
        """Submit as many rows as there is room for."""
        while len(self._waiting) + self._chunk_rows <= self._size:
            chunk = next(chunks, None)
            if chunk is None:
                return
            for pending in self._send(chunk):
                self._waiting[self._n_sent] = pending
                order.add(self._n_sent, pending)
                self._n_sent += 1

    def _send(self, chunk: Sequence[Mapping[str, Any]]) -> Iterator[PendingRow]:
        """Submit the asks of a few rows together."""
        started = time.perf_counter()
        asked: list[tuple[Row | GradeError, Sequence[Ask | GradeError], str]] = []
        for fields in chunk:
            row_id = id_of(fields)
            try:
                row = row_of(fields, row_id)
                asks = self._grader.kind.ask(row)
            except Exception as error:
                asked.append((failure_of(error), (), row_id))
            else:
                asked.append((row, asks, row_id))
        sent = self._shared.submit([ask for _, asks, _ in asked for ask in asks], self._grader.backends)
        each = iter(sent)
        for row_or_error, asks, row_id in asked:
            yield PendingRow(row_or_error, list(islice(each, len(asks))), started, row_id)


class SharedAnswers:
    """Answers to mergeable questions: an equal question is not asked again while its answer is remembered."""

    def __init__(self, merge: bool | None) -> None:
        self._merge = merge
        self._answers: dict[Ask | GradeError, Future[Answer]] = {}

    def submit(
        self, asks: Sequence[Ask | GradeError], backends: Backends
    ) -> list[tuple[Future[Answer], bool]]:
        """For each ask, in order, its future, and whether that belongs to an equal ask before it."""
        # by position, since asks that may not be merged must not be compared
        new: dict[int, Ask | GradeError] = {}
        first: dict[Ask | GradeError, int] = {}
        futures: list[Future[Answer] | None] = [None] * len(asks)
        for place, ask in enumerate(asks):
            if not self._mergeable(ask):
                new[place] = ask
            elif ask in self._answers and _usable(self._answers[ask]):
                futures[place] = self._answers[ask]
            elif ask not in first:
                first[ask] = place
                new[place] = ask
        for place, future in zip(new, backends.submit(list(new.values())), strict=True):
            futures[place] = future
            if self._mergeable(new[place]):
                self._answers[new[place]] = future
        sent = [
            (future or self._answers[ask], place not in new)
            for place, (ask, future) in enumerate(zip(asks, futures, strict=True))
        ]
        while len(self._answers) > MERGED:
            del self._answers[next(iter(self._answers))]
        return sent

    def _mergeable(self, ask: Ask | GradeError) -> bool:
        return isinstance(ask, ModelAsk) and (ask.sampling.repeatable if self._merge is None else self._merge)


def _usable(answer: Future[Answer]) -> bool:
    """Whether it is in flight or holds a reply; a question that failed is asked again for the next row."""
    return not answer.done() or not (answer.cancelled() or isinstance(answer.result(), GradeError))


class PendingRow:
    """A row whose asks are in flight.

    Attributes:
        row: The row; a GradeError where its asks could not be made.
        seconds: Seconds from submitting its asks to the last answer; set then.
    """

    __slots__ = ("_merged", "_started", "futures", "row", "row_id", "seconds")

    def __init__(
        self,
        row: Row | GradeError,
        sent: Sequence[tuple[Future[Answer], bool]],
        started: float,
        row_id: str,
    ) -> None:
        """`sent`: the futures of its asks, each with whether it belongs to an equal ask of another row."""
        self.row = row
        self.futures = [future for future, _ in sent]
        self._merged = [at for at, (_, merged) in enumerate(sent) if merged]
        self.row_id = row_id
        self.seconds = 0.0
        self._started = started

    def answers(self) -> list[Answer]:
        """The answers, once all are complete. Usage is reported by the row whose ask was sent, and by no other."""
        answers = [future.result() for future in self.futures]
        for at in self._merged:
            answers[at] = without_usage(answers[at], "merged")
        return answers

    def when_done(self, then: Callable[[], object]) -> None:
        """Call `then` once, on the thread that sets the last answer."""
        left = iter(self.futures)

        def check(done: object = None) -> None:
            for future in left:
                if not future.done():
                    future.add_done_callback(check)
                    return
            self.seconds = time.perf_counter() - self._started
            then()

        check()


class CompletionOrder:
    """Positions of rows, in the order in which their answers are complete."""

    def __init__(self) -> None:
        self._ready: SimpleQueue[int] = SimpleQueue()

    def add(self, place: int, pending: PendingRow) -> None:
        pending.when_done(partial(self._ready.put, place))

    def next(self) -> int:
        """The next position; waits for it."""
        return self._ready.get()


class SubmissionOrder(CompletionOrder):
    """Positions of rows in their own order: 0, 1, 2 ..."""

    def __init__(self) -> None:
        super().__init__()
        self._early: set[int] = set()
        self._next = 0

    def next(self) -> int:
        place = self._next
        while place not in self._early:
            self._early.add(super().next())
        self._early.discard(place)
        self._next += 1
        return place
