"""Reward audits: search a grader for rewards that a wrong answer can earn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.audit.bias import PROBES, probed
    from graders.audit.calibration import Calibration, calibrate
    from graders.audit.check import RewardNotOk, assert_reward_ok, check_reward
    from graders.audit.climb import Climb, climb
    from graders.audit.families import FAMILIES
    from graders.audit.labelled import Labelled, from_results, graded
    from graders.audit.mutation import Mutation, mutate
    from graders.audit.search import Attack, Exploit, attack

_HOMES = {
    "Attack": "graders.audit.search",
    "Calibration": "graders.audit.calibration",
    "Climb": "graders.audit.climb",
    "Exploit": "graders.audit.search",
    "FAMILIES": "graders.audit.families",
    "Labelled": "graders.audit.labelled",
    "Mutation": "graders.audit.mutation",
    "PROBES": "graders.audit.bias",
    "RewardNotOk": "graders.audit.check",
    "assert_reward_ok": "graders.audit.check",
    "attack": "graders.audit.search",
    "calibrate": "graders.audit.calibration",
    "check_reward": "graders.audit.check",
    "climb": "graders.audit.climb",
    "from_results": "graders.audit.labelled",
    "graded": "graders.audit.labelled",
    "mutate": "graders.audit.mutation",
    "probed": "graders.audit.bias",
}

__all__ = [
    "FAMILIES", "PROBES", "Attack", "Calibration", "Climb", "Exploit", "Labelled", "Mutation", "RewardNotOk", "assert_reward_ok",
    "attack", "calibrate", "check_reward", "climb", "from_results", "graded", "mutate", "probed",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
