"""What every reader of documents makes: the graders that a document holds, by name, and what of it is no grader."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from graders.errors import Problem
from graders.spec.wording import Json

#: Steps of a path: keys and list indexes.
Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """One grader of a document: its JSON, not yet checked, and where it stands."""

    value: Json
    at: Steps = ()


@dataclass(slots=True)
class Document:
    """What a document holds.

    Attributes:
        form: What it is, such as "a fine-tuning job".
        graders: By name.
        lost: What of it is not a grader, one sentence each.
        problems: What its own rules say against it, paths in its own words.
        for_training: Whether its graders are for training, which takes a limited number of rows.
        row: The run endpoint's `model_sample` and `item`, where they stand beside the grader.
    """

    form: str
    graders: dict[str, Held] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    for_training: bool = False
    row: Mapping[str, Any] = field(default_factory=dict)

    def add(self, value: Json, at: Steps, default: str) -> None:
        """Add a grader under its own name, or `default`; a second one of that name gets a number."""
        value = plain(value)
        name = value.get("name") if isinstance(value, Mapping) else None
        self.graders[unique(str(name or default), self.graders)] = Held(value, at)


def unique(name: str, taken: Container[str]) -> str:
    """The name, with a free number behind it where it is taken: `exact`, `exact_2`, ..."""
    if name not in taken:
        return name
    # doubling finds where free numbers begin, so that many equal names take no quadratic time
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
    """A grader whose fields stand in an object named as its type, as azd writes it, with them beside the type."""
    if not isinstance(grader, Mapping):
        return grader
    inner = grader.get(str(grader.get("type")))
    if isinstance(inner, Mapping):
        grader = {"type": grader["type"], **{k: v for k, v in grader.items() if v is not inner}, **inner}
    return dict(grader)
