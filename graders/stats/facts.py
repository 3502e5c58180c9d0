"""Facts about rewards from the spec in a results file's header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graders.spec.model import SpecModel


def model_of(spec: Mapping[str, Any]) -> SpecModel | None:
    """The model of a header's spec; None where its type is unknown here or the spec is invalid."""
    # here, since pydantic takes a tenth of a second and the terminal's progress does not need it
    from graders.kinds import read_grader
    from graders.spec.problems import Problems

    return read_grader(dict(spec), Problems())


def reward_range(spec: Mapping[str, Any]) -> tuple[float, float] | None:
    """The least and the largest reward of a spec; None where it sets no bounds, or its type is not installed."""
    from graders.kinds import spec_of

    try:
        model = spec_of(spec["type"])
    except KeyError:
        return None
    found = model.model_construct(**spec).reward_range()
    return found and (float(found[0]), float(found[1]))
