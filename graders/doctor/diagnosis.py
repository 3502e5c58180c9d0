"""Diagnoses, a line each, and the specs that they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graders.errors import SpecError
from graders.kinds.reading import read
from graders.spec.model import SpecModel
from graders.spec.reading import Source


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One diagnosis.

    Attributes:
        part: "engine", "libraries", "sandbox", "programs" or "judges".
        ok: Whether it works; None if it is optional and absent, or was not tried.
        text: The finding, with a remedy if it does not work.
    """

    part: str
    name: str
    ok: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class NamedSpec:
    """A spec to diagnose.

    Attributes:
        name: Its name as given.
        leaves: Its graders without members; () when it is not valid.
        problem: The reason why it is not valid; "" when it is.
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
