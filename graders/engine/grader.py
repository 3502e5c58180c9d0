"""Compile once, run many: the one way through the code for a row.

row = Row(sample, item)
asks = kind.ask(row)                    () for local kinds
answers = backends.fetch(asks)          the only step that differs between run, arun and run_batch
settle(kind.grade(row, answers))        the only place that turns a GradeError into flags
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import chain, islice, repeat, starmap
from typing import TYPE_CHECKING, Any

from graders._version import __version__
from graders.ask import Answer, Ask, ModelAsk
from graders.engine.backends import Backends, cancel
from graders.errors import GradeError, ModelStop, Problem, SpecError
from graders.fields import check_rows, read_row
from graders.kinds.text_similarity import NO_EMBEDDER
from graders.result import Identity, RunResult, Score
from graders.row import Row
from graders.spec.reading import Options, SpecModel, load, read

if TYPE_CHECKING:
    from graders.kinds.columns import Graded

WINDOW = (
    512  # rows under way in a batch: enough to keep judges and sandbox busy, little enough to hold in memory
)
CHUNK = 64  # rows whose asks are sent off together
MERGED = 8192  # answers to repeatable asks that a batch remembers

_NO_SCORE = Score(0.0)
#: The fields of a RunResult -> the result, without a call of Python's for each.
_result: Callable[[tuple[Any, ...]], RunResult] = partial(tuple.__new__, RunResult)


class Grader:
    """A compiled spec. Safe to use from several threads.

    Attributes:
        spec: The checked spec.
        warnings: What `validate` says beside errors.
        name, type: As results carry them.
        digest: sha256 of the normalised spec, the engine's version left out.
        backends: Who answers its asks.
    """

    def __init__(
        self, spec: SpecModel, backends: Backends, options: Options, warnings: Sequence[Problem] = ()
    ) -> None:
        self.spec = spec
        self.warnings = tuple(warnings)
        self.type = spec.type
        self.name = spec.name or spec.type
        self.backends = backends
        self.digest = digest(spec.to_json())
        self.kind = spec.build(options)
        self.identity = Identity(
            spec.wire_name(), self.type, {"engine": f"local-graders {__version__}", **self.kind.provenance}
        )

    def __repr__(self) -> str:
        return f"Grader({self.name!r}, type={self.type!r})"

    def run(
        self,
        sample: object,
        item: Mapping[str, Any] | None = None,
        *,
        id: str = "",
        timeout_s: float | None = None,
    ) -> RunResult:
        """Grade one row. Never raises for the row: what went wrong is in the result's flags.

        Args:
            sample: The model's text, a sample object, chat messages, a completion or a response (see Row).
            item: The dataset row, a JSON object; None is {}.
            id: A name for the row; it also seeds a python grader's randomness.
            timeout_s: How long the answers may take in all; None: as long as the backends' own limits.
        """
        started = time.perf_counter()
        try:
            row = Row(sample, item, id)
            answers: Sequence[Answer] = ()
            if self.kind.n_asks:
                answers = self.backends.fetch(self.kind.ask(row), deadline=_deadline(timeout_s))
            return self._settle(row, answers, time.perf_counter() - started)
        except Exception as error:
            return self._failed(_failure(error), time.perf_counter() - started, id)

    async def arun(
        self,
        sample: object,
        item: Mapping[str, Any] | None = None,
        *,
        id: str = "",
        timeout_s: float | None = None,
    ) -> RunResult:
        """As `run`, without blocking the caller's event loop. Cancelling it cancels what is under way."""
        started = time.perf_counter()
        try:
            row = Row(sample, item, id)
            answers: Sequence[Answer] = ()
            if self.kind.n_asks:
                answers = await self.backends.afetch(self.kind.ask(row), deadline=_deadline(timeout_s))
            return self._settle(row, answers, time.perf_counter() - started)
        except Exception as error:
            return self._failed(_failure(error), time.perf_counter() - started, id)

    def run_batch(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        merge: bool | None = None,
        window: int = WINDOW,
        in_order: bool = True,
    ) -> Iterator[RunResult]:
        """Grade many rows, lazily and in order, with at most `window` rows in memory.

        Args:
            rows: Mappings with "sample", and perhaps "item" and "id", or of another shape that datasets may have
                (see graders.fields).
            merge: Whether equal questions to a judge are asked once: None where the spec makes them repeatable
                (a seed, or temperature 0), True always, False never.
            window: Rows under way at once.
            in_order: False: results come as they are ready, to be told apart by their ids. One slow row then holds
                up nobody.

        Raises:
            TypeError: the rows are a data frame, a mapping or a text, which do not iterate over rows.
            ModelStop: a judge's endpoint refused the key or has no quota left, so that no later row can be graded.
                The results up to that row have been yielded; without `in_order` all that could still be had.
        """
        check_rows(rows)
        if self.kind.n_asks == 0:
            return chain.from_iterable(starmap(self._results, self._windows(iter(rows), window)))
        return self._asking_batch(iter(rows), merge, window, in_order)

    def rewards(
        self, rows: Iterable[Mapping[str, Any]], *, merge: bool | None = None, window: int = WINDOW
    ) -> Iterator[float | None]:
        """The rewards of many rows, lazily and in order, as numbers only; None for a row that failed.

        Local graders give them faster than `run_batch`, for no results are made.

        Args:
            rows, merge, window: As in `run_batch`.

        Raises:
            TypeError, ModelStop: as `run_batch` does.
        """
        check_rows(rows)
        if self.kind.n_asks:
            return map(_reward, self.run_batch(rows, merge=merge, window=window))
        return chain.from_iterable(
            map(_reward, map(self._local, chunk)) if found is None else found.rewards
            for chunk, found, _ in self._windows(iter(rows), window)
        )

    def _windows(
        self, rows: Iterator[Mapping[str, Any]], window: int
    ) -> Iterator[tuple[list[Mapping[str, Any]], Graded | None, float]]:
        """Rows of a local grader, what they came to over columns (None where they are not plain), seconds for each."""
        from graders.kinds.columns import Uneven, columns_of, plain

        columnar = columns_of(self)
        while chunk := list(islice(rows, window)):
            started = time.perf_counter()
            found = None
            if columnar is not None:
                with suppress(Uneven):
                    found = columnar(*plain(chunk))
            yield chunk, found, (time.perf_counter() - started) / len(chunk)

    def _results(
        self, chunk: Sequence[Mapping[str, Any]], found: Graded | None, seconds: float
    ) -> Iterable[RunResult]:
        """The results of a window, made as they are asked for."""
        if found is None:
            return map(self._local, chunk)
        scores: Iterable[Score] = repeat(_NO_SCORE)
        if found.sub_rewards:
            subs = zip(*found.sub_rewards.values(), strict=True)
            by_key = (dict(zip(found.sub_rewards, values, strict=True)) for values in subs)
            scores = map(Score, found.rewards, by_key)
        ids = [fields.get("id", "") for fields in chunk]
        return map(
            _result, zip(found.rewards, repeat(()), repeat(seconds), ids, repeat(self.identity), scores)
        )

    def _local(self, fields: Mapping[str, Any]) -> RunResult:
        started = time.perf_counter()
        id = _id(fields)
        try:
            score = self.kind.grade(_row(fields, id), ())
        except Exception as error:
            return self._failed(_failure(error), time.perf_counter() - started, id)
        seconds = time.perf_counter() - started
        return RunResult(score.value, score.failures, seconds, id, self.identity, score)

    def _asking_batch(
        self, rows: Iterator[Mapping[str, Any]], merge: bool | None, window: int, in_order: bool
    ) -> Iterator[RunResult]:
        from queue import SimpleQueue

        together = max(1, min(CHUNK, window // 8))  # fewer at a time than may wait, so that nobody runs dry
        waiting: dict[int, _Sent] = {}
        ready: SimpleQueue[int] = SimpleQueue()
        early: set[int] = set()  # ready before those in front of them
        shared: dict[Ask | GradeError, Future[Answer]] = {}
        number = 0
        stop: ModelStop | None = None
        try:
            while True:
                while not stop and len(waiting) + together <= window:
                    if not (chunk := list(islice(rows, together))):
                        break
                    for sent in self._send(chunk, shared, merge):
                        waiting[number] = sent
                        sent.when_done(partial(ready.put, number))
                        number += 1
                if not waiting:
                    break
                place = next(iter(waiting)) if in_order else ready.get()
                while in_order and place not in early:
                    early.add(ready.get())
                early.discard(place)
                sent = waiting.pop(place)
                if isinstance(sent.row, GradeError):
                    yield self._failed(sent.row, 0.0, sent.id)
                    continue
                answers = [future.result() for future in sent.futures]
                stopped = next((answer for answer in answers if isinstance(answer, ModelStop)), None)
                if stopped is None:
                    yield self._settle(sent.row, answers, sent.seconds)
                elif in_order:
                    raise stopped
                else:
                    stop = stop or stopped
            if stop:
                raise stop
        finally:  # also when the caller stops early, or an interrupt arrives
            for sent in waiting.values():
                cancel(sent.futures)

    def _send(
        self,
        chunk: Sequence[Mapping[str, Any]],
        shared: dict[Ask | GradeError, Future[Answer]],
        merge: bool | None,
    ) -> Iterator[_Sent]:
        """Send off the asks of a few rows together, equal ones once where that is allowed."""
        started = time.perf_counter()
        asked: list[tuple[Row | GradeError, Sequence[Ask | GradeError], str]] = []
        new: dict[int, Ask | GradeError] = {}  # by identity: only what may be merged is compared
        for fields in chunk:
            id = _id(fields)
            try:
                row = _row(fields, id)
                asks = self.kind.ask(row)
            except Exception as error:
                asked.append((_failure(error), (), id))
                continue
            asked.append((row, asks, id))
            for ask in asks:
                mergeable = _mergeable(ask, merge)
                if not (mergeable and ask in shared and _usable(shared[ask])):
                    new[id_of(ask)] = ask
                    if mergeable:
                        shared[ask] = Future()  # holds the place until all of the chunk is known
        futures = dict(zip(new, self.backends.submit(list(new.values())), strict=True))
        for key, ask in new.items():
            if _mergeable(ask, merge):
                shared[ask] = futures[key]
        for row_or_error, asks, id in asked:
            mine = [futures[id_of(ask)] if id_of(ask) in futures else shared[ask] for ask in asks]
            yield _Sent(row_or_error, mine, started, id)
        while len(shared) > MERGED:
            del shared[next(iter(shared))]

    def _settle(self, row: Row, answers: Sequence[Answer], seconds: float) -> RunResult:
        """The result of a row whose answers are there: the one place where failures become flags."""
        try:
            score = self.kind.grade(row, answers)
        except Exception as error:
            return self._failed(_failure(error), seconds, row.id)
        return RunResult(score.value, score.failures, seconds, row.id, self.identity, score)

    def _failed(self, error: GradeError, seconds: float, id: str) -> RunResult:
        return RunResult(0.0, (error,), seconds, id, self.identity, _NO_SCORE)


def _reward(result: RunResult) -> float | None:
    return result.reward if result.ok else None


class _Sent:
    """A row of a batch whose asks are under way.

    Attributes:
        row: A GradeError where the row could not even ask.
        seconds: From sending its asks off to the last answer; set once that is there.
    """

    __slots__ = ("_started", "futures", "id", "row", "seconds")

    def __init__(
        self, row: Row | GradeError, futures: Sequence[Future[Answer]], started: float, id: str
    ) -> None:
        self.row = row
        self.futures = futures
        self.id = id
        self.seconds = 0.0
        self._started = started

    def when_done(self, then: Callable[[], object]) -> None:
        """Call `then` once, on whatever thread brings the last answer."""
        left = iter(self.futures)

        def look(done: object = None) -> None:
            for future in left:
                if not future.done():
                    future.add_done_callback(look)
                    return
            self.seconds = time.perf_counter() - self._started
            then()

        look()


def _row(fields: Mapping[str, Any], row_id: str) -> Row:
    """The row of a batch's mapping; raises SampleParseError when it has none of the known shapes."""
    if fields.__class__ is dict and "sample" in fields and fields.get("item").__class__ is dict:
        return Row(fields["sample"], fields["item"], row_id)
    return read_row(fields, row_id)


def _id(fields: Any) -> str:
    return fields.get("id", "") if isinstance(fields, Mapping) else ""


def _failure(error: Exception) -> GradeError:
    """What nobody foresaw becomes `other_error`: one odd row must not end a run of a million."""
    if isinstance(error, GradeError):
        return error
    failure = GradeError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


id_of = id  # the built-in: `id` is also what a row's name is called here


def _mergeable(ask: Ask | GradeError, merge: bool | None) -> bool:
    return isinstance(ask, ModelAsk) and (ask.sampling.repeatable if merge is None else merge)


def _usable(answer: Future[Answer]) -> bool:
    """Under way, or answered: a question that failed is asked again for the next row."""
    return not answer.done() or not (answer.cancelled() or isinstance(answer.result(), GradeError))


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def digest(spec: Mapping[str, Any]) -> str:
    """sha256, in hex, of a spec's canonical JSON: key order and blanks do not matter."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


_default_backends: Backends | None = None


def default_backends() -> Backends:
    """The backends of graders compiled without their own, from graders.toml and the environment, made once."""
    global _default_backends
    if _default_backends is None:
        import atexit

        _default_backends = Backends.from_env()
        atexit.register(_default_backends.close)
    return _default_backends


def compile(spec: object, *, backends: Backends | None = None, strict: bool = False) -> Grader:
    """Check a spec and make the Grader that runs it.

    Args:
        spec: A dict, JSON text, a path, an object with `model_dump()`, or a Grader, which is returned as it is.
        backends: Who answers its asks; None: what graders.toml and the environment say.
        strict: Refuse what the service would refuse but we accept.

    Raises:
        SpecError: with every problem of the spec; or the spec needs what is not configured (cosine an embedder).
    """
    if isinstance(spec, Grader):
        return spec
    checked = read(load(spec), strict=strict)
    backends = backends or default_backends()
    try:
        options = backends.options
    except ValueError as error:
        raise SpecError(
            [Problem("", f"the configuration is not valid: {error}", "invalid_config")]
        ) from error
    asks_for_vectors = list(_cosines(checked.spec))
    if asks_for_vectors and not options.embedder:
        raise SpecError([Problem(path, NO_EMBEDDER, "no_embedder") for path in asks_for_vectors])
    try:
        if asks_for_vectors:
            _ = backends.embedder  # whatever is wrong with its table is said now, not by every row
        return Grader(checked.spec, backends, options, checked.warnings)
    except (
        ValueError,
        ImportError,
    ) as error:  # metric options of the configuration; a library that is not there
        raise SpecError([Problem("", str(error), "invalid_config")]) from error


def _cosines(spec: SpecModel, path: str = "") -> Iterator[str]:
    """Where the spec says cosine."""
    for key, member in getattr(spec, "graders", {}).items():
        yield from _cosines(member, f"graders.{key}.")
    if getattr(spec, "evaluation_metric", None) == "cosine":
        yield f"{path}evaluation_metric"


def validate(spec: object, *, strict: bool = False) -> dict[str, Any]:
    """The normalised spec: canonical words, the service's defaults filled in.

    Raises:
        SpecError: with every problem at once, each with its path, message and code.
    """
    if isinstance(spec, Grader):
        return spec.spec.to_wire()
    return read(load(spec), strict=strict).spec.to_wire()


def run(
    spec: object, sample: object, item: Mapping[str, Any] | None = None, *,
    backends: Backends | None = None, strict: bool = False,
) -> RunResult:  # fmt: skip
    """Compile and grade one row. For many rows compile once and use `Grader.run` or `Grader.run_batch`."""
    return compile(spec, backends=backends, strict=strict).run(sample, item)


async def arun(
    spec: object, sample: object, item: Mapping[str, Any] | None = None, *,
    backends: Backends | None = None, strict: bool = False,
) -> RunResult:  # fmt: skip
    """As `run`, from async code."""
    return await compile(spec, backends=backends, strict=strict).arun(sample, item)
