"""The attack suite: attempts at every row of the threat matrix in a real jail. Each must fail for one exact reason.

    python -m graders_sandbox attack [--tier TIER]... [--row ROW]... [--slow] [--json]

The package's tests run it; it runs on any other machine too.
"""

from __future__ import annotations

import argparse
import errno
import json
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from graders_sandbox.host.sandbox import Sandbox
from graders_sandbox.limits import TIERS, Job, Limits, Outcome, SandboxUnavailable

from .attempt import MultiSampleAttack
from .cases import ATTACKS, program
from .matrix import ROWS, AttackCase
from .multi_sample import MULTI_SAMPLE_ATTACKS
from .targets import AttackTargets

#: Small limits, which are filled quickly. The attacks rely on these figures.
SMALL = Limits(
    wall_s=30.0,
    cpu_s=1.0,
    memory_bytes=256 << 20,
    disk_bytes=16 << 20,
    inodes=400,
    descriptors=128,
    threads=32,
)
IN_FLIGHT = 4
ALL: tuple[AttackCase | MultiSampleAttack, ...] = (*ATTACKS, *MULTI_SAMPLE_ATTACKS)


@dataclass(frozen=True, slots=True)
class AttackResult:
    """The result of one attack.

    Attributes:
        row, name: The row and name of the attack.
        held: Whether it failed for a reason that is expected in this tier.
        known: Whether it succeeded in a tier where that is known; the README states the consequence.
        reason: The reason as `reason` names it.
        expected: The reasons that count as held.
        text: The text of the outcome.
        default_limits: Whether the sandbox had the default limits.
    """

    row: int
    name: str
    held: bool
    known: bool
    reason: str
    expected: tuple[str, ...]
    text: str = ""
    default_limits: bool = False


def reason(outcome: Outcome) -> str:
    """An outcome in a word or two.

    For a value: the error that the attack's body met ("EPERM"), THROUGH, NOTHING, UNCHANGED, or "value N" for any other
    number. For an exception of the program: "stage Type" ("grade TypeError"). For any other outcome: its status and kind
    ("timeout wall", "crash SIGSEGV", "no_result").
    """
    if outcome.value is not None:
        special = {0.0: "THROUGH", -1.0: "NOTHING", -2.0: "UNCHANGED"}
        error = errno.errorcode.get(int(-1000 - outcome.value), "").replace("EOPNOTSUPP", "ENOTSUP")
        return special.get(outcome.value) or error or f"value {outcome.value:g}"
    if outcome.status == "grader_error":
        return f"{outcome.stage} {outcome.error_type}"
    return f"{outcome.status} {outcome.error_type}".strip()


def attacks(
    tier: str, *, rows: Iterable[int] = (), slow: bool = False
) -> list[AttackCase | MultiSampleAttack]:
    """The attacks that can be made in this tier on this machine."""
    chosen = set(rows) or set(ROWS)
    machine = platform.machine()
    return [
        attack
        for attack in ALL
        if attack.row in chosen
        and attack.expected(tier)
        and not (isinstance(attack, AttackCase) and attack.machine not in ("", machine))
        and not (isinstance(attack, AttackCase) and (attack.default_limits or attack.costly) and not slow)
    ]


def attempt(
    sandbox: Sandbox, targets: AttackTargets, chosen: Iterable[AttackCase | MultiSampleAttack]
) -> Iterator[AttackResult]:
    """Make attacks in a sandbox, single-sample ones in parallel; the last result is the state of the targets."""
    chosen = list(chosen)
    single = [attack for attack in chosen if isinstance(attack, AttackCase)]
    source = program()
    numbers = {id(attack): number for number, attack in enumerate(ATTACKS)}
    jobs = (
        Job(
            attack.source or source,
            {},
            attack.item or {**targets.item(), "attack": numbers.get(id(attack))},
            timeout_s=attack.timeout_s,
        )
        for attack in single
    )
    for attack, outcome in zip(single, sandbox.run_many(jobs), strict=True):
        yield _result(attack, sandbox, reason(outcome), outcome.text)
    for multiple in (attack for attack in chosen if isinstance(attack, MultiSampleAttack)):
        yield _result(multiple, sandbox, multiple.drive(sandbox, targets))
    touched = targets.touched()
    yield AttackResult(
        0,
        "the targets are as they were",
        not touched,
        False,
        ", ".join(touched) or "untouched",
        ("untouched",),
        "",
        sandbox.limits != SMALL,
    )


