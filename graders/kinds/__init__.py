"""The grader types: one file and one line each.

A type's file holds its spec, a `SpecModel` (the wire's JSON and the facts of the type), and the `Kind` that the spec
builds. Both are pure: no socket, no process, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from graders.plugins import installed
from graders.suggest import did_you_mean

if TYPE_CHECKING:
    from graders.spec.model import SpecModel
    from graders.spec.problems import Problems
    from graders.spec.wording import Json

#: type on the wire -> `module:SpecModel`
KINDS: dict[str, str] = {
    "string_check": "graders.kinds.string_check:StringCheckSpec",
    "text_similarity": "graders.kinds.text_similarity:TextSimilaritySpec",
    "python": "graders.kinds.python:PythonSpec",
    "score_model": "graders.kinds.score_model:ScoreModelSpec",
    "label_model": "graders.kinds.label_model:LabelModelSpec",
    "multi": "graders.kinds.multi:MultiSpec",
    "endpoint": "graders.kinds.endpoint:EndpointSpec",
}
#: Ending of a program's file -> the type of its grader, and the field that holds the source.
PROGRAMS: dict[str, tuple[str, str]] = {".py": ("python", "source")}
#: The entry-point group in which other distributions offer types: name -> `module:SpecModel`.
GROUP = "graders.kinds"


def known_types() -> tuple[str, ...]:
    """Every type that a spec may name; types of other distributions come last."""
    return (*KINDS, *(name for name in installed(GROUP) if name not in KINDS))


def distribution_of(kind: str) -> str:
    """Name and version of the distribution that a type comes with; "" for the types of KINDS."""
    return "" if kind in KINDS else installed(GROUP)[kind].distribution


def program_grader(program: str, name: str, ending: str = ".py") -> dict[str, Json]:
    """The JSON of the grader for a program, by the ending of its file."""
    kind, field = PROGRAMS[ending]
    return {"type": kind, "name": name, field: program}


def spec_of(kind: str) -> type[SpecModel]:
    """The spec model of a type.

    Raises:
        KeyError: there is no such type, here or in another distribution.
    """
    home = KINDS.get(kind) or installed(GROUP)[kind].home
    module, _, name = home.partition(":")
    model: type[SpecModel] = getattr(import_module(module), name)
    return model


def read_grader(raw: Json, problems: Problems, *, nested: bool = False) -> SpecModel | None:
    """The checked model of a grader's JSON; None, with every problem reported, when it is not valid.

    Args:
        nested: Whether the grader is a member of another one.
    """
    from graders.spec.wording import bad_value, missing, one_of, wrong_type

    def supported() -> Sequence[str]:
        return [name for name in known_types() if not nested or spec_of(name).nestable]

    if not isinstance(raw, dict):
        problems.error(wrong_type(problems.where(), "an object", raw), "invalid_type")
        return None
    if "type" not in raw:
        message = missing(problems.where("type"))
        problems.error(message, "missing_required_parameter", "type", suggestion=one_of(supported()))
        return None
    kind = raw["type"]
    if not isinstance(kind, str):
        problems.error(wrong_type(problems.where("type"), "a string", kind), "invalid_type", "type")
        return None
    if kind not in KINDS and kind not in installed(GROUP):
        hint = did_you_mean(kind, supported())
        problems.error(bad_value(kind, supported()), "invalid_value", "type", suggestion=hint)
        return None
    model = spec_of(kind)
    if nested and not model.nestable:
        hint = f"A '{kind}' grader cannot stand inside another one."
        problems.error(bad_value(kind, supported()), f"nested_{kind}", "type", suggestion=hint)
        return None
    return model.read(raw, problems)
