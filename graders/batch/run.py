"""One dataset through one grader, from file to file.

Graders that ask nobody are run in this process, a chunk of rows at a time and over columns where the rows are plain.
The others go through `Grader.run_batch`, which keeps rows under way in the sandbox and at the judges, each within its
own limits; their results are written one by one, since each of them cost something.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from graders.batch.codec import dumps
from graders.batch.columns import GradeColumns, Graded, Uneven, columns_of
from graders.batch.ids import Namer
from graders.batch.read import Chunk, Data, DataError, DataRow, Unreadable, map_fields
from graders.batch.results import Header, Mapped, item_of, sample_of
from graders.batch.write import Tally, Writer
from graders.engine import WINDOW, digest
from graders.errors import GradeError, ModelServerError, ModelStop, PythonServerError, SampleParseError

if TYPE_CHECKING:
    from graders.engine import Grader
    from graders.result import RunResult

ROW_MAX_BYTES = 8 * 1024  # a data row larger than this is kept as an excerpt in the results
TEXT_MAX_CHARS = 1000  # of each text in an excerpt
LIST_MAX = 20  # elements of each list in an excerpt
DRAIN_S = 10.0  # how long an interrupted run waits for what is under way
STOP_AFTER = 50  # rows in a row that fail without the sample's doing: then it is the machinery that is broken
PROGRESS_S = 0.2  # between two calls of the progress function


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended.

    Attributes:
        tally: Counts over the whole results file, rows of earlier runs included.
        graded: Rows graded by this run.
        stray: Rows of the file that the data does not have.
        seconds: How long it took.
        interrupted: Whether it was told to stop; what is missing can be graded with `resume`.
        broken: Why it stopped of itself; "" when it did not.
        notes: What the user should know beside that.
    """

    tally: Tally
    graded: int
    stray: int
    seconds: float
    interrupted: bool
    broken: str
    notes: tuple[str, ...]


class Stop:
    """Ctrl-C and SIGTERM, taken as "finish what is under way, then stop"; a second one, or DRAIN_S, stops at once.

    As a context manager it installs itself, in the main thread only.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self.requested = False
        self._say = say
        self._old: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._say("stopping: waiting for the rows under way; once more stops at once")
        self._timer = threading.Timer(DRAIN_S, os.kill, (os.getpid(), signal.SIGINT))
        self._timer.daemon = True
        self._timer.start()


@dataclass(frozen=True, slots=True)
class Opened:
    """A dataset whose first rows have been seen.

    Attributes:
        mapped: Which fields hold sample, item and id.
        chunks: All of its rows, the first ones included.
    """

    data: Data
    mapped: Mapped
    chunks: Iterator[Chunk]


def look(data: Data, *, sample: str | None = None, item: str | None = None, id: str | None = None) -> Opened:
    """Read the first rows, to learn where samples, items and ids are.

    Raises:
        DataError: there is nothing readable in it, or the fields cannot be found.
    """
    chunks = data.chunks()
    seen: list[Chunk] = []
    for chunk in chunks:
        seen.append(chunk)
        row = next((row for row in chunk.rows if isinstance(row, dict)), None)
        if row is not None:
            return Opened(data, map_fields(row, sample=sample, item=item, id=id), chain(seen, chunks))
        if len(seen) > 3:
            break
    unreadable = next(
        (row.message for chunk in seen for row in chunk.rows if isinstance(row, Unreadable)), ""
    )
    raise DataError(f"{data.name} has no rows" + (f" that can be read: {unreadable}" if unreadable else ""))


def header_of(grader: Grader, opened: Opened, *, texts: bool, merge: bool | None) -> Header:
    """The header of this grader's results on this dataset."""
    mapped = opened.mapped
    spec = grader.spec.to_json()
    return Header(
        digest=digest(spec),
        spec=spec,
        name=grader.name,
        type=grader.type,
        engine=str(grader.identity.provenance["engine"]),
        data=opened.data.name,
        provenance=dict(grader.identity.provenance),
        options={
            "fields": {"sample": mapped.sample, "item": mapped.item, "id": mapped.id},
            "texts": texts,
            "merge": merge,
        },
    )


