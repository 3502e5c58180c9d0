"""The cost of each layer, relative to a bare fork of an equally large Python in the same run.

Machines differ and are noisy, so everything is measured in turns, round by round; only the ratios matter.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
from contextlib import ExitStack, suppress
from typing import Any

from graders_sandbox.host import visible
from graders_sandbox.host.bench.measures import (
    GRADERS,
    NUMPY,
    Measurement,
    cpu_ms,
    layers,
    measure_latency,
    measure_throughput,
    private_bytes,
    sandboxed,
    start_ms,
    timed,
    without_idle,
)
from graders_sandbox.host.bench.naked import BARE, HERE, SAMPLE, SOURCE, Helper, NakedServers
from graders_sandbox.host.sandbox import Sandbox
from graders_sandbox.host.sources.imports import is_module

_PLAIN = f"import sys, json\n{SOURCE}\nprint(grade(*json.loads(sys.argv[1])))"


def _bubblewrap() -> list[str] | None:
    """The command before a Python that sees what our samples see; None where there is no bubblewrap."""
    program = shutil.which("bwrap")
    if program is None:
        return None
    command = [
        program,
        "--unshare-all",
        "--die-with-parent",
        "--clearenv",
        "--tmpfs",
        "/tmp",
        "--dev",
        "/dev",
    ]
    for path in {
        *visible.shown(),
        os.path.dirname(os.path.realpath(sys.executable)),
        os.path.dirname(sys.executable),
    }:
        command += ["--ro-bind", path, path]
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [*command, sys.executable, "-I", "-c", ""], check=True, capture_output=True, timeout=20
        )
        return command
    return None


GOALS = (
    # what, ours, theirs, quantile, at most
    ("p50 of a jailed sample, to a bare fork", "jailed", "bare fork", 0.5, 1.8),
    ("p95 of a jailed sample, to a bare fork", "jailed", "bare fork", 0.95, 4.0),
    ("p50 with numpy loaded, to without", "jailed, numpy loaded", "jailed", 0.5, 1.4),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m graders_sandbox bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="of each way to grade, in turns (300)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement of throughput (2)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments if arguments is not None else sys.argv[1:])
    report = measure(options.rounds, options.seconds)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0 if all(goal["met"] for goal in report["goals"]) else 1


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """All figures, as JSON."""
    with ExitStack() as stack:
        tier = stack.enter_context(Sandbox()).tier
        sandbox = stack.enter_context(Sandbox(tier=tier, in_flight=4))
        naked = _naked_servers(stack)
        single = naked["pattern"]["a naked server"]
        measurements = _fork_measurements(stack, sandbox, single)
        gc.collect()
        measure_latency(measurements, rounds)
        # beside them, for the ratio
        slow = [Measurement("bare fork", measurements[0].once), *_spawn_measurements()]
        measure_latency(slow, max(5, rounds // 10))
        rates = {
            name: measure_throughput(sandbox, naked[name], seconds, 5, source)
            for name, source in GRADERS.items()
        }
        jailed_ms, naked_ms = cpu_ms(sandbox, single, 2 * rounds)
        starts = start_ms(tier)
        private = private_bytes(tier)
    return {
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "python": sys.version.split()[0],
            "kernel": os.uname().release,
            "platform": sysconfig.get_platform(),
            "load": os.getloadavg()[0],
        },
        "tier": tier,
        "rounds": rounds,
        "ways": [_row(one, measurements[0]) for one in measurements]
        + [_row(one, slow[0]) for one in slow[1:]],
        "throughput": rates,
        "processor_ms": {"jailed": jailed_ms, "naked": naked_ms, "ratio": jailed_ms / naked_ms},
        "start_ms": starts,
        "private_bytes": private,
        "goals": [
            *_latency_goals({one.name: one for one in measurements}),
            *_throughput_goals(rates),
            _goal("server start and first sample, ms", min(starts), 100.0),
            _goal("private memory of a sample in flight, MB", private / 1e6, 4.0),
        ],
    }


def _naked_servers(stack: ExitStack) -> dict[str, dict[str, NakedServers]]:
    """For each grader: one naked server, and one on each core."""
    cores = len(os.sched_getaffinity(0))
    naked = {
        name: {
            "a naked server": NakedServers(1, 2 * cores, source),
            "a naked server a core": NakedServers(cores, 2, source),
        }
        for name, source in GRADERS.items()
    }
    for servers in naked.values():
        for helpers in servers.values():
            stack.callback(helpers.close)
    return naked


def _fork_measurements(stack: ExitStack, sandbox: Sandbox, naked: NakedServers) -> list[Measurement]:
    """Forks with more and more around them; the first is the bare one, which the others are compared with."""
    bare = Helper(BARE, HERE)
    stack.callback(bare.close)
    tier = sandbox.tier
    measurements = [
        Measurement("bare fork", lambda: float(bare.ask(b"\n"))),
        Measurement("naked fork server", naked.once),
        Measurement("jailed", sandboxed(sandbox)),
        Measurement("jailed, no child waiting", sandboxed(stack.enter_context(without_idle(tier)))),
    ]
    if is_module("numpy"):
        measurements.append(Measurement("jailed, numpy loaded", sandboxed(sandbox, NUMPY)))
    return measurements + [
        Measurement(f"layers: {name}", sandboxed(box)) for name, box in layers(stack, tier)
    ]


def _spawn_measurements() -> list[Measurement]:
    """A process of its own for each sample."""
    python = [sys.executable, "-I", "-c", _PLAIN, json.dumps([SAMPLE, {}])]
    measurements = [Measurement("python -c", timed(lambda: _run(python)))]
    if (command := _bubblewrap()) is not None:
        measurements.append(Measurement("bubblewrap", timed(lambda: _run([*command, *python]))))
    return measurements


def _latency_goals(measurements: dict[str, Measurement]) -> list[dict[str, object]]:
    return [
        _goal(what, measurements[ours].at(quantile) / measurements[theirs].at(quantile), most)
        for what, ours, theirs, quantile, most in GOALS
        if ours in measurements
    ]


def _throughput_goals(rates: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    """For each grader and kind of naked server, the median over rounds of the ratio to it."""
    goals: list[dict[str, object]] = []
    for grader, rounds in rates.items():
        for name in sorted(rounds[0].keys() - {"jailed"}):
            ratio = statistics.median(rates["jailed"] / rates[name] for rates in rounds)
            goals.append(
                {
                    "goal": f"throughput, {grader}, to {name}",
                    "found": ratio,
                    "at_least": 0.8,
                    "met": ratio >= 0.8,
                }
            )
    return goals


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def _goal(what: str, found: float, most: float) -> dict[str, object]:
    return {"goal": what, "found": found, "at_most": most, "met": found <= most}


def _row(one: Measurement, base: Measurement) -> dict[str, object]:
    # The ratio of neighbours in time, then their median: noise that comes and goes meets both of a pair.
    pairs = statistics.median(ours / theirs for ours, theirs in zip(one.times, base.times, strict=True))
    return {
        "name": one.name,
        "p50_ms": one.at(0.5),
        "p95_ms": one.at(0.95),
        "p50_ratio": one.at(0.5) / base.at(0.5),
        "p95_ratio": one.at(0.95) / base.at(0.95),
        "paired_ratio": pairs,
    }


def _print(report: dict[str, Any]) -> None:
    machine = report["machine"]
    print(f"tier {report['tier']}; " + ", ".join(f"{key} {value}" for key, value in machine.items()) + "\n")
    print(
        f"{'way':<28} {'p50 ms':>8} {'p95 ms':>8} {'p50 x':>7} {'p95 x':>7} {'paired x':>9}   (x: a bare fork)"
    )
    for row in report["ways"]:
        print(
            f"{row['name']:<28} {row['p50_ms']:8.2f} {row['p95_ms']:8.2f} {row['p50_ratio']:7.2f} {row['p95_ratio']:7.2f} "
            f"{row['paired_ratio']:9.2f}"
        )
    print("\nthroughput, samples a second, round by round")
    for grader, rows in report["throughput"].items():
        for row in rows:
            print(f"  {grader}: " + ", ".join(f"{name} {rate:.0f}" for name, rate in row.items()))
    processor = report["processor_ms"]
    print(
        "\nprocessor time a sample, ms: jailed {jailed:.2f}, naked {naked:.2f}, ratio {ratio:.2f}".format(
            **processor
        )
    )
    print()
    for goal in report["goals"]:
        bound = f"at most {goal['at_most']:g}" if "at_most" in goal else f"at least {goal['at_least']:g}"
        print(f"{'met   ' if goal['met'] else 'MISSED'}  {goal['goal']:<62} {goal['found']:8.2f}  ({bound})")
