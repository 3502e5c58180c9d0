"""Reward checks: a sound grader rewards right answers and no others. Names of the other audits are here too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.attack.climb import Climb, climb
    from graders.attack.families import FAMILIES
    from graders.attack.search import Attack, Exploit, attack
    from graders.audit.check import RewardNotOk, assert_reward_ok, check_reward
    from graders.calibration.bias import PROBES, probed
    from graders.calibration.calibration import Calibration, calibrate
    from graders.calibration.rows import GradedRows, from_results, graded
    from graders.mutation.mutation import Mutation, mutate

_HOMES = {
    "Attack": "graders.attack.search",
    "Calibration": "graders.calibration.calibration",
    "Climb": "graders.attack.climb",
    "Exploit": "graders.attack.search",
    "FAMILIES": "graders.attack.families",
    "GradedRows": "graders.calibration.rows",
    "Mutation": "graders.mutation.mutation",
    "PROBES": "graders.calibration.bias",
    "RewardNotOk": "graders.audit.check",
    "assert_reward_ok": "graders.audit.check",
    "attack": "graders.attack.search",
    "calibrate": "graders.calibration.calibration",
    "check_reward": "graders.audit.check",
    "climb": "graders.attack.climb",
    "from_results": "graders.calibration.rows",
    "graded": "graders.calibration.rows",
    "mutate": "graders.mutation.mutation",
    "probed": "graders.calibration.bias",
}

__all__ = [
    "FAMILIES", "PROBES", "Attack", "Calibration", "Climb", "Exploit", "GradedRows", "Mutation", "RewardNotOk", "assert_reward_ok",
    "attack", "calibrate", "check_reward", "climb", "from_results", "graded", "mutate", "probed",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