def grade_data(
    grader: Grader,
    opened: Opened,
    writer: Writer,
    *,
    texts: bool = True,
    jobs: int | None = None,
    merge: bool | None = None,
    progress: Callable[[Tally, int, float | None], None] = lambda tally, graded, fraction: None,
    stop: Stop | None = None,
) -> Run:
    """Grade every row of the dataset that the writer's file does not have yet.

    Args:
        texts: Whether result lines carry their data row.
        jobs: Rows under way at once; None: enough to keep judges and sandbox busy.
        merge: As in `Grader.run_batch`.
        progress: Called now and then with the counts, the rows graded so far, and how much of the data has been
            read (0 to 1, None when that cannot be told).
        stop: Asked between rows whether to end.

    Raises:
        ResultsError, DataError: the results cannot be written, the data cannot be read; what has been graded is
            in the file.
    """
    return _Batch(grader, opened, writer, texts, jobs or WINDOW, merge, progress, stop or Stop()).run()


class _Batch:
    def __init__(
        self,
        grader: Grader,
        opened: Opened,
        writer: Writer,
        texts: bool,
        window: int,
        merge: bool | None,
        progress: Callable[[Tally, int, float | None], None],
        stop: Stop,
    ) -> None:
        self.grader, self.opened, self.writer = grader, opened, writer
        self.texts, self.window, self.merge = texts, window, merge
        self.progress, self.stop = progress, stop
        self.mapped = opened.mapped
        self.namer = Namer(self.mapped)
        self.before = len(writer.done)
        self.found = 0  # rows of the data that the file had already
        self.in_vain = 0  # rows in a row that failed without the sample's doing
        self.told = 0.0

    def run(self) -> Run:
        started = time.monotonic()
        broken, complete = "", False
        try:
            (self._ask if self.grader.kind.n_asks else self._local)()
            complete = not self.stop.requested
        except KeyboardInterrupt:
            self.stop.requested = True
        except ModelStop as error:
            broken = f"a judge cannot be asked any more: {error}"
        except _Broken as error:
            broken = str(error)
        finally:
            self._tell(now=True)
        return Run(
            self.writer.tally,
            self._graded(),
            self.before - self.found if complete else 0,
            time.monotonic() - started,
            not complete and not broken,
            broken,
            tuple(self.writer.notes),
        )

    def _graded(self) -> int:
        return self.writer.tally.rows - self.before

    def _tell(self, now: bool = False) -> None:
        if now or time.monotonic() - self.told > PROGRESS_S:
            self.progress(self.writer.tally, self._graded(), self.opened.data.fraction())
            self.told = time.monotonic()

    def _chunks(self) -> Iterator[tuple[Chunk, list[str]]]:
        """The rows that are still to be graded, with their ids."""
        for chunk in self.opened.chunks:
            if self.stop.requested:
                return
            ids = self.namer.names(chunk)
            if self.before:
                chunk, ids = self._missing(chunk, ids)
            if ids:
                yield chunk, ids

    def _missing(self, chunk: Chunk, ids: list[str]) -> tuple[Chunk, list[str]]:
        done = self.writer.done.contains(ids)
        self.found += sum(done)
        left = [place for place, there in enumerate(done) if not there]
        rows = [chunk.rows[place] for place in left]
        raw = None if chunk.raw is None else [chunk.raw[place] for place in left]
        return Chunk(rows, raw, [chunk.numbers[place] for place in left]), [ids[place] for place in left]

    # --- graders that ask nobody ------------------------------------------------------------------------------

    def _local(self) -> None:
        grade = columns_of(self.grader)
        with _no_collector():
            self._local_chunks(grade)

    def _local_chunks(self, grade: GradeColumns | None) -> None:
        for chunk, ids in self._chunks():
            try:
                if grade is None:
                    raise Uneven
                samples, items = _columns(chunk.rows, self.mapped)
                graded = grade(samples, items)
            except Uneven:
                self._one_by_one(chunk, ids)
            else:
                self._write_columns(chunk, ids, graded)
            chunk.rows.clear()  # freed before the next ones are made, which then take their place in the cache
            self._tell()

    def _write_columns(self, chunk: Chunk, ids: list[str], graded: Graded) -> None:
        tally = self.writer.tally
        parts = [_column(_OPEN, "\n".join(map(encode_basestring_ascii, ids)).encode().split(b"\n"))]
        parts.append(_column(_REWARD, _numbers(graded.rewards)))
        parts.append((_OK,))
        if graded.sub_rewards:
            keys = [dumps(key) for key in graded.sub_rewards]
            for place, (key, values) in enumerate(zip(keys, graded.sub_rewards.values(), strict=True)):
                parts.append(_column((b"," if place else _SUBS) + key + b":", _numbers(values)))
            parts.append((b"}",))
        if self.texts:
            parts.append(_column(_ROW, self._row_texts(chunk)))
        parts.append((_CLOSE,))
        columns = [column for part in parts for column in part]
        self.writer.append(
            b"".join(
                chain.from_iterable(
                    zip(*(repeat(c, len(ids)) if isinstance(c, bytes) else c for c in columns), strict=True)
                )
            )
        )
        tally.rows += len(ids)
        tally.total += sum(graded.rewards)

    def _row_texts(self, chunk: Chunk) -> Sequence[bytes]:
        if chunk.raw is not None and max(map(len, chunk.raw)) <= ROW_MAX_BYTES:
            return chunk.raw
        raws: Sequence[bytes | None] = chunk.raw or [None] * len(chunk.rows)
        return [_row_text(row, raw) for row, raw in zip(chunk.rows, raws, strict=True)]

    def _one_by_one(self, chunk: Chunk, ids: list[str]) -> None:
        lines: list[bytes] = []
        asked: list[tuple[str, DataRow, bytes | None]] = []
        raws: Sequence[bytes | None] = chunk.raw or [None] * len(ids)
        for id, row, raw in zip(ids, chunk.rows, raws, strict=True):
            if isinstance(row, Unreadable):
                lines.append(self._unreadable(id, row))
            else:
                asked.append((id, row, raw))
        results = self.grader.run_batch(self._fields(id, row) for id, row, _ in asked)
        for (id, row, raw), result in zip(asked, results, strict=True):
            lines.append(self._line(id, row, raw, result, local=True))
        self.writer.append(b"".join(lines))

    # --- graders that ask -------------------------------------------------------------------------------------

    def _ask(self) -> None:
        under_way: deque[tuple[str, DataRow, bytes | None]] = deque()
        chunks = self._chunks()
        cut_off: list[DataError] = []

        def feed() -> Iterator[Mapping[str, Any]]:
            while True:
                try:
                    chunk, ids = next(chunks)
                except StopIteration:
                    return
                except DataError as error:  # first what is under way is waited for and written
                    cut_off.append(error)
                    return
                raws: Sequence[bytes | None] = chunk.raw or [None] * len(ids)
                for id, row, raw in zip(ids, chunk.rows, raws, strict=True):
                    if self.stop.requested:
                        return
                    if isinstance(row, Unreadable):
                        self.writer.append(self._unreadable(id, row))
                        continue
                    under_way.append((id, row, raw))
                    yield self._fields(id, row)

        for result in self.grader.run_batch(feed(), merge=self.merge, window=self.window):
            id, row, raw = under_way.popleft()
            self.writer.append(self._line(id, row, raw, result, local=False))
            self._count_vain(result)
            self._tell()
        if cut_off:
            raise cut_off[0]

    def _count_vain(self, result: RunResult) -> None:
        """Stop when nothing but the machinery's own failures comes back: the rest would be wasted."""
        if not any(map(_in_vain, result.failures)):
            self.in_vain = 0
            return
        self.in_vain += 1
        if self.in_vain >= STOP_AFTER:
            raise _Broken(
                f"the last {STOP_AFTER} rows all failed for no fault of theirs: {result.failures[0]}"
            )

    # --- lines ------------------------------------------------------------------------------------------------

    def _fields(self, id: str, row: DataRow) -> Mapping[str, Any]:
        assert isinstance(row, dict)
        return {"sample": sample_of(row, self.mapped), "item": item_of(row, self.mapped), "id": id}

    def _line(self, id: str, row: DataRow, raw: bytes | None, result: RunResult, *, local: bool) -> bytes:
        fields: dict[str, Any] = {"id": id, "reward": result.reward if result.ok else None, "ok": result.ok}
        flags = result.flags
        if flags:
            fields["flags"] = flags
            fields["errors"] = [str(failure) for failure in result.failures]
        if result.sub_rewards:
            fields["sub_rewards"] = result.sub_rewards
        if not local:
            fields["seconds"] = round(result.execution_time, 6)
            usage = result.model_grader_token_usage_per_model
            if usage:
                fields["usage"] = {model: used.to_wire() for model, used in usage.items()}
            shared = self.grader.identity.provenance
            own = {name: value for name, value in result.provenance.items() if shared.get(name) != value}
            if own:
                fields["provenance"] = own
        self.writer.tally.add(result.reward, flags, fields.get("usage"))
        return self._closed(fields, row, raw)

    def _unreadable(self, id: str, row: Unreadable) -> bytes:
        error = SampleParseError(row.message)
        self.writer.tally.add(None, (error.flag,))
        return self._closed(
            {"id": id, "reward": None, "ok": False, "flags": [error.flag], "errors": [row.message]}, row, None
        )

    def _closed(self, fields: dict[str, Any], row: DataRow, raw: bytes | None) -> bytes:
        line = dumps(fields)
        if not self.texts or isinstance(row, Unreadable):
            return line + b"\n"
        return line[:-1] + _ROW + _row_text(row, raw) + _CLOSE


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


