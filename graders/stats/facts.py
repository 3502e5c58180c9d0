"""What the spec in a results file says about its rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graders.spec.model import SpecModel


def model_of(spec: Mapping[str, Any]) -> SpecModel | None:
    """The model of a header's spec; None where this version does not know its type or finds it invalid."""
    # here, since pydantic takes a tenth of a second and the terminal's progress does not need it
    from graders.kinds import read_grader
    from graders.spec.problems import Problems

    return read_grader(dict(spec), Problems())


def reward_range(spec: Mapping[str, Any]) -> tuple[float, float] | None:
    """The least and the most that a spec's reward can be; None where it does not say, or its type is not installed."""
    from graders.kinds import spec_of

    try:
        model = spec_of(spec["type"])
    except KeyError:
        return None
    found = model.model_construct(**spec).reward_range()
    return found and (float(found[0]), float(found[1]))
