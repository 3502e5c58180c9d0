"""The compiled Grader: compile once, run many. Every row takes the same steps:

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
from contextlib import suppress
from functools import partial
from itertools import chain, repeat, starmap
from typing import TYPE_CHECKING, Any

from graders._version import __version__
from graders.ask import Answer
from graders.engine.backends import Backends
from graders.engine.rows import failure_of, id_of, in_chunks, row_of
from graders.engine.window import Window
from graders.errors import GradeError, Problem
from graders.fields import check_rows
from graders.kinds import distribution_of
from graders.result import Identity, RunResult, Score
from graders.row import Row
from graders.spec.kind import ColumnScores, NotColumnar
from graders.spec.model import SpecModel
from graders.spec.options import Options

if TYPE_CHECKING:
    from graders.engine.explain import Explanation

#: Rows in flight in a batch: enough to keep judges and sandbox busy, few enough to hold in memory.
WINDOW = 512

_NO_SCORE = Score(0.0)
#: Makes a RunResult from its fields without a Python-level call, which would cost as much as grading.
_result: Callable[[tuple[Any, ...]], RunResult] = partial(tuple.__new__, RunResult)


class Grader:
    """A compiled spec. Safe to use from several threads.

    Attributes:
        spec: The checked spec.
        warnings: The warnings of `validate`.
        name, type: As results carry them.
        digest: sha256 of the normalised spec, the engine's version left out.
        backends: They answer its asks.
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
            spec.wire_name(),
            self.type,
            {"engine": f"local-graders {__version__}", **_plugins(spec), **self.kind.provenance},
        )

    def __repr__(self) -> str:
        return f"Grader({self.name!r}, type={self.type!r})"

    def _repr_html_(self) -> str:
        from graders.notebook import block

        warnings = "".join(f"\n{warning}" for warning in self.warnings)
        text = json.dumps(self.spec.to_json(), indent=2, ensure_ascii=False)
        return block(f"{self.name} ({self.type})", text + warnings)

    def run(
        self,
        sample: object,
        item: Mapping[str, Any] | None = None,
        *,
        id: str = "",  # noqa: A002  # the keyword is named as in rows
        timeout_s: float | None = None,
    ) -> RunResult:
        """Grade one row. Never raises for a bad row: the result's flags and failures say what went wrong.

        Args:
            sample: The model's text, a sample object, chat messages, a completion or a response (see Row).
            item: The dataset row, a JSON object; None is {}.
            id: A name for the row; it also seeds a python grader's randomness.
            timeout_s: Seconds that the answers may take in all; None: the backends' own limits.
        """
        started = time.perf_counter()
        try:
            row = Row(sample, item, id)
            answers: Sequence[Answer] = ()
            if self.kind.n_asks:
                answers = self.backends.fetch(self.kind.ask(row), deadline=_deadline(timeout_s))
            return self.settle(row, answers, time.perf_counter() - started)
        except Exception as error:
            return self.failed(failure_of(error), time.perf_counter() - started, id)

    def explain(
        self, sample: object, item: Mapping[str, Any] | None = None, *, result: RunResult | None = None
    ) -> Explanation:
        """Explain a row's reward: texts, questions to judges, the formula's steps.

        Args:
            result: The row's result, as this grader made it; None: the row is graded.
        """
        from graders.engine.explain import explain

        result = self.run(sample, item) if result is None else result
        row = None
        with suppress(GradeError):
            row = Row(sample, item)
        return explain(self.spec, self.backends.options, row, result)

    async def arun(
        self,
        sample: object,
        item: Mapping[str, Any] | None = None,
        *,
        id: str = "",  # noqa: A002  # the keyword is named as in rows
        timeout_s: float | None = None,
    ) -> RunResult:
        """As `run`, without blocking the caller's event loop. Cancelling it cancels the asks in flight."""
        started = time.perf_counter()
        try:
            row = Row(sample, item, id)
            answers: Sequence[Answer] = ()
            if self.kind.n_asks:
                answers = await self.backends.afetch(self.kind.ask(row), deadline=_deadline(timeout_s))
            return self.settle(row, answers, time.perf_counter() - started)
        except Exception as error:
            return self.failed(failure_of(error), time.perf_counter() - started, id)

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
            window: Rows in flight at once.
            in_order: False: results come as they are ready, identified by their ids, so that a slow row does not
                delay the others.

        Raises:
            TypeError: the rows are a data frame, a mapping or a text, which do not iterate over rows.
            ModelStop: a judge's endpoint refused the key or has no quota left, so that no later row can be graded.
                The results up to that row have been yielded; without `in_order`, every result that was complete.
            Exception: whatever `rows` raises, once the results of the rows before it have been yielded.
        """
        check_rows(rows)
        if self.kind.n_asks == 0:
            return chain.from_iterable(starmap(self._results, self._chunks(iter(rows), window)))
        return Window(self, window, merge).results(iter(rows), in_order=in_order)

    def rewards(
        self, rows: Iterable[Mapping[str, Any]], *, merge: bool | None = None, window: int = WINDOW
    ) -> list[float | None]:
        """The rewards of many rows, in order, as numbers only; None for a row that failed.

        Faster than `run_batch` for local graders, since no results are made. Use `run_batch`, which gives one result at
        a time, where the list would be too large or the rewards before an exception are needed.

        Args:
            rows, merge, window: As in `run_batch`.

        Raises:
            TypeError, ModelStop: as `run_batch` does.
        """
        check_rows(rows)
        if self.kind.n_asks:
            return list(map(_reward, self.run_batch(rows, merge=merge, window=window)))
        rewards: list[float | None] = []
        for chunk, found, _ in self._chunks(iter(rows), window):
            rewards += map(_reward, map(self._local, chunk)) if found is None else found.rewards
        return rewards

    def _chunks(
        self, rows: Iterator[Mapping[str, Any]], window: int
    ) -> Iterator[tuple[list[Mapping[str, Any]], ColumnScores | None, float]]:
        """Chunks of a local grader's rows, their columnar scores (None where not all are plain), seconds per row."""
        from graders.kinds.columns import as_columns

        columnar = self.kind.columns()
        for chunk in in_chunks(rows, window):
            started = time.perf_counter()
            found = None
            if columnar is not None:
                with suppress(NotColumnar):
                    found = columnar(*as_columns(chunk))
            yield chunk, found, (time.perf_counter() - started) / len(chunk)

    def _results(
        self, chunk: Sequence[Mapping[str, Any]], found: ColumnScores | None, seconds: float
    ) -> Iterable[RunResult]:
        """The results of a window, made lazily."""
        if found is None:
            return map(self._local, chunk)
        scores: Iterable[Score] = repeat(_NO_SCORE)
        if found.sub_rewards:
            subs = zip(*found.sub_rewards.values(), strict=True)
            by_key = (dict(zip(found.sub_rewards, values, strict=True)) for values in subs)
            scores = map(Score, found.rewards, by_key)
        ids = [fields.get("id", "") for fields in chunk]
        return map(
            _result,
            zip(
                found.rewards,
                repeat(()),
                repeat(seconds),
                ids,
                repeat(self.identity),
                scores,
                repeat(0.0),
            ),
        )

    def _local(self, fields: Mapping[str, Any]) -> RunResult:
        started = time.perf_counter()
        row_id = id_of(fields)
        try:
            score = self.kind.grade(row_of(fields, row_id), ())
        except Exception as error:
            return self.failed(failure_of(error), time.perf_counter() - started, row_id)
        seconds = time.perf_counter() - started
        return RunResult(score.value, score.failures, seconds, row_id, self.identity, score)

    def settle(self, row: Row, answers: Sequence[Answer], seconds: float) -> RunResult:
        """The result of a row that has its answers: the one place where failures become flags."""
        waited = max(0.0, seconds - max(answer.seconds for answer in answers)) if answers else 0.0
        try:
            score = self.kind.grade(row, answers)
        except Exception as error:
            return self.failed(failure_of(error), seconds, row.id, waited)
        return RunResult(score.value, score.failures, seconds, row.id, self.identity, score, waited)

    def failed(self, error: GradeError, seconds: float, row_id: str, waited: float = 0.0) -> RunResult:
        score = Score(0.0, provenance=error.provenance) if error.provenance else _NO_SCORE
        return RunResult(self.kind.failed_reward, (error,), seconds, row_id, self.identity, score, waited)


def _plugins(spec: SpecModel) -> dict[str, Any]:
    """The distributions of the grader types that are plug-ins; {} without any."""
    types = {leaf.type for leaf in (spec, *spec.members().values())}
    found = {kind: distribution for kind in sorted(types) if (distribution := distribution_of(kind))}
    return {"plugins": found} if found else {}


def _reward(result: RunResult) -> float | None:
    return result.reward if result.ok else None


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def digest(spec: Mapping[str, Any]) -> str:
    """sha256, in hex, of a spec's canonical JSON: independent of key order and blanks."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