class _Broken(Exception):
    """The run cannot go on."""


def _in_vain(failure: GradeError) -> bool:
    if isinstance(failure, PythonServerError):
        return failure.infrastructure
    return isinstance(failure, ModelServerError)


_OPEN, _REWARD, _OK = b'{"id":', b',"reward":', b',"ok":true'
_SUBS, _ROW, _CLOSE = b',"sub_rewards":{', b',"row":', b"}\n"


def _column(before: bytes, values: Sequence[bytes]) -> tuple[bytes | Sequence[bytes], ...]:
    return before, values


_NUMBERS = {0.0: b"0.0", 1.0: b"1.0"}  # also False and True, which comparisons give


def _numbers(values: Sequence[float]) -> list[bytes]:
    known = _NUMBERS.get
    return [known(value) or repr(value).encode() for value in values]


def _columns(rows: list[DataRow], mapped: Mapped) -> tuple[list[str], list[Any]]:
    """The samples, all texts, and the items of rows that keep them in plain fields; else raises Uneven."""
    try:
        samples: list[Any] = [row[mapped.sample] for row in rows]  # type: ignore[index]  # TypeError for Unreadable
        items: list[Any] = [row[mapped.item] for row in rows] if mapped.item else rows  # type: ignore[index]
    except (KeyError, TypeError):
        raise Uneven from None
    if set(map(type, samples)) != {str} or set(map(type, items)) != {dict}:
        raise Uneven
    return samples, items


def _row_text(row: DataRow, raw: bytes | None) -> bytes:
    """The JSON of a data row as results carry it; an excerpt ends the line with "cut" set."""
    text = dumps(row) if raw is None else raw
    if len(text) <= ROW_MAX_BYTES:
        return text
    return dumps(_excerpt(row)) + b',"cut":true'


def _excerpt(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX_CHARS else value[:TEXT_MAX_CHARS] + "…"
    if isinstance(value, dict):
        return {key: _excerpt(inner) for key, inner in value.items()}
    # of a long list the end: in a conversation that is the answer
    return [_excerpt(inner) for inner in value[-LIST_MAX:]] if isinstance(value, list) else value
