"""Executes one run: its rows are sampled, graded and stored, some at a time.

A row takes two steps, each with a commit: its sample, which may have cost money, and then its results. After a crash
the run continues, and only questions about the rows in flight are repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from graders.ask import SampleAsk, SampleReply, unwrap
from graders.engine.backends import Backends
from graders.errors import GradeError, Interrupted, ModelStop
from graders.evals.criteria import (
    Criterion,
    compile_criteria,
    model_usage,
    results_text,
    status_of,
)
from graders.evals.journal import GradedRow, Journal
from graders.evals.prompts import Message
from graders.evals.samples import error_object, shown_sample
from graders.evals.service import has_samples, item_schema
from graders.evals.sources import DataSource, SourceError, load_rows, read_source
from graders.jsontext import dumps, loads
from graders.row import Row
from graders.samples import Sample
from graders.shapes import read_sample
from graders.store import FinishedItem, ItemRecord, RunRecord, Store

T = TypeVar("T")

#: Rows that are read, or graded by local graders, at a time.
CHUNK = 512
#: Largest fraction of the rows in flight that waits for a commit.
WAITING_PART = 0.25


class RunExecution:
    """The execution of a run. Used on one event loop; the store and local criteria work on threads."""

    def __init__(
        self,
        store: Store,
        backends: Backends,
        run: RunRecord,
        *,
        threads: Executor,
        window: Callable[[], int],
    ) -> None:
        """
        Args:
            window: Returns the present bound of rows in flight.
        """
        self._store = store
        self._backends = backends
        self._run = run
        self._threads = threads
        self._window = window
        self._source: DataSource
        self._criteria: tuple[Criterion, ...] = ()
        self._asking: tuple[Criterion, ...] = ()
        # for rows without a sample: reading it is an error, so evals of items alone work
        self._no_sample = read_sample(None)
        self._tasks: set[asyncio.Task[bool]] = set()
        # started rows that are not committed, whose questions a crash would repeat
        self._under_way = 0
        self._room = asyncio.Event()
        self._journal = Journal(
            self._on_thread,
            keep_samples=lambda samples, usage: store.items.sampled(run.number, samples, usage),
            finish=self._finish,
            committed=self._rows_over,
        )
        self._stop: GradeError | None = None
        self._called_off = False

    async def execute(self) -> None:
        """Execute until the run has ended or is cancelled."""
        if not await self._on_thread(self._store.runs.start, self._run.number):
            return
        try:
            await self._on_thread(self._prepare)
            await self._execute_rows()
        except SourceError as error:
            await self._end("failed", {"code": error.code, "message": str(error)})
        except asyncio.CancelledError:
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            await self._end("failed", {"code": "internal_error", "message": message})
            raise
        else:
            if self._stop is not None:
                await self._end("failed", error_object(self._stop))
            elif not self._called_off:
                await self._end("completed")

    def cancel(self) -> None:
        """Start no more rows, and cancel those in flight. Answers that are complete are stored."""
        self._called_off = True
        self._room.set()
        for task in self._tasks:
            task.cancel()

    async def _on_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _end(self, status: str, error: Mapping[str, str] | None = None) -> None:
        text = None if error is None else dumps(error).decode()
        await self._on_thread(self._store.runs.end, self._run.number, status, text)

    def _prepare(self) -> None:
        """Compile criteria and prompt, and load the rows into the store."""
        record = self._store.evals.get(self._run.eval_id)
        if record is None:
            raise SourceError("the eval has been deleted")
        self._source = read_source(loads(self._run.data_source.encode()), self._backends.options.values)
        self._criteria = compile_criteria(record.testing_criteria, self._backends)
        self._asking = tuple(one for one in self._criteria if not one.is_local)
        if not has_samples(record):
            self._no_sample = Sample()
        if self._run.n_rows is None:
            load_rows(self._store, self._run.number, self._source, item_schema(record))

    # --- rows ---

    async def _execute_rows(self) -> None:
        """Execute all unfinished rows. Rows without asks are graded on the thread in whole chunks."""
        keeping = asyncio.create_task(self._journal.keep())
        keeping.add_done_callback(self._on_journal_end)
        try:
            after = -1
            while not self._has_ended:
                chunk = await self._on_thread(self._store.items.unfinished, self._run.number, after, CHUNK)
                if not chunk:
                    break
                after = chunk[-1].n
                if self._source.prompt is None and not self._asking:
                    await self._on_thread(self._finish, [self._own_sample(row) for row in chunk])
                else:
                    await self._start_rows(chunk)
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            keeping.cancel()
            await asyncio.shield(self._journal.commit())

    @property
    def _has_ended(self) -> bool:
        return self._called_off or self._stop is not None

    async def _start_rows(self, chunk: Sequence[ItemRecord]) -> None:
        for row in chunk:
            while self._under_way >= self._window() and not self._has_ended:
                self._room.clear()
                await self._room.wait()
            if self._has_ended:
                return
            self._under_way += 1
            task = asyncio.create_task(self._execute_row(row))
            self._tasks.add(task)
            task.add_done_callback(self._row_done)

    def _row_done(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # a bug: the row has not been stored, so it must not count as finished
            self._stop = self._stop or GradeError(f"{type(error).__name__}: {error}")
        if task.cancelled() or error is not None or not task.result():
            self._rows_over(1)

    def _rows_over(self, count: int) -> None:
        """Record that rows in flight were committed or cancelled."""
        self._under_way -= count
        self._room.set()

    def _on_journal_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # rows that could not be stored are not finished, and no further questions may be asked
            self._stop = self._stop or GradeError(f"the store cannot be written: {error}")
            self._room.set()

    def _own_sample(self, row: ItemRecord) -> GradedRow:
        """A row with its own sample, or none."""
        item = loads(row.item.encode())
        try:
            sample = self._no_sample if row.sample is None else read_sample(loads(row.sample.encode()))
        except GradeError as error:
            return self._failed(row.n, item, error, shown_sample(error=error))
        shown = row.shown or dumps(shown_sample(sample=None if row.sample is None else sample)).decode()
        return GradedRow(row.n, item, sample, shown, {})

    def _failed(
        self, n: int, item: Mapping[str, Any], error: GradeError, shown: Mapping[str, Any]
    ) -> GradedRow:
        """A row without a gradable sample: an error by every criterion."""
        outcomes = {one.place: one.failed(error) for one in self._criteria}
        return GradedRow(n, item, read_sample(None), dumps(shown).decode(), outcomes)

    async def _execute_row(self, row: ItemRecord) -> bool:
        """Sample and grade a row; returns whether it is to be committed."""
        try:
            samples = self._source.prompt is not None and row.sample is None
            graded = await self._sample(row) if samples else self._own_sample(row)
            if not graded.outcomes and self._asking:
                await self._ask(graded)
        except Interrupted:
            return False
        self._journal.add_row(graded, WAITING_PART * self._window())
        return True

    async def _ask(self, graded: GradedRow) -> None:
        """Grade by all criteria with asks, concurrently.

        Raises:
            Interrupted: the questions were cancelled.
        """
        asked = (one.grader.arun(graded.sample, graded.item, id=str(graded.n)) for one in self._asking)
        results = await asyncio.gather(*asked)
        failures = [failure for result in results for failure in result.failures]
        if called_off := next((one for one in failures if isinstance(one, Interrupted)), None):
            raise called_off
        # a judge's endpoint refuses the key or has no quota left, so no later row can be graded
        self._stop = self._stop or next((one for one in failures if isinstance(one, ModelStop)), None)
        row = Row(graded.sample, graded.item)
        for criterion, result in zip(self._asking, results, strict=True):
            graded.outcomes[criterion.place] = criterion.outcome(result, row)

    async def _sample(self, row: ItemRecord) -> GradedRow:
        """The row with the model's answer.

        Raises:
            Interrupted: the question was cancelled.
        """
        source = self._source
        assert source.prompt is not None
        assert source.model is not None
        item = loads(row.item.encode())
        messages: list[Message] = []
        try:
            messages = source.prompt.messages(item)
            ask = SampleAsk(source.model, tuple(messages), source.sampling)
            reply = unwrap((await self._backends.afetch([ask]))[0], SampleReply)
            sample = read_sample(reply.completion)
        except Interrupted:
            raise
        except GradeError as error:
            if isinstance(error, ModelStop):
                self._stop = self._stop or error
            if error.usage is not None:
                self._journal.add_usage(model_usage(error.model or source.model, "sampler", error.usage))
            shown = shown_sample(messages=messages, sampling=source.sampling, error=error)
            return self._failed(row.n, item, error, shown)
        shown = shown_sample(
            sample=sample,
            messages=messages,
            sampling=source.sampling,
            finish_reason=reply.finish_reason or None,
            usage=reply.usage,
        )
        text = dumps(shown).decode()
        self._journal.add_sample(row.n, dumps(reply.completion).decode(), text)
        self._journal.add_usage(model_usage(reply.model, "sampler", reply.usage))
        return GradedRow(row.n, item, sample, text, {})

    def _finish(self, rows: Sequence[GradedRow]) -> None:
        """Grade by the local criteria, over all rows at once, and store the results."""
        for criterion in self._criteria:
            if criterion.is_local:
                due = [row for row in rows if criterion.place not in row.outcomes]
                results = criterion.grader.run_batch(criterion.batch_row(row.sample, row.item) for row in due)
                for row, result in zip(due, results, strict=True):
                    row.outcomes[criterion.place] = criterion.outcome(result)
        now = int(time.time())
        finished, usage = [], []
        for row in rows:
            outcomes = [row.outcomes[one.place] for one in self._criteria]
            scores = tuple(one.score for one in outcomes)
            finished.append(
                FinishedItem(row.n, now, status_of(scores), row.shown, results_text(outcomes), scores)
            )
            usage += [one for outcome in outcomes for one in outcome.usage]
        self._store.items.finish(self._run.number, finished, usage)
