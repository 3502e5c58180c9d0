"""Tests of graders: reward checks, golden rewards, suites, and strategies for hypothesis.

    from graders.testing import assert_reward_ok

    rows = [{"id": "fr", "item": {"answer": "Paris"}, "gold": "Paris", "prompt": "The capital of France?"}, ...]
    assert_reward_ok("capitals.grader.json", rows)

Names are loaded when first used; only `samples`, `items` and `specs` need hypothesis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.audit.check import RewardNotOk, assert_reward_ok, check_reward
    from graders.audit.checks import CHECKS
    from graders.judges.scripted import ScriptedJudge, Step, fail, say
    from graders.session.findings import CannotCheck, Finding
    from graders.testing.golden import Golden
    from graders.testing.strategies import items, samples, specs
    from graders.testing.suite_runs import Outcome, SuiteRun, compile_suite
    from graders.testing.suites import Suite, read_suite

_HOMES = {
    "CHECKS": "graders.audit.checks",
    "CannotCheck": "graders.session.findings",
    "Finding": "graders.session.findings",
    "Golden": "graders.testing.golden",
    "Outcome": "graders.testing.suite_runs",
    "RewardNotOk": "graders.audit.check",
    "ScriptedJudge": "graders.judges.scripted",
    "Step": "graders.judges.scripted",
    "Suite": "graders.testing.suites",
    "SuiteRun": "graders.testing.suite_runs",
    "assert_reward_ok": "graders.audit.check",
    "check_reward": "graders.audit.check",
    "compile_suite": "graders.testing.suite_runs",
    "fail": "graders.judges.scripted",
    "items": "graders.testing.strategies",
    "read_suite": "graders.testing.suites",
    "samples": "graders.testing.strategies",
    "say": "graders.judges.scripted",
    "specs": "graders.testing.strategies",
}

__all__ = [
    "CHECKS",
    "CannotCheck",
    "Finding",
    "Golden",
    "Outcome",
    "RewardNotOk",
    "ScriptedJudge",
    "Step",
    "Suite",
    "SuiteRun",
    "assert_reward_ok",
    "check_reward",
    "compile_suite",
    "fail",
    "items",
    "read_suite",
    "samples",
    "say",
    "specs",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
