"""One dataset through one grader, from file to file.

    run = grade_dataset(spec, "answers.jsonl", "results.jsonl", resume=True)
    run.tally.rows, run.interrupted, run.broken

Graders that ask nobody are run in this process, a chunk of rows at a time and over columns where the rows are plain;
where a row costs more than sending it away, in worker processes. The others go through `Grader.run_batch`, which keeps
rows under way in the sandbox and at the judges, each within its own limits; their results are written one by one as
they are ready, since each of them cost something.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from graders.datasets.dataset import Dataset, open_dataset
from graders.datasets.ids import ID_SCHEME, IdAssigner, has_question, shared_items
from graders.datasets.read import open_data
from graders.datasets.rows import Chunk, DataError, DataRow, Unreadable
from graders.engine.compile import compile
from graders.engine.grader import digest
from graders.errors import GradeError, Interrupted, ModelServerError, ModelStop, PythonServerError
from graders.portable import available_cpus
from graders.results.lines import Broken, LineWriter, ResultChunk, Tally
from graders.results.read import Header, ResultsError
from graders.results.write import Writer
from graders.template import Template

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.engine.grader import Grader
    from graders.result import RunResult

#: How long an interrupted run waits for judges; what they would have answered later is asked again on resume.
JUDGES_S = 0.25
DRAIN_S = 20.0  # how long an interrupted run waits for what is under way; Kubernetes kills after 30
STOP_AFTER = 50  # rows in a row that fail without the sample's doing: then it is the machinery that is broken
PROGRESS_S = 0.2  # between two calls of the progress function
PART_S = 0.5  # of work of local graders between two writes
WORKERS_ROW_S = 0.0003  # a row that costs less is graded sooner than sent to another process
WORKERS_LEFT_S = 4.0  # of work left, below which starting processes (about 0.5 s) does not pay

#: Rows, and their ids.
RowChunk: TypeAlias = tuple[Chunk, list[str]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        rows: Rows in the results file, those of earlier runs included.
        failed: Those of them with a flag.
        graded: Rows graded by this run.
        total: Rows of the data: known, or estimated from how much has been read; None when neither is possible.
        seconds: Since the run began.
        tokens: Judges' tokens in the results file, prompts and answers.
        cost: What judges cost in this run, by the [prices] table; None without prices.
    """

    rows: int
    failed: int
    graded: int
    total: int | None
    seconds: float
    tokens: int
    cost: float | None

    @property
    def left_s(self) -> float | None:
        """Seconds to go at the rate so far; None when that cannot be told."""
        if self.total is None or not self.graded:
            return None
        return max(0, self.total - self.rows) * self.seconds / self.graded


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended.

    Attributes:
        tally: Counts over the whole results file, rows of earlier runs included.
        graded: Rows graded by this run.
        unmatched_rows: Rows of the file that the data does not have.
        seconds: How long it took.
        interrupted: Whether it was told to stop; what is missing can be graded with `resume`.
        broken: Why it stopped of itself; "" when it did not. What was graded is in the file.
        infrastructure_failures: Rows at its end that failed only because judge or sandbox did: for `retry_failed`.
        notes: What the user should know beside that.
        cost: What judges cost in this run, by the [prices] table; None without prices.
        narrow_enough: Whether it ended before the data did, since `until_width` was reached.
    """

    tally: Tally
    graded: int
    unmatched_rows: int
    seconds: float
    interrupted: bool
    broken: str
    notes: tuple[str, ...]
    infrastructure_failures: int = 0
    cost: float | None = None
    narrow_enough: bool = False


class Stop:
    """Ctrl-C and SIGTERM, taken as "finish what is under way, then stop"; a second one, or DRAIN_S, stops at once.

    As a context manager it installs itself, in the main thread only. A program may set `requested` itself.

    Attributes:
        cancel_judges: What ends the questions to judges that are still under way after JUDGES_S.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self.requested = False
        self._say = say
        self._old: dict[int, Any] = {}
        self.cancel_judges: Callable[[], object] = lambda: None
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *exc: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._say("stopping: waiting for the rows under way; once more stops at once")
        self._timers = [
            threading.Timer(JUDGES_S, self.cancel_judges),
            threading.Timer(DRAIN_S, os.kill, (os.getpid(), signal.SIGINT)),
        ]
        for timer in self._timers:
            timer.daemon = True
            timer.start()


class Workers(Protocol):
    """Whoever grades parts elsewhere: processes of this machine (workers.py), a cluster (ray.py)."""

    def grade(self, lines: LineWriter, parts: Iterator[RowChunk]) -> Iterator[ResultChunk]:
        """The parts, graded, in any order; takes as many at once as keep it busy."""
        ...


