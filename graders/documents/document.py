"""Document, the result of every reader: a document's graders by name, and its parts that are not graders."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from graders.errors import Problem
from graders.spec.wording import Json

#: Steps of a path: keys and list indexes.
Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class DocumentGrader:
    """One grader of a document: its JSON, not checked yet, and its path."""

    value: Json
    at: Steps = ()


@dataclass(slots=True)
class Document:
    """The contents of a document.

    Attributes:
        form: The kind of document, such as "a fine-tuning job".
        graders: Its graders by name.
        lost: Its parts that are not graders, one sentence each.
        problems: Violations of the document's own rules, with paths as in the document.
        for_training: Whether its graders are for training, which accepts a limited number of rows.
        row: The run endpoint's `model_sample` and `item`, if they stand beside the grader.
    """

    form: str
    graders: dict[str, DocumentGrader] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    for_training: bool = False
    row: Mapping[str, Any] = field(default_factory=dict)

    def add(self, value: Json, at: Steps, default: str) -> None:
        """Add a grader under its own name, or `default`; a repeated name gets a number."""
        value = plain(value)
        name = value.get("name") if isinstance(value, Mapping) else None
        self.graders[unique(str(name or default), self.graders)] = DocumentGrader(value, at)


def unique(name: str, taken: Container[str]) -> str:
    """The name, followed by the first free number where it is taken: `exact`, `exact_2`, ..."""
    if name not in taken:
        return name
    # doubling finds the first free number without quadratic time for many equal names
    free = 2
    while f"{name}_{free}" in taken:
        free *= 2
    used = free // 2
    while free - used > 1:
        middle = (used + free) // 2
        if f"{name}_{middle}" in taken:
            used = middle
        else:
            free = middle
    return f"{name}_{free}"


def plain(grader: Json) -> Json:
    """A grader in the wire's form. azd nests the fields in an object with the name of the type."""
    if not isinstance(grader, Mapping):
        return grader
    inner = grader.get(str(grader.get("type")))
    if isinstance(inner, Mapping):
        grader = {"type": grader["type"], **{k: v for k, v in grader.items() if v is not inner}, **inner}
    return dict(grader)
