"""Reward audits: search a grader for rewards that a wrong answer can earn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.audit.check import RewardNotOk, assert_reward_ok, check_reward
    from graders.audit.families import FAMILIES
    from graders.audit.search import Attack, Exploit, attack

_HOMES = {
    "Attack": "graders.audit.search",
    "Exploit": "graders.audit.search",
    "FAMILIES": "graders.audit.families",
    "RewardNotOk": "graders.audit.check",
    "assert_reward_ok": "graders.audit.check",
    "attack": "graders.audit.search",
    "check_reward": "graders.audit.check",
}

__all__ = ["FAMILIES", "Attack", "Exploit", "RewardNotOk", "assert_reward_ok", "attack", "check_reward"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
