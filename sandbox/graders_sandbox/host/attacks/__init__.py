"""The attack suite: every row of the threat matrix attempted in a real jail, each with the exact reason it must fail for.

    python -m graders_sandbox attack [--tier TIER]... [--row ROW]... [--slow] [--json]

It is what the package's tests run, and runs as well on the machine where it matters: yours.
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
from .matrix import ROWS, Attack
from .scene import Scene
from .together import TOGETHER

#: Small, so that filling them is cheap; the attacks name no other figure.
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
ALL: tuple[Attack | MultiSampleAttack, ...] = (*ATTACKS, *TOGETHER)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one attack.

    Attributes:
        row, name: As of the attack.
        held: It failed for a reason that was expected of this tier.
        known: It is known to succeed in this tier and did; the README names the consequence.
        reason: See `reason`.
        expected: The reasons that count as held.
        text: What the outcome says besides.
        default_limits: It was made under the default limits.
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

    What an attack's body returns: the name of the error that it met (EPERM), THROUGH, NOTHING, UNCHANGED; any other number is
    "value N". Exceptions are "stage Type" ("grade TypeError"), everything else is the status with its kind ("timeout
    wall", "crash SIGSEGV", "no_result").
    """
    if outcome.value is not None:
        special = {0.0: "THROUGH", -1.0: "NOTHING", -2.0: "UNCHANGED"}
        error = errno.errorcode.get(int(-1000 - outcome.value), "").replace("EOPNOTSUPP", "ENOTSUP")
        return special.get(outcome.value) or error or f"value {outcome.value:g}"
    if outcome.status == "grader_error":
        return f"{outcome.stage} {outcome.error_type}"
    return f"{outcome.status} {outcome.error_type}".strip()


def attacks(tier: str, *, rows: Iterable[int] = (), slow: bool = False) -> list[Attack | MultiSampleAttack]:
    """Those that can be made in this tier on this machine."""
    chosen = set(rows) or set(ROWS)
    machine = platform.machine()
    return [
        attack
        for attack in ALL
        if attack.row in chosen
        and attack.expected(tier)
        and not (isinstance(attack, Attack) and attack.machine not in ("", machine))
        and not (isinstance(attack, Attack) and (attack.default_limits or attack.costly) and not slow)
    ]


def attempt(sandbox: Sandbox, scene: Scene, chosen: Iterable[Attack | MultiSampleAttack]) -> Iterator[Result]:
    """Make these attacks in this sandbox, those of one sample side by side, and look at the scene after."""
    chosen = list(chosen)
    alone = [attack for attack in chosen if isinstance(attack, Attack)]
    source = program()
    numbers = {id(attack): number for number, attack in enumerate(ATTACKS)}
    jobs = (
        Job(
            attack.source or source,
            {},
            attack.item or {**scene.item(), "attack": numbers.get(id(attack))},
            timeout_s=attack.timeout_s,
        )
        for attack in alone
    )
    for attack, outcome in zip(alone, sandbox.run_many(jobs), strict=True):
        yield _result(attack, sandbox, reason(outcome), outcome.text)
    for together in chosen:
        if isinstance(together, MultiSampleAttack):
            yield _result(together, sandbox, together.drive(sandbox, scene))
    touched = scene.touched()
    yield Result(
        0,
        "the scene is as it was",
        not touched,
        False,
        ", ".join(touched) or "untouched",
        ("untouched",),
        "",
        sandbox.limits != SMALL,
    )


def _result(attack: Attack | MultiSampleAttack, sandbox: Sandbox, found: str, text: str = "") -> Result:
    tier = sandbox.tier
    expected = attack.expected(tier)
    known = isinstance(attack, Attack) and tier in attack.known and found == "THROUGH"
    return Result(
        attack.row, attack.name, found in expected, known, found, expected, text, sandbox.limits != SMALL
    )


def run(tier: str, *, rows: Iterable[int] = (), slow: bool = False) -> Iterator[Result]:
    """Attack this tier.

    Raises:
        SandboxUnavailable: it does not work on this machine.
    """
    chosen = attacks(tier, rows=rows, slow=slow)
    small = [attack for attack in chosen if not (isinstance(attack, Attack) and attack.default_limits)]
    with Scene() as scene:
        with Sandbox(tier=tier, limits=SMALL, in_flight=IN_FLIGHT) as sandbox:
            yield from attempt(sandbox, scene, small)
        if slow:
            with Sandbox(tier=tier, in_flight=IN_FLIGHT) as sandbox:
                again = [
                    attack for attack in small if not (isinstance(attack, Attack) and attack.small_limits)
                ]
                yield from attempt(sandbox, scene, again)
            with Sandbox(tier=tier, in_flight=1) as sandbox:
                yield from attempt(sandbox, scene, [attack for attack in chosen if attack not in small])


def main(arguments: list[str] | None = None) -> int:
    """0 when all that was tried was held, 1 when something was not or no tier works, 2 for wrong usage."""
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
