"""`check_reward` and `assert_reward_ok`: the checks of a reward on a handful of rows."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

from graders.audit.checks import CHECKS, SEVERITY
from graders.audit.whole import BLINDNESS, WHEN_SLOW
from graders.datasets.load import rows_of
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.session.findings import Finding
from graders.session.rows import read_rows
from graders.session.session import AuditSession, CheckOptions
from graders.suggest import known_names

MAX_ROWS = 24  # a flaw shows on a few rows, and each costs some fifty samples
MAX_JUDGED_ROWS = 6  # where each of them is a call


class RewardNotOk(AssertionError):
    """Raised when checks have findings, which are in `findings`."""

    def __init__(self, findings: list[Finding], name: str) -> None:
        self.findings = findings
        lines = [f"{name}: {len(findings)} finding{'s' if len(findings) > 1 else ''}"]
        super().__init__("\n  ".join([*lines, *map(str, findings)]))


def check_reward(
    spec: object,
    rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
    *,
    checks: Collection[str] | None = None,
    skip: Collection[str] = (),
    blind_to: Collection[str] = (),
    scale: tuple[float, float] | None = None,
    latency_s: float = 1.0,
    repeats: int = 3,
    max_rows: int | None = None,
    seed: int = 0,
    backends: Backends | None = None,
) -> list[Finding]:
    """The findings of the reward checks about a grader; [] when there are none.

    Args:
        spec: As for graders.compile.
        rows: {"id", "item", "gold": a sample that deserves the top, "prompt"?: what the model is shown, "bad"?: samples
            that deserve the bottom, "group"?: rows compared with each other in training}; or the path of a JSONL or
            Parquet file of them. Three different golds are enough for most flaws.
        checks: Names of CHECKS to run; None: all of them.
        skip: Names of CHECKS to leave out.
        blind_to: Differences that must not matter: "whitespace" (outer), "case".
        scale: The rewards a wrong and a right answer should get; None: a judge's own `range`, else 0 to 1.
        latency_s: The budget for one row, as a median; ten times as much where a judge is asked.
        repeats: Number of repeated gradings of a sample to see whether its reward changes.
        max_rows: Largest number of rows; more are sampled. None: 24, and 6 where a judge is asked.
        seed: Seed of that sampling.
        backends: They answer the grader's asks; None: as configured by graders.toml and the environment.

    Raises:
        SpecError: the spec is not valid.
        ValueError: a row lacks a gold, two share an id, a check or claim has no such name, a scale is upside down.
        CannotCheck: the sandbox or the judge could not be used, so that there is no result.
    """
    known_names(checks or (), CHECKS, "check")
    known_names(skip, CHECKS, "check")
    known_names(blind_to, BLINDNESS, "claim")
    if scale is not None and not scale[0] < scale[1]:
        raise ValueError(f"the scale goes from the wrong answer's reward up to the right one's, not {scale}")
    grader = compile(spec, backends=backends)
    read = read_rows(rows_of(rows))
    settings = CheckOptions(frozenset(blind_to), scale, latency_s, repeats)
    wanted = [name for name in CHECKS if (checks is None or name in checks) and name not in skip]
    findings: list[Finding] = []
    with AuditSession(grader, read, settings) as session:
        limit = max_rows or (MAX_JUDGED_ROWS if session.judged else MAX_ROWS)
        if len(read) > limit:
            kept = sorted(random.Random(seed).sample(range(len(read)), limit))
            session.rows = [read[index] for index in kept]
        session.read_scale()
        while wanted:
            name = wanted.pop(0)
            found = [_with_severity(finding) for finding in CHECKS[name](session)]
            findings += found
            if name == "latency" and found:
                wanted = [left for left in wanted if left in WHEN_SLOW]
    return findings


def _with_severity(finding: Finding) -> Finding:
    """A finding with its check's severity, unless it is a note."""
    usual = SEVERITY.get(finding.check)
    return finding if usual is None or finding.severity == "note" else replace(finding, severity=usual)


def assert_reward_ok(
    spec: object, rows: Iterable[Mapping[str, Any]] | str | PathLike[str], **options: Any
) -> None:
    """Fail with every exploit and fault that `check_reward` finds, notes aside; its options are the same.

    Raises:
        RewardNotOk: (an AssertionError) there is a finding.
    """
    __tracebackhide__ = True
    if findings := [f for f in check_reward(spec, rows, **options) if f.severity != "note"]:
        raise RewardNotOk(findings, compile(spec, backends=options.get("backends")).name)
