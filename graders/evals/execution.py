"""One run, executed: its rows are sampled, graded and kept, some at a time.

A row takes two steps, each kept by a commit: its sample, which may have cost money, and then its results. Whatever
ends the process, the run goes on where it was, and at most the rows that were under way are asked about again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from graders.ask import SampleAsk, SampleReply, unwrap
from graders.engine.backends import Backends
from graders.errors import GradeError, Interrupted, ModelStop
from graders.evals.criteria import (
    Criterion,
    Outcome,
    compile_criteria,
    model_usage,
    results_text,
    status_of,
)
from graders.evals.prompts import Message
from graders.evals.samples import error_object, shown_sample
from graders.evals.service import has_samples, item_schema
from graders.evals.sources import DataSource, SourceError, load_rows, read_source
from graders.jsontext import dumps, loads
from graders.row import Row
from graders.samples import Sample
from graders.shapes import read_sample
from graders.store import FinishedItem, ItemRecord, ModelUsage, RunRecord, Store

T = TypeVar("T")

CHUNK = 512  # rows read, or kept, at a time
COMMIT_S = 0.05  # between commits: what is finished within it is kept together


@dataclass(slots=True)
class GradedRow:
    """A row whose answers are there: the criteria that ask nobody are still to come.

    Attributes:
        shown: The wire's sample, as JSON text.
        outcomes: By the criterion's place.
    """

    n: int
    item: Mapping[str, Any]
    sample: Sample
    shown: str
    outcomes: dict[int, Outcome]


class Execution:
    """A run under way. Used on one event loop; the store and local criteria work on threads."""

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
            window: How many rows may be under way now.
        """
        self._store = store
        self._backends = backends
        self._run = run
        self._threads = threads
        self._window = window
        self._source: DataSource
        self._criteria: tuple[Criterion, ...] = ()
        self._asking: tuple[Criterion, ...] = ()
        # of a row that brings none: an error for whoever reads it, unless the eval is one of items alone
        self._no_sample = read_sample(None)
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._samples: list[tuple[int, str, str]] = []
        self._usage: list[ModelUsage] = []
        self._graded: list[GradedRow] = []
        self._stop: GradeError | None = None
        self._called_off = False

    async def execute(self) -> None:
        """Until the run has ended, or is called off."""
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

    def call_off(self) -> None:
        """Start nothing more, and give up what is under way. What has been answered is kept."""
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
        """Compile what is compiled once, and bring the rows into the store."""
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
        """All rows that are not finished. Those that ask nobody go to the thread in whole chunks."""
        keeping = asyncio.create_task(self._keep())
        try:
            after = -1
            while not self._ended:
                chunk = await self._on_thread(self._store.items.unfinished, self._run.number, after, CHUNK)
                if not chunk:
                    break
                after = chunk[-1].n
                if self._source.prompt is None and not self._asking:
                    await self._on_thread(self._finish, [self._brought(row) for row in chunk])
                else:
                    await self._start_rows(chunk)
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            keeping.cancel()
            await asyncio.shield(self._commit())

    @property
    def _ended(self) -> bool:
        return self._called_off or self._stop is not None

    async def _start_rows(self, chunk: Sequence[ItemRecord]) -> None:
        for row in chunk:
            while len(self._tasks) >= self._window():
                self._room.clear()
                await self._room.wait()
            if self._ended:
                return
            task = asyncio.create_task(self._execute_row(row))
            self._tasks.add(task)
            task.add_done_callback(self._row_done)

    def _row_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # a bug: nothing of the row has been kept, so it must not pass for finished
            self._stop = self._stop or GradeError(f"{type(error).__name__}: {error}")

    def _brought(self, row: ItemRecord) -> GradedRow:
        """A row with the sample that it brought, or none."""
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
        """A row without a sample that could be graded: an error by every criterion."""
        outcomes = {one.place: one.failed(error) for one in self._criteria}
        return GradedRow(n, item, read_sample(None), dumps(shown).decode(), outcomes)

    async def _execute_row(self, row: ItemRecord) -> None:
        try:
            samples = self._source.prompt is not None and row.sample is None
            graded = await self._sample(row) if samples else self._brought(row)
            if not graded.outcomes and self._asking:
                await self._ask(graded)
        except Interrupted:
            return
        self._graded.append(graded)

    async def _ask(self, graded: GradedRow) -> None:
        """Grade by the criteria that ask somebody, all at once.

        Raises:
            Interrupted: the questions were called off.
        """
        asked = (one.grader.arun(graded.sample, graded.item, id=str(graded.n)) for one in self._asking)
        results = await asyncio.gather(*asked)
        failures = [failure for result in results for failure in result.failures]
        if called_off := next((one for one in failures if isinstance(one, Interrupted)), None):
            raise called_off
        # a judge's endpoint refuses the key or has no quota left: no later row can be graded
        self._stop = self._stop or next((one for one in failures if isinstance(one, ModelStop)), None)
        row = Row(graded.sample, graded.item)
        for criterion, result in zip(self._asking, results, strict=True):
            graded.outcomes[criterion.place] = criterion.outcome(result, row)

    async def _sample(self, row: ItemRecord) -> GradedRow:
        """The row with the model's answer.

        Raises:
            Interrupted: the question was called off.
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
                self._usage.append(model_usage(error.model or source.model, "sampler", error.usage))
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
        self._samples.append((row.n, dumps(reply.completion).decode(), text))
        self._usage.append(model_usage(reply.model, "sampler", reply.usage))
        return GradedRow(row.n, item, sample, text, {})

    # --- keeping ---

    async def _keep(self) -> None:
        """Commit what is there, again and again."""
        while True:
            await asyncio.sleep(COMMIT_S)
            await asyncio.shield(self._commit())

    async def _commit(self) -> None:
        samples, self._samples = self._samples, []
        usage, self._usage = self._usage, []
        graded, self._graded = self._graded, []
        if samples or usage:
            await self._on_thread(self._store.items.sampled, self._run.number, samples, usage)
        for start in range(0, len(graded), CHUNK):
            await self._on_thread(self._finish, graded[start : start + CHUNK])

    def _finish(self, rows: Sequence[GradedRow]) -> None:
        """Grade by the criteria that ask nobody, over all rows at once, and keep the results."""
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
