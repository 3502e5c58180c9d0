"""Kind, the compiled form of every grader type: the interface that the engine uses."""

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
    """Raised for a chunk with a row that is not plain: the caller grades the chunk row by row."""


class ColumnScores(NamedTuple):
    """The rewards of a chunk's rows, none of which failed; `sub_rewards`: key -> the rewards of that member."""

    rewards: Sequence[float]
    sub_rewards: Mapping[str, Sequence[float]] = _NONE


#: (samples, items) -> the rewards; raises NotColumnar.
GradeColumns: TypeAlias = Callable[[Sequence[str], Sequence[Any]], ColumnScores]


class Kind:
    """A compiled grader of one type. Its functions are pure: no socket, no process, no clock.

    Attributes:
        n_asks: Number of asks that each row makes, fixed at compile.
        provenance: How the numbers are made, as far as the spec alone decides it.
        failed_reward: The reward reported for a row that could not be graded, beside its flags.
    """

    n_asks: int = 0
    failed_reward: float = 0.0
    provenance: Mapping[str, Any] = MappingProxyType({})

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        """The row's asks; () for local kinds."""
        return ()

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        """The score; raises the narrowest GradeError."""
        raise NotImplementedError(f"{type(self).__name__} has no grade")

    def columns(self) -> GradeColumns | None:
        """The columnar form of `grade`, for speed; None for kinds without one."""
        return None
