"""A compiled grader, whatever its type: what the engine asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from graders.ask import Answer, Ask
from graders.errors import GradeError
from graders.result import Score
from graders.row import Row

_NONE: Mapping[str, Sequence[float]] = {}


class NotColumnar(Exception):
    """A row of a chunk is not plain, so the chunk has to be graded row by row."""


class ColumnScores(NamedTuple):
    """The rewards of a chunk's rows, none of which failed; sub_rewards: key -> the same for that grader."""

    rewards: Sequence[float]
    sub_rewards: Mapping[str, Sequence[float]] = _NONE


#: (samples, items) -> the rewards; raises NotColumnar.
GradeColumns: TypeAlias = Callable[[Sequence[str], Sequence[Any]], ColumnScores]


class Kind:
    """A compiled grader of one type. Its functions are pure: no socket, no process, no clock.

    Attributes:
        n_asks: How many asks each row makes, fixed at compile.
        provenance: What made the numbers, as far as the spec alone decides it.
        failed_reward: The number that stands beside the flags of a row that could not be graded.
    """

    n_asks: int = 0
    failed_reward: float = 0.0
    provenance: Mapping[str, Any] = MappingProxyType({})

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        """What the row needs from outside; () for local kinds."""
        return ()

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        """The score; raises the narrowest GradeError."""
        raise NotImplementedError(f"{type(self).__name__} has no grade")

    def columns(self) -> GradeColumns | None:
        """The same over columns of plain rows, for speed; None where there is no such form."""
        return None
