"""Grader types and metrics of other distributions, found by entry points.

A distribution offers its own in its pyproject.toml:

    [project.entry-points."graders.kinds"]
    number_check = "acme_graders.number_check:NumberCheckSpec"

    [project.entry-points."graders.metrics"]
    jaccard = "acme_graders.jaccard"

Entry points are read only when a name is not one of this project's, so that imports stay fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point.

    Attributes:
        home: The entry point's value: `module:name`, or a module.
        distribution: Name and version of the distribution that it comes with, such as `acme-graders 1.2`.
    """

    home: str
    distribution: str


@cache
def installed(group: str) -> dict[str, Plugin]:
    """Name -> plugin, for an entry-point group. The first found wins where two have one name."""
    from importlib.metadata import entry_points

    found: dict[str, Plugin] = {}
    for point in entry_points(group=group):
        distribution = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        found.setdefault(point.name, Plugin(point.value, distribution))
    return found
