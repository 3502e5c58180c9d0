"""The selection of rows of a dataset: which are graded, and how often."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from typing import Any

from graders.batch.chunks import RowChunk, subset
from graders.datasets.ids import IdAssigner
from graders.datasets.rows import CHUNK_ROWS, Chunk
from graders.fields import FieldMap, field_of
from graders.jsontext import dumps
from graders.results.read import read_results


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a field of the data row, compared as text: `topic=algebra`, `item.level!=3`."""

    field: str
    equal: bool
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """
        Raises:
            ValueError: it is not of the form FIELD=VALUE or FIELD!=VALUE.
        """
        field, sign, value = text.partition("=")
        if not sign or not field.rstrip("!"):
            raise ValueError(f"{text!r}; expected FIELD=VALUE or FIELD!=VALUE, such as topic=algebra")
        return cls(field.removesuffix("!"), not field.endswith("!"), value)

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row meets it; a missing field equals nothing."""
        value = field_of(row, self.field, None)
        text = value if isinstance(value, str) else dumps(value).decode()
        return (value is not None and text == self.value) is self.equal


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of rows, applied in the order of the attributes.

    Attributes:
        conditions: A row has to meet all of them.
        ids: Only rows with these ids; None is all.
        sample: Number of rows to draw by their ids and `seed`, independent of the data's order.
        limit: Number of rows, from the first.
        repeat: Number of times that each row is graded; the ids are ID, ID#2, ...
    """

    conditions: tuple[Condition, ...] = ()
    ids: frozenset[str] | None = None
    sample: int | None = None
    seed: int = 0
    limit: int | None = None
    repeat: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether every row is graded once."""
        return self == Selection(seed=self.seed)

    def total(self, rows: int | None) -> int | None:
        """The number of rows selected from `rows`; None when it is known only after reading."""
        if self.conditions:
            return None
        known = (rows, self.sample, self.limit, None if self.ids is None else len(self.ids))
        least = min((n for n in known if n is not None), default=None)
        return None if least is None else least * self.repeat

    def of(self, parts: Iterator[RowChunk]) -> Iterator[RowChunk]:
        """The selected rows of these chunks."""
        if self.conditions or self.ids is not None:
            parts = self._fitting(parts)
        if self.sample is not None:
            parts = self._sampled(parts, self.sample)
        if self.limit is not None:
            parts = _first(parts, self.limit)
        if self.repeat > 1:
            parts = _repeated(parts, self.repeat)
        return parts

    def _fitting(self, parts: Iterator[RowChunk]) -> Iterator[RowChunk]:
        for chunk, ids in parts:
            yield subset(
                chunk,
                ids,
                [
                    place
                    for place, (row, row_id) in enumerate(zip(chunk.rows, ids, strict=True))
                    if (self.ids is None or row_id in self.ids)
                    and all(isinstance(row, dict) and condition.holds(row) for condition in self.conditions)
                ],
            )

    def _sampled(self, parts: Iterator[RowChunk], n: int) -> Iterator[RowChunk]:
        """The rows whose ids have the smallest hashes, in the data's order."""
        key = self.seed.to_bytes(8, "big", signed=True)
        number = count()
        rows = (
            (
                blake2b(row_id.encode("utf-8", "surrogatepass"), key=key).digest(),
                next(number),
                chunk,
                place,
                row_id,
            )
            for chunk, ids in parts
            for place, row_id in enumerate(ids)
        )
        chosen = heapq.nsmallest(
            n, ((hash_, at, chunk.some([place]), name) for hash_, at, chunk, place, name in rows)
        )
        chosen.sort(key=lambda row: row[1])
        for start in range(0, len(chosen), CHUNK_ROWS):
            some = chosen[start : start + CHUNK_ROWS]
            raws = [one.raw for _, _, one, _ in some]
            yield (
                Chunk(
                    [one.rows[0] for _, _, one, _ in some],
                    None if None in raws else [raw[0] for raw in raws if raw is not None],
                    [one.numbers[0] for _, _, one, _ in some],
                ),
                [row_id for *_, row_id in some],
            )


def _first(parts: Iterator[RowChunk], limit: int) -> Iterator[RowChunk]:
    for chunk, ids in parts:
        if limit <= 0:
            return
        yield subset(chunk, ids, range(min(limit, len(ids))))
        limit -= len(ids)


def _repeated(parts: Iterator[RowChunk], times: int) -> Iterator[RowChunk]:
    names = IdAssigner(FieldMap())
    for chunk, ids in parts:
        places = [place for place in range(len(ids)) for _ in range(times)]
        again, same = subset(chunk, ids, places)
        yield again, names.numbered(same)


def ids_of(path: str, which: str, pass_threshold: float | None = None) -> frozenset[str]:
    """The ids of a results file's rows that failed, or that were graded and did not pass ("wrong").

    Raises:
        ResultsError: it is not a results file.
        ValueError: there is no pass threshold: none is given, the spec has none, and rewards are not all 0 or 1.
    """
    # here, since statistics need numpy
    import numpy as np

    from graders.stats.summary import threshold_of

    header, rows = read_results(path)
    if which == "failed":
        return frozenset(row.id for row in rows if not row.ok)
    rewards = {row.id: row.reward for row in rows if row.reward is not None}
    threshold = (
        threshold_of(header.spec, np.array(list(rewards.values())))
        if pass_threshold is None
        else pass_threshold
    )
    if threshold is None:
        raise ValueError(f"nothing says which rows of {path} are wrong: give --pass-threshold")
    return frozenset(row_id for row_id, reward in rewards.items() if reward < threshold)