def _result(
    attack: AttackCase | MultiSampleAttack, sandbox: Sandbox, found: str, text: str = ""
) -> AttackResult:
    tier = sandbox.tier
    expected = attack.expected(tier)
    known = isinstance(attack, AttackCase) and tier in attack.known and found == "THROUGH"
    return AttackResult(
        attack.row, attack.name, found in expected, known, found, expected, text, sandbox.limits != SMALL
    )


def run(tier: str, *, rows: Iterable[int] = (), slow: bool = False) -> Iterator[AttackResult]:
    """Attack this tier.

    Raises:
        SandboxUnavailable: the tier does not work on this machine.
    """
    chosen = attacks(tier, rows=rows, slow=slow)
    small = [attack for attack in chosen if not (isinstance(attack, AttackCase) and attack.default_limits)]
    with AttackTargets() as targets:
        with Sandbox(tier=tier, limits=SMALL, in_flight=IN_FLIGHT) as sandbox:
            yield from attempt(sandbox, targets, small)
        if slow:
            with Sandbox(tier=tier, in_flight=IN_FLIGHT) as sandbox:
                again = [
                    attack for attack in small if not (isinstance(attack, AttackCase) and attack.small_limits)
                ]
                yield from attempt(sandbox, targets, again)
            with Sandbox(tier=tier, in_flight=1) as sandbox:
                yield from attempt(sandbox, targets, [attack for attack in chosen if attack not in small])


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if every attack was held, 1 if one was not or no tier works, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        "graders_sandbox attack", description="Attack the sandbox of this machine."
    )
    parser.add_argument(
        "--tier", action="append", choices=TIERS, help="only this tier; default: all that work here"
    )
    parser.add_argument(
        "--row", action="append", type=int, choices=sorted(ROWS), metavar="N", help="only this row"
    )
    parser.add_argument(
        "--slow",
        action="store_true",
        help="also under the default limits, and those that fill them (minutes)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    report: list[dict[str, object]] = []
    for tier in options.tier or TIERS:
        try:
            results = []
            for result in run(tier, rows=options.row or (), slow=options.slow):
                results.append(result)
                if not options.json and not result.held:
                    print(
                        f"{tier}  NOT HELD  row {result.row}, {result.name}: {result.reason}, expected {' or '.join(result.expected)}  {result.text[-500:]}"
                    )
        except SandboxUnavailable as error:
            report.append({"tier": tier, "works": False, "why": str(error), "attacks": []})
            if not options.json:
                print(f"{tier:<15} does not work here: {error}")
            continue
        report.append({"tier": tier, "works": True, "attacks": [asdict(result) for result in results]})
        if not options.json:
            held = sum(result.held for result in results)
            print(
                f"{tier:<15} {held} of {len(results)} held, rows {len({r.row for r in results} - {0})} of {len(ROWS)}"
            )
            for result in results:
                if result.known:
                    print(f"{'':<15} known not to be held here: row {result.row}, {result.name}")
    if options.json:
        json.dump(report, sys.stdout, indent=2)
        print()
    worked = [tier for tier in report if tier["works"]]
    missed = [r for tier in worked for r in tier["attacks"] if not r["held"]]  # type: ignore[attr-defined]  # a report is plain JSON
    return 0 if worked and not missed and (len(worked) == len(report) or not options.tier) else 1
