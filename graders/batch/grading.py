"""The loop over the rows of a run: in this process, in worker processes or through judges; and when it gives up."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from graders.batch.chunks import RowChunk, Workers, cut, subset
from graders.batch.progress import Progress, Run, Stop
from graders.batch.selection import Selection
from graders.datasets.dataset import Dataset
from graders.datasets.ids import IdAssigner, has_question, shared_items
from graders.datasets.rows import Chunk, DataError, DataRow, UnreadableRow
from graders.errors import GradeError, Interrupted, ModelServerError, ModelStop, PythonServerError
from graders.fields import map_options
from graders.portable import available_cpus
from graders.results.lines import LineWriter, ResultChunk, Tally, WorkersLost
from graders.results.read import ResultsError
from graders.results.write import Writer

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.result import RunResult

_log = logging.getLogger(__name__)

#: Consecutive rows that fail for infrastructure reasons before the run stops.
STOP_AFTER = 50
#: Seconds between two calls of the progress function.
PROGRESS_S = 0.2
#: Seconds of local graders' work between two writes.
PART_S = 0.5
#: Seconds of a row. A cheaper one is graded faster here than in another process.
WORKERS_ROW_S = 0.0003
#: Seconds of work left below which starting processes (about 0.5 s) does not pay.
WORKERS_LEFT_S = 4.0


class DatasetRun:
    """The grading of one dataset by one grader into an open results file."""

    def __init__(
        self,
        grader: Grader,
        dataset: Dataset,
        selection: Selection,
        writer: Writer,
        texts: bool,
        jobs: int | None,
        merge: bool | None,
        workers: Workers | None,
        progress: Callable[[Progress], None] | None,
        stop: Stop | None,
        narrow_enough: Callable[[], bool],
    ) -> None:
        self.grader, self.dataset, self.writer = grader, dataset, writer
        self.selection = selection
        self.jobs, self.merge, self.workers = jobs, merge, workers
        self.progress, self.stop, self.narrow_enough = progress, stop, narrow_enough
        self.is_narrow = False
        if stop is not None:
            stop.cancel_judges = grader.backends.interrupt
        self.lines = LineWriter(grader, dataset.field_map, texts=texts, merge=merge)
        self.id_assigner = IdAssigner(dataset.field_map, writer.id_scheme)
        self.before = len(writer.done)
        # rows of the data that were in the file before
        self.found = 0
        # fraction of the data that has been read; None when unknown
        self.read: float | None = 0.0
        self.infrastructure_failures = 0
        self.started = time.monotonic()

    def run(self) -> Run:
        _log.info("%s (%s) on %s", self.grader.name, self.grader.type, self.dataset.data.name)
        broken, complete = "", False
        try:
            with self.writer, self._ticking():
                self._grade()
                complete = self.stop is None or not self.stop.requested
        except KeyboardInterrupt:
            if self.stop is None:
                raise
        except ModelStop as error:
            broken = f"a judge cannot be asked any more: {error}"
        except (WorkersLost, ResultsError, DataError) as error:
            broken = str(error)
        if self.progress:
            self.progress(self._progress())
        _log.info("%s: %s", self.writer.path, self._progress())
        return Run(
            self.writer.path,
            self.writer.tally,
            self._graded(),
            self.before - self.found if complete and not self.is_narrow and self.selection.is_whole else 0,
            time.monotonic() - self.started,
            not complete and not broken,
            broken,
            (*self.writer.notes, *self._shared_items(), *self._map_options()),
            self.infrastructure_failures,
            self._cost(),
            self.is_narrow,
        )

    def _grade(self) -> None:
        if self.workers is not None:
            self._grade_with_workers(self.workers, self._parts())
        elif self.grader.kind.n_asks:
            self._ask()
        else:
            with _no_collector():
                self._local()

    def _stopped(self) -> bool:
        self.is_narrow = self.is_narrow or self.narrow_enough()
        return self.is_narrow or (self.stop is not None and self.stop.requested)

    def _shared_items(self) -> Iterator[str]:
        question = has_question(self.dataset.first, self.dataset.field_map)
        if note := shared_items(self.id_assigner, question):
            yield note

    def _map_options(self) -> Iterator[str]:
        options = map_options(self.dataset.first, self.dataset.field_map, self.dataset.wanted)
        if self.writer.tally.failed and options:
            yield f"the items lack what the spec names; this may give it to them: {options}"

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Call the progress function from a thread, so that it is also called while the run waits."""
        progress = self.progress
        if progress is None:
            yield
            return
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(PROGRESS_S):
                progress(self._progress())

        thread = threading.Thread(target=tick, name="graders-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(1)

    def _progress(self) -> Progress:
        tally = self.writer.tally
        total = self.selection.total(self.dataset.data.total)
        estimated = total is None and bool(self.read) and self.selection.is_whole
        if estimated and self.read:
            total = max(tally.rows, int(len(self.id_assigner) / self.read))
        return Progress(
            rows=tally.rows,
            failed=tally.failed,
            graded=self._graded(),
            total=total,
            seconds=time.monotonic() - self.started,
            tokens=sum(prompt + completion for prompt, completion in tuple(tally.tokens.values())),
            cost=self._cost(),
            estimated=estimated,
        )

    def _graded(self) -> int:
        return self.writer.tally.rows - self.before

    def _cost(self) -> float | None:
        judged = self.workers is None and self.writer.tally.tokens
        totals = getattr(self.grader.backends.models, "totals", None) if judged else None
        cost: float | None = getattr(totals, "cost", None)
        return cost

    def _parts(self) -> Iterator[RowChunk]:
        """The rows that are not graded yet, with their ids."""
        for chunk, ids in self.selection.of(self._named()):
            if self._stopped():
                return
            if self.before:
                chunk, ids = self._missing(chunk, ids)
            if ids:
                yield chunk, ids

    def _named(self) -> Iterator[RowChunk]:
        for chunk in self.dataset.chunks:
            self.read = self.dataset.data.fraction()
            yield chunk, self.id_assigner.names(chunk)

    def _missing(self, chunk: Chunk, ids: list[str]) -> RowChunk:
        done = self.writer.done.contains(ids)
        self.found += sum(done)
        return subset(chunk, ids, [place for place, there in enumerate(done) if not there])

    def _local(self) -> None:
        """Grade in this process, for local graders, until worker processes would be faster."""
        row_s = 0.0
        parts = self._parts()
        for chunk, ids in parts:
            start = 0
            while start < len(ids):
                if self._stopped():
                    return
                left = len(ids) - start
                n = left if row_s * left <= PART_S else max(1, int(PART_S / row_s))
                part = (chunk, ids) if n == len(ids) else subset(chunk, ids, range(start, start + n))
                # the thread's own time, so that other work on this machine does not count
                before = time.thread_time()
                piece = self.lines.grade(*part)
                row_s = (time.thread_time() - before) / len(part[1])
                self.writer.append(piece)
                if piece.tally.failed:
                    # exceptions and the frames in their tracebacks keep each other alive
                    gc.collect(0)
                start += n
                if row_s > WORKERS_ROW_S and self._many_left(row_s) and (workers := self._processes()):
                    rest = subset(chunk, ids, range(start, len(ids)))
                    with workers:
                        self._grade_with_workers(
                            workers, cut(chain((rest,), parts), max(1, int(PART_S / row_s)))
                        )
                    return
            # freed before the next rows are read, which then reuse their memory in the cache
            chunk.rows.clear()

    def _many_left(self, row_s: float) -> bool:
        total = self._progress().total
        return total is None or (total - self.writer.tally.rows) * row_s > WORKERS_LEFT_S

    def _processes(self) -> Any:
        from graders.batch.workers import Processes

        n = self.jobs or available_cpus()
        return Processes(n) if n > 1 else None

    def _grade_with_workers(self, workers: Workers, parts: Iterator[RowChunk]) -> None:
        for piece in workers.grade(self.lines, parts):
            self.writer.append(piece)
            if piece.stopped:
                raise ModelStop(piece.stopped)

    def _ask(self) -> None:
        """Grade with judges or the sandbox: a window of rows in flight, each written when it is ready."""
        under_way: dict[str, tuple[DataRow, bytes | None]] = {}

        def feed() -> Iterator[Mapping[str, Any]]:
            for chunk, ids in self._parts():
                for row_id, row, raw in zip(ids, chunk.rows, chunk.raw or repeat(None), strict=False):
                    if self._stopped():
                        return
                    if isinstance(row, UnreadableRow):
                        tally = Tally()
                        self.writer.append(ResultChunk(self.lines.unreadable(row_id, row, tally), tally))
                        continue
                    under_way[row_id] = (row, raw)
                    yield self.lines.fields(row_id, row)

        window = self.jobs or self.lines.window(self.dataset.first)
        for result in self.grader.run_batch(feed(), merge=self.merge, window=window, in_order=False):
            row = under_way.pop(result.id)
            if any(isinstance(failure, Interrupted) for failure in result.failures):
                continue
            tally = Tally()
            line = self.lines.line(result.id, *row, result, tally)
            self.writer.append(ResultChunk(line, tally))
            self._count_infrastructure(result)

    def _count_infrastructure(self, result: RunResult) -> None:
        """Stop the run after STOP_AFTER consecutive infrastructure failures: grading the rest would be futile."""
        if not any(map(_is_infrastructure, result.failures)):
            self.infrastructure_failures = 0
            return
        self.infrastructure_failures += 1
        if self.infrastructure_failures >= STOP_AFTER:
            raise WorkersLost(
                f"the last {STOP_AFTER} rows all failed for no fault of theirs: {result.failures[0]}"
            )


@contextmanager
def _no_collector() -> Iterator[None]:
    """Pause the garbage collector, which costs a fifth of a run: rows are trees, freed by their reference counts."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _is_infrastructure(failure: GradeError) -> bool:
    if isinstance(failure, PythonServerError):
        return failure.infrastructure
    return isinstance(failure, ModelServerError)
