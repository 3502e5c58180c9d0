"""Rows with their ids, as they are handed to whoever grades them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

from graders.datasets.rows import Chunk
from graders.results.lines import LineWriter, ResultChunk

#: Rows, and their ids.
RowChunk: TypeAlias = tuple[Chunk, list[str]]


class Workers(Protocol):
    """Whoever grades parts elsewhere: processes of this machine (workers.py), a cluster (ray.py)."""

    def grade(self, lines: LineWriter, parts: Iterator[RowChunk]) -> Iterator[ResultChunk]:
        """The parts, graded, in any order; takes as many at once as keep it busy."""
        ...


def subset(chunk: Chunk, ids: list[str], places: Sequence[int]) -> RowChunk:
    return chunk.some(places), [ids[place] for place in places]


def cut(parts: Iterator[RowChunk], most: int) -> Iterator[RowChunk]:
    """The same rows in parts of at most this many."""
    for chunk, ids in parts:
        for start in range(0, len(ids), most):
            yield subset(chunk, ids, range(start, min(start + most, len(ids))))
