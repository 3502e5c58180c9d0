"""Find out in seconds whether a reward is broken: reward checks, golden rewards, and strategies for hypothesis.

    from graders.testing import assert_reward_ok

    rows = [{"id": "fr", "item": {"answer": "Paris"}, "gold": "Paris", "prompt": "The capital of France?"}, ...]
    assert_reward_ok("capitals.grader.json", rows)

Names are loaded when they are first touched; only `samples`, `items` and `specs` need hypothesis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graders.audit.check import RewardNotOk, assert_reward_ok, check_reward
    from graders.audit.checks import CHECKS
    from graders.audit.probe import CannotCheck, Finding
    from graders.judges.scripted import ScriptedJudge, Step, fail, say
    from graders.testing.golden import Golden
    from graders.testing.strategies import items, samples, specs

_HOMES = {
    "CHECKS": "graders.audit.checks",
    "CannotCheck": "graders.audit.probe",
    "Finding": "graders.audit.probe",
    "Golden": "graders.testing.golden",
    "RewardNotOk": "graders.audit.check",
    "ScriptedJudge": "graders.judges.scripted",
    "Step": "graders.judges.scripted",
    "assert_reward_ok": "graders.audit.check",
    "check_reward": "graders.audit.check",
    "fail": "graders.judges.scripted",
    "items": "graders.testing.strategies",
    "samples": "graders.testing.strategies",
    "say": "graders.judges.scripted",
    "specs": "graders.testing.strategies",
}

__all__ = [
    "CHECKS",
    "CannotCheck",
    "Finding",
    "Golden",
    "RewardNotOk",
    "ScriptedJudge",
    "Step",
    "assert_reward_ok",
    "check_reward",
    "fail",
    "items",
    "samples",
    "say",
    "specs",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'graders.testing' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
