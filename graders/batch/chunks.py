"""Chunks of rows with their ids, and the interface of the workers that grade them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

from graders.datasets.rows import Chunk
from graders.results.lines import LineWriter, ResultChunk

#: Rows and their ids.
RowChunk: TypeAlias = tuple[Chunk, list[str]]


class Workers(Protocol):
    """Graders of chunks outside this process: on this machine (workers.py) or a cluster (ray.py)."""

    def grade(self, lines: LineWriter, parts: Iterator[RowChunk]) -> Iterator[ResultChunk]:
        """The graded chunks, in any order; takes as many at once as keep the workers busy."""
        ...


def subset(chunk: Chunk, ids: list[str], places: Sequence[int]) -> RowChunk:
    return chunk.some(places), [ids[place] for place in places]


def cut(parts: Iterator[RowChunk], most: int) -> Iterator[RowChunk]:
    """The same rows in chunks of at most `most`."""
    for chunk, ids in parts:
        for start in range(0, len(ids), most):
            yield subset(chunk, ids, range(start, min(start + most, len(ids))))
