"""What the doctor says, a line each, and the specs that it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graders.errors import SpecError
from graders.kinds.reading import read
from graders.spec.model import SpecModel
from graders.spec.reading import Source


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        part: "engine", "libraries", "sandbox", "programs" or "judges".
        ok: Whether it works; None where it is optional and absent, or was not tried.
        text: What was found, and what to do where it does not work.
    """

    part: str
    name: str
    ok: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class NamedSpec:
    """A spec to look at.

    Attributes:
        name: As it was given.
        leaves: The graders in it that do the work; () where it is not valid.
        problem: Why it is not valid; "" where it is.
    """

    name: str
    leaves: Sequence[SpecModel] = ()
    problem: str = ""


def named_spec(name: str, source: Callable[[], Source]) -> NamedSpec:
    """The spec of a source, which may raise SpecError."""
    try:
        return NamedSpec(name, tuple(read(source()).spec.leaves().values()))
    except SpecError as error:
        return NamedSpec(name, problem=str(error))