def grade_dataset(
    spec: object,
    data: object,
    output: str,
    *,
    resume: bool = False,
    retry_failed: bool = False,
    force: bool = False,
    sample_field: str | None = None,
    item_field: str | None = None,
    id_field: str | None = None,
    format: str | None = None,
    texts: bool = True,
    jobs: int | None = None,
    merge: bool | None = None,
    backends: Backends | None = None,
    workers: Workers | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
    until_width: float | None = None,
) -> Run:
    """Grade every row of a dataset that the results file does not have yet.

    Args:
        spec: As `graders.compile` takes it.
        data: A path, "-" for standard input, or an iterable of mappings (see `open_data`).
        output: The results file; "-" is standard output.
        resume: Go on with a file that is there.
        retry_failed: As resume, and grade the failed rows again.
        force: Overwrite a file that is there.
        sample_field, item_field, id_field: Where rows keep these; None: by the hosted shapes (see `detect_fields`).
        format: The data's format; None: by the file's ending.
        texts: Whether result lines carry their data row.
        jobs: Rows under way at once at judges and sandbox; for graders that ask nobody, processes. None: enough to
            keep everything busy.
        merge: As in `Grader.run_batch`.
        backends: As in `graders.compile`.
        workers: Who grades, when not this process.
        progress: Called a few times a second, from a thread of its own, and once in the end.
        stop: Asked between rows whether to end; without it Ctrl-C raises KeyboardInterrupt, as everywhere.
        until_width: Stop when the 95 % interval of the mean is at most so wide. The interval allows for having been
            looked at on the way. Rows are taken in the data's order, which should be a random one.

    Raises:
        SpecError, DataError, ResultsError: before the first row: the spec is not valid, the data cannot be read,
            the results cannot be written or are another run's. What breaks later is in `Run.broken`.
    """
    grader = compile(spec, backends=backends)
    dataset = open_dataset(
        open_data(data, format),
        sample=sample_field,
        item=item_field,
        row_id=id_field,
        samples=reads_sample(grader.spec.to_json()),
    )
    header = header_of(grader, dataset, texts=texts, merge=merge, until_width=until_width)
    writer = Writer(output, header, resume=resume, retry_failed=retry_failed, force=force)
    narrow_enough = _watcher(output, until_width)
    return _Batch(grader, dataset, writer, texts, jobs, merge, workers, progress, stop, narrow_enough).run()


def _watcher(output: str, until_width: float | None) -> Callable[[], bool]:
    if until_width is None:
        return lambda: False
    # here, since statistics need numpy
    from graders.stats.sequential import WidthWatcher

    return WidthWatcher(output, until_width).look


def header_of(
    grader: Grader, dataset: Dataset, *, texts: bool, merge: bool | None, until_width: float | None = None
) -> Header:
    """The header of this grader's results on this dataset."""
    field_map = dataset.field_map
    spec = grader.spec.to_json()
    options = grader.backends.options
    return Header(
        digest=digest(spec),
        spec=spec,
        name=grader.name,
        type=grader.type,
        engine=str(grader.identity.provenance["engine"]),
        data=dataset.data.name,
        provenance=dict(grader.identity.provenance),
        options={
            "fields": {"sample": field_map.sample, "item": field_map.item, "id": field_map.id},
            "texts": texts,
            "merge": merge,
            "ids": ID_SCHEME,
            "question": has_question(dataset.first, field_map),
            "values": options.values,
            "steps": options.judge_steps,
            **({} if until_width is None else {"until_width": until_width}),
        },
    )


def reads_sample(spec: Any) -> bool:
    """Whether a grader of this spec's JSON needs the model's output: a template names it, or it is a program."""
    if isinstance(spec, Mapping):
        return spec.get("type") == "python" or any(map(reads_sample, spec.values()))
    if isinstance(spec, list):
        return any(map(reads_sample, spec))
    return isinstance(spec, str) and any(path.namespace == "sample" for path in Template(spec).paths)


