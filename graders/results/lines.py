"""Graded rows as lines of the results file (docs/results-format.md).

    lines = LineWriter(grader, field_map, texts=True)
    piece = lines.grade(chunk, ids)
    piece.text, piece.tally

A piece depends on the chunk alone, so it may be made in this process, in another one, or on another machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from graders.ask import CodeAsk
from graders.datasets.rows import Chunk, DataRow, UnreadableRow
from graders.engine.grader import WINDOW
from graders.errors import GradeError, ModelStop, SampleParseError
from graders.fields import FieldMap, item_of, sample_of
from graders.jsontext import dumps
from graders.row import Row
from graders.spec.kind import ColumnScores, NotColumnar

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.result import RunResult

#: Bytes of a data row; of a larger one the results hold an excerpt.
ROW_MAX_BYTES = 8 * 1024
#: Characters of each text in an excerpt.
TEXT_MAX_CHARS = 1000
#: Elements of each list in an excerpt.
LIST_MAX = 20
#: Rows in flight per sandbox slot; `run_batch` refills in chunks of an eighth of the window.
SANDBOX_WINDOW = 16


@dataclass(slots=True)
class Tally:
    """Running counts of a run; graders.stats computes the statistics afterwards.

    Attributes:
        rows: Rows in the results file.
        failed: Rows with a flag.
        total: Sum of the other rows' rewards.
        flags: wire flag -> number of rows with it.
        tokens: judge model -> (prompt tokens, completion tokens).
    """

    rows: int = 0
    failed: int = 0
    total: float = 0.0
    flags: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def scored(self) -> int:
        return self.rows - self.failed

    def add(
        self, reward: float | None, flags: Sequence[str] = (), usage: Mapping[str, Any] | None = None
    ) -> None:
        """Count one row; `usage` as in a result line."""
        self.rows += 1
        if flags:
            self.failed += 1
            for flag in flags:
                self.flags[flag] = self.flags.get(flag, 0) + 1
        elif reward is not None:
            self.total += reward
        for model, used in (usage or {}).items():
            self._spend(model, used["prompt_tokens"] or 0, used["completion_tokens"] or 0)

    def join(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.rows += other.rows
        self.failed += other.failed
        self.total += other.total
        for flag, n in other.flags.items():
            self.flags[flag] = self.flags.get(flag, 0) + n
        for model, (prompt, completion) in other.tokens.items():
            self._spend(model, prompt, completion)

    def _spend(self, model: str, prompt: int, completion: int) -> None:
        before = self.tokens.get(model, (0, 0))
        self.tokens[model] = (before[0] + prompt, before[1] + completion)


@dataclass(frozen=True, slots=True)
class ResultChunk:
    """Complete lines of a results file, and the counts of their rows.

    Attributes:
        stopped: The reason why a judge can no longer be asked; "" otherwise. The rows that need it are missing.
    """

    text: bytes
    tally: Tally
    stopped: str = ""


class WorkersLost(RuntimeError):
    """Raised when a run cannot go on because its workers are lost."""


class LineWriter:
    """Makes the result lines of one grader for rows of one shape.

    Args:
        field_map: Which fields of a row hold sample, item and id.
        texts: Whether lines include their data row.
        merge: As in `Grader.run_batch`.
    """

    def __init__(
        self, grader: Grader, field_map: FieldMap, *, texts: bool, merge: bool | None = None
    ) -> None:
        self.grader, self.field_map, self.texts, self.merge = grader, field_map, texts, merge
        self._local = grader.kind.n_asks == 0
        self._columns = grader.kind.columns()

    def grade(self, chunk: Chunk, ids: Sequence[str]) -> ResultChunk:
        """Grade a chunk and return its lines, in order for local graders."""
        if self._columns is not None:
            try:
                samples, items = _columns(chunk.rows, self.field_map)
                return self._of_columns(chunk, ids, self._columns(samples, items))
            except NotColumnar:
                pass
        return self._one_by_one(chunk, ids)

    def _one_by_one(self, chunk: Chunk, ids: Sequence[str]) -> ResultChunk:
        tally = Tally()
        raws: Iterable[bytes | None] = chunk.raw or repeat(None)
        rows = {row_id: (row, raw) for row_id, row, raw in zip(ids, chunk.rows, raws, strict=False)}
        asking = (
            self.fields(row_id, row)
            for row_id, (row, _) in rows.items()
            if not isinstance(row, UnreadableRow)
        )
        lines: dict[str, bytes] = dict.fromkeys(ids, b"")
        for row_id, (row, _) in rows.items():
            if isinstance(row, UnreadableRow):
                lines[row_id] = self.unreadable(row_id, row, tally)
        first = next((row for row in chunk.rows if not isinstance(row, UnreadableRow)), {})
        window = WINDOW if self._local else self.window(first)
        stopped = ""
        try:
            for result in self.grader.run_batch(asking, merge=self.merge, window=window, in_order=False):
                lines[result.id] = self.line(result.id, *rows[result.id], result, tally)
        except ModelStop as error:
            stopped = str(error)
        return ResultChunk(b"".join(lines.values()), tally, stopped)

    def window(self, row: Mapping[str, Any]) -> int:
        """The number of rows like this one to keep in flight.

        Many for judges; few for the sandbox alone, which runs few at once: rows that queue for it would count as its
        time, and Ctrl-C would wait for them.
        """
        fields = self.fields("", row)
        try:
            asks = self.grader.kind.ask(Row(fields["sample"], fields["item"]))
            if all(isinstance(ask, CodeAsk) for ask in asks):
                return SANDBOX_WINDOW * self.grader.backends.sandbox.in_flight
        except (GradeError, ValueError):
            # an error of the row or the configuration, which is reported when the row is graded
            pass
        return WINDOW

    def fields(self, row_id: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """A data row as the mapping that `Grader.run_batch` takes."""
        return {"sample": sample_of(row, self.field_map), "item": item_of(row, self.field_map), "id": row_id}

    def line(self, row_id: str, row: DataRow, raw: bytes | None, result: RunResult, tally: Tally) -> bytes:
        """The line of a graded row."""
        flags = result.flags
        fields: dict[str, Any] = {
            "id": row_id,
            "reward": None if flags else _number(result.reward),
            "ok": not flags,
        }
        if flags:
            fields["flags"] = flags
            fields["errors"] = [str(failure) for failure in result.failures]
        failed = result.failed_members if flags else {}
        if result.score.sub_rewards:
            fields["sub_rewards"] = {
                key: _number(value) for key, value in result.score.sub_rewards.items() if key not in failed
            }
        if failed:
            fields["failed_members"] = failed
        if not self._local:
            fields["seconds"] = round(result.execution_time, 6)
            fields["waited"] = round(result.waited, 6)
            usage = result.model_grader_token_usage_per_model
            if usage:
                fields["usage"] = {model: used.to_wire() for model, used in usage.items()}
            shared = self.grader.identity.provenance
            own = {name: value for name, value in result.provenance.items() if shared.get(name) != value}
            if own:
                fields["provenance"] = own
        tally.add(result.reward, flags, fields.get("usage"))
        line = dumps(fields)
        return line[:-1] + _ROW + _row_text(row, raw) + _CLOSE if self.texts else line + b"\n"

    def unreadable(self, row_id: str, row: UnreadableRow, tally: Tally) -> bytes:
        """The line of an unreadable row."""
        flag = SampleParseError.flag
        tally.add(None, (flag,))
        return (
            dumps({"id": row_id, "reward": None, "ok": False, "flags": [flag], "errors": [row.message]})
            + b"\n"
        )

    def _of_columns(self, chunk: Chunk, ids: Sequence[str], graded: ColumnScores) -> ResultChunk:
        """The same lines as those of `line`, built column by column."""
        columns: list[bytes | Sequence[bytes]] = [_OPEN, _texts(ids), _REWARD, _numbers(graded.rewards), _OK]
        if graded.sub_rewards:
            for place, (key, values) in enumerate(graded.sub_rewards.items()):
                columns += ((b"," if place else _SUBS) + dumps(key) + b":", _numbers(values))
            columns.append(b"}")
        if self.texts:
            columns += (_ROW, self._row_texts(chunk))
        columns.append(_CLOSE)
        spread = (repeat(c, len(ids)) if isinstance(c, bytes) else c for c in columns)
        text = b"".join(chain.from_iterable(zip(*spread, strict=True)))
        return ResultChunk(text, Tally(rows=len(ids), total=float(sum(graded.rewards))))

    def _row_texts(self, chunk: Chunk) -> Sequence[bytes]:
        if chunk.raw is not None and max(map(len, chunk.raw)) <= ROW_MAX_BYTES:
            return chunk.raw
        raws: Sequence[bytes | None] = chunk.raw or [None] * len(chunk.rows)
        return [_row_text(row, raw) for row, raw in zip(chunk.rows, raws, strict=True)]


_OPEN, _REWARD, _OK = b'{"id":"', b'","reward":', b',"ok":true'
_SUBS, _ROW, _CLOSE = b',"sub_rewards":{', b',"row":', b"}\n"
#: Spellings of the usual rewards. False and True, the results of comparisons, find the same entries.
_NUMBERS = {0.0: b"0.0", 1.0: b"1.0"}


def _texts(values: Sequence[str]) -> list[bytes]:
    """The JSON of each text by `dumps`, without the quotes, in a single call."""
    text = dumps(values)
    # A quote within a text makes splitting ambiguous; half a surrogate pair makes `dumps` escape the whole text.
    if b'\\"' in text or b"\\ud" in text:
        return [dumps(value)[1:-1] for value in values]
    return text[2:-2].split(b'","')


def _numbers(values: Sequence[float]) -> list[bytes]:
    """The JSON of each number by `dumps`, in a single call."""
    try:
        return list(map(_NUMBERS.__getitem__, values))
    except KeyError:
        return dumps([_number(value) for value in values])[1:-1].split(b",")


def _number(value: float) -> float:
    """The number as a float and never -0.0, so that equal rewards have one spelling."""
    return value + 0.0


def _columns(rows: list[DataRow], field_map: FieldMap) -> tuple[list[str], list[Any]]:
    """The samples and items of rows whose samples are texts in plain fields; raises NotColumnar for other rows."""
    try:
        samples: list[Any] = [row[field_map.sample] for row in rows]  # type: ignore[index]  # TypeError for UnreadableRow
        items: list[Any] = [row[field_map.item] for row in rows] if field_map.item else rows  # type: ignore[index]  # no UnreadableRow is left
        if field_map.item_map:
            items = [item_of(row, field_map) for row in rows]  # type: ignore[arg-type]  # no UnreadableRow is left
    except (KeyError, TypeError):
        raise NotColumnar from None
    if set(map(type, samples)) != {str} or set(map(type, items)) != {dict}:
        raise NotColumnar
    return samples, items


def _row_text(row: DataRow, raw: bytes | None) -> bytes:
    """The JSON of a data row for its result line. An excerpt is followed by "cut": true."""
    # a TypeError is a value without a JSON form, which the grader did not read
    with suppress(TypeError):
        text = dumps(row) if raw is None else raw
        if len(text) <= ROW_MAX_BYTES:
            return text
    return dumps(_excerpt(row)) + b',"cut":true'


def _excerpt(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX_CHARS else value[:TEXT_MAX_CHARS] + "…"
    if isinstance(value, dict):
        return {key: _excerpt(inner) for key, inner in value.items()}
    # the end of a long list, which in a conversation is the answer
    if isinstance(value, list):
        return [_excerpt(inner) for inner in value[-LIST_MAX:]]
    return value if value is None or isinstance(value, (int, float)) else None
