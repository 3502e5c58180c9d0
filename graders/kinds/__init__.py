"""The grader types: one file and one line each.

A kind's file holds its spec (pydantic, the wire's JSON) and the plain object that the spec builds:

    n_asks: int                           how many asks each row makes, fixed at compile
    ask(row) -> Sequence[Ask]             what the row needs from outside; () for local kinds
    grade(row, answers) -> Score          the score, or raises the narrowest GradeError
    provenance: Mapping[str, Any]         what made the numbers, as far as the spec alone decides it

Both functions are pure: no socket, no process, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from graders.ask import Answer, Ask
from graders.errors import GradeError
from graders.result import Score
from graders.row import Row

if TYPE_CHECKING:
    from graders.spec.reading import SpecModel

#: type on the wire -> where its spec is
KINDS: dict[str, str] = {
    "string_check": "graders.kinds.string_check:StringCheckSpec",
    "text_similarity": "graders.kinds.text_similarity:TextSimilaritySpec",
    "python": "graders.kinds.python:PythonSpec",
    "score_model": "graders.kinds.score_model:ScoreModelSpec",
    "label_model": "graders.kinds.label_model:LabelModelSpec",
    "multi": "graders.kinds.multi:MultiSpec",
}


class Kind(Protocol):
    """A compiled grader of one type."""

    @property
    def n_asks(self) -> int: ...

    @property
    def provenance(self) -> Mapping[str, Any]: ...

    def ask(self, row: Row) -> Sequence[Ask | GradeError]: ...

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score: ...


def spec_of(kind: str) -> type[SpecModel]:
    """The spec model of a type of KINDS."""
    module, _, name = KINDS[kind].partition(":")
    model: type[SpecModel] = getattr(import_module(module), name)
    return model