class _Batch:
    def __init__(
        self,
        grader: Grader,
        dataset: Dataset,
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
        self.jobs, self.merge, self.workers = jobs, merge, workers
        self.progress, self.stop, self.narrow_enough = progress, stop, narrow_enough
        self.is_narrow = False
        if stop is not None:
            stop.cancel_judges = grader.backends.interrupt
        self.lines = LineWriter(grader, dataset.field_map, texts=texts, merge=merge)
        self.id_assigner = IdAssigner(dataset.field_map, writer.id_scheme)
        self.before = len(writer.done)
        self.found = 0  # rows of the data that the file had already
        self.read: float | None = 0.0  # how much of the data has been read
        self.infrastructure_failures = 0  # rows in a row that failed without the sample's doing
        self.started = time.monotonic()

    def run(self) -> Run:
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
        except (Broken, ResultsError, DataError) as error:
            broken = str(error)
        if self.progress:
            self.progress(self._progress())
        return Run(
            self.writer.tally,
            self._graded(),
            self.before - self.found if complete and not self.is_narrow else 0,
            time.monotonic() - self.started,
            not complete and not broken,
            broken,
            (*self.writer.notes, *self._shared_items()),
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

    # --- progress ---------------------------------------------------------------------------------------------

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Tell the progress function from a thread, so that it hears of a run that waits as well."""
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
        total = self.dataset.data.total
        if total is None and self.read:
            total = max(tally.rows, int(len(self.id_assigner) / self.read))
        return Progress(
            rows=tally.rows,
            failed=tally.failed,
            graded=self._graded(),
            total=total,
            seconds=time.monotonic() - self.started,
            tokens=sum(prompt + completion for prompt, completion in tuple(tally.tokens.values())),
            cost=self._cost(),
        )

    def _graded(self) -> int:
        return self.writer.tally.rows - self.before

    def _cost(self) -> float | None:
        judged = self.workers is None and self.writer.tally.tokens
        totals = getattr(self.grader.backends.models, "totals", None) if judged else None
        cost: float | None = getattr(totals, "cost", None)
        return cost

    # --- rows -------------------------------------------------------------------------------------------------

    def _parts(self) -> Iterator[RowChunk]:
        """The rows that are still to be graded, with their ids."""
        for chunk in self.dataset.chunks:
            if self._stopped():
                return
            self.read = self.dataset.data.fraction()
            ids = self.id_assigner.names(chunk)
            if self.before:
                chunk, ids = self._missing(chunk, ids)
            if ids:
                yield chunk, ids

    def _missing(self, chunk: Chunk, ids: list[str]) -> RowChunk:
        done = self.writer.done.contains(ids)
        self.found += sum(done)
        return _some(chunk, ids, [place for place, there in enumerate(done) if not there])

    def _local(self) -> None:
        """Graders that ask nobody, here, as long as nothing else is quicker."""
        row_s = 0.0
        parts = self._parts()
        for chunk, ids in parts:
            start = 0
            while start < len(ids):
                if self._stopped():
                    return
                left = len(ids) - start
                n = left if row_s * left <= PART_S else max(1, int(PART_S / row_s))
                part = (chunk, ids) if n == len(ids) else _some(chunk, ids, range(start, start + n))
                before = time.thread_time()  # what others do on this machine does not count
                piece = self.lines.grade(*part)
                row_s = (time.thread_time() - before) / len(part[1])
                self.writer.append(piece)
                if piece.tally.failed:
                    gc.collect(0)  # errors keep the frames they went through, which keep the errors
                start += n
                if row_s > WORKERS_ROW_S and self._many_left(row_s) and (workers := self._processes()):
                    rest = _some(chunk, ids, range(start, len(ids)))
                    with workers:
                        self._grade_with_workers(
                            workers, cut(chain((rest,), parts), max(1, int(PART_S / row_s)))
                        )
                    return
            chunk.rows.clear()  # freed before the next ones are made, which then take their place in the cache

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
        """Graders that ask: a window of rows under way, each written when it is ready."""
        under_way: dict[str, tuple[DataRow, bytes | None]] = {}
        cut_off: list[DataError] = []

        def feed() -> Iterator[Mapping[str, Any]]:
            try:
                for chunk, ids in self._parts():
                    for id, row, raw in zip(ids, chunk.rows, chunk.raw or repeat(None), strict=False):
                        if self._stopped():
                            return
                        if isinstance(row, Unreadable):
                            tally = Tally()
                            self.writer.append(ResultChunk(self.lines.unreadable(id, row, tally), tally))
                            continue
                        under_way[id] = (row, raw)
                        yield self.lines.fields(id, row)
            except DataError as error:  # first what is under way is waited for and written
                cut_off.append(error)

        window = self.jobs or self.lines.window(self.dataset.first)
        for result in self.grader.run_batch(feed(), merge=self.merge, window=window, in_order=False):
            row = under_way.pop(result.id)
            if any(isinstance(failure, Interrupted) for failure in result.failures):
                continue  # not graded: for the next run
            tally = Tally()
            line = self.lines.line(result.id, *row, result, tally)
            self.writer.append(ResultChunk(line, tally))
            self._count_infrastructure(result)
        if cut_off:
            raise cut_off[0]

    def _count_infrastructure(self, result: RunResult) -> None:
        """Stop when nothing but the machinery's own failures comes back: the rest would be wasted."""
        if not any(map(_is_infrastructure, result.failures)):
            self.infrastructure_failures = 0
            return
        self.infrastructure_failures += 1
        if self.infrastructure_failures >= STOP_AFTER:
            raise Broken(
                f"the last {STOP_AFTER} rows all failed for no fault of theirs: {result.failures[0]}"
            )


def _some(chunk: Chunk, ids: list[str], places: Sequence[int]) -> RowChunk:
    return chunk.some(places), [ids[place] for place in places]


def cut(parts: Iterator[RowChunk], most: int) -> Iterator[RowChunk]:
    """The same rows in parts of at most this many."""
    for chunk, ids in parts:
        for start in range(0, len(ids), most):
            yield _some(chunk, ids, range(start, min(start + most, len(ids))))


@contextmanager
def _no_collector() -> Iterator[None]:
    """Rows are trees, freed by their counts; looking for cycles among them costs a fifth of the run."""
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
