"""What each layer costs, beside a bare fork of an equally large Python, both in the same run.

Machines differ and are noisy: everything is measured in turns, round by round, and the ratios are what counts.
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
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from graders_sandbox.limits import Job

from . import start, visible
from .imports import is_module
from .sandbox import Sandbox

SOURCE = "import re\ndef grade(sample, item):\n    return float(re.search(r'\\d+', sample) is not None)\n"
NUMPY = "import numpy\n" + SOURCE
#: What throughput is measured with: the pattern that SOURCE writes down is compiled once here, and by naked servers in each
#: sample; the others leave nothing to compile ahead.
GRADERS = {
    "pattern": SOURCE,
    "pattern made as it runs": SOURCE.replace(r"r'\d+'", r"''.join([r'\d\d', '*'])"),
    "no pattern": "def grade(sample, item):\n    return float('42' in sample)\n",
}
SAMPLE = "the answer is 42"
NICE = 10  # as the servers' own: both sides of each ratio meet the same competition

#: A server without any protection: forks for each line, the child grades and answers. It holds what ours holds.
_NAKED = """
import gc, json, os, re, select, struct, sys
sys.path.insert(0, sys.argv[1])
import graders_sandbox.jail.server
code = compile(sys.argv[2], "<grader>", "exec")
poll = select.poll()
poll.register(0, select.POLLIN)
gc.collect(); gc.freeze()
running, text = {}, b""
while True:
    for ready, _ in poll.poll():
        if ready:
            value = os.read(ready, 8)
            poll.unregister(ready)
            os.close(ready)
            os.waitpid(running.pop(ready), 0)
            os.write(1, value)
            continue
        data = os.read(0, 65536)
        if not data:
            sys.exit()
        text += data
        while b"\\n" in text:
            line, _, text = text.partition(b"\\n")
            read, write = os.pipe()
            pid = os.fork()
            if not pid:
                space = {}
                exec(code, space)
                os.write(write, struct.pack("d", space["grade"](*json.loads(line))))
                os._exit(0)
            os.close(write)
            running[read] = pid
            poll.register(read, select.POLLIN)
"""
#: Bare forks of a Python that holds what a server of this package holds, measured in that process itself.
_BARE = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import gc, re
import graders_sandbox.jail.server
gc.collect(); gc.freeze()
for line in sys.stdin:
    started = time.perf_counter()
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    print(time.perf_counter() - started, flush=True)
"""
#: Where this package is, for helpers to import it.
_HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PLAIN = f"import sys, json\n{SOURCE}\nprint(grade(*json.loads(sys.argv[1])))"


@dataclass(slots=True)
class Way:
    """One way to grade a sample, and how long it took each time.

    Attributes:
        once: Grades one sample; seconds, by its own clock where it has one.
    """

    name: str
    once: Callable[[], float]
    times: list[float] = field(default_factory=list)

    def at(self, quantile: float) -> float:
        """Milliseconds."""
        return sorted(self.times)[int(quantile * (len(self.times) - 1))] * 1000


class _Helper:
    """A process that answers a line, with as little priority as servers have."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", f"import os\nos.nice({NICE})\n{code}", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout

    def ask(self, line: bytes, size: int = 0) -> bytes:
        self.input.write(line)
        return self.output.read(size) if size else self.output.readline()

    def close(self) -> None:
        self.input.close()
        self.process.wait()
        self.output.close()


def _timed(act: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        started = time.perf_counter()
        act()
        return time.perf_counter() - started

    return once


def _sandboxed(sandbox: Sandbox, source: str = SOURCE) -> Callable[[], float]:
    def act() -> None:
        outcome = sandbox.run(source, SAMPLE, {})
        if outcome.value != 1.0:
            raise RuntimeError(f"the bench's own sample ended with {outcome}")

    return _timed(act)


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


def _layers(stack: ExitStack, tier: str) -> Iterator[tuple[str, Sandbox]]:
    """The jail with more and more of it switched off. Only for measuring: none of these is a tier."""
    yield "no jail at all", stack.enter_context(Sandbox(unsandboxed=True, in_flight=4))
    for weaker in ("linux-strict", "linux-ns", "linux-landlock", "linux-full"):
        sandbox = stack.enter_context(Sandbox(tier=weaker, in_flight=4))
        if weaker == tier or sandbox.run(SOURCE, SAMPLE, {}).ok:
            yield weaker, sandbox


def measure_latency(ways: list[Way], rounds: int) -> None:
    """Every way once a round, so that noise meets all of them."""
    for way in ways:
        way.once()
    for _ in range(rounds):
        for way in ways:
            way.times.append(way.once())


def cpu_ms(sandbox: Sandbox, naked: _Helpers, count: int) -> tuple[float, float]:
    """Processor milliseconds a sample, with all of its server's work: of the jail and of a naked server."""

    def of_tree(pid: int) -> float:
        """User and system time of a process, of all below it, and of those of them that have ended."""
        ticks = sum(sum(map(int, stat[11:15])) for _, stat in _tree(pid))
        return ticks / os.sysconf("SC_CLK_TCK")

    job = Job(SOURCE, SAMPLE, {})
    servers = [server.process.pid for server in sandbox._pool.servers]  # type: ignore[union-attr]
    before = sum(map(of_tree, servers))
    for _ in sandbox.run_many([job] * count):
        pass
    between = sum(map(of_tree, servers))
    helper = naked.servers[0].process.pid
    naked_before = of_tree(helper)
    for _ in range(count):
        naked.once()
    return (between - before) / count * 1000, (of_tree(helper) - naked_before) / count * 1000


def measure_throughput(
    sandbox: Sandbox, naked: dict[str, _Helpers], seconds: float, rounds: int, source: str = SOURCE
) -> list[dict[str, float]]:
    """Samples a second of the jail and of naked servers, round by round."""
    job = Job(source, SAMPLE, {})
    sandbox.run(source, SAMPLE, {})
    found = []
    for _ in range(rounds):
        started, count = time.perf_counter(), 0

        def jobs(until: float = started + seconds) -> Iterator[Job]:
            while time.perf_counter() < until:
                yield job

        for _ in sandbox.run_many(jobs()):
            count += 1
        rates = {"jailed": count / (time.perf_counter() - started)}
        rates |= {name: helpers.throughput(seconds) for name, helpers in naked.items()}
        found.append(rates)
    return found


class _Helpers:
    """Naked fork servers.

    Args:
        ahead: Samples in flight at each.
        source: The grader.
    """

    def __init__(self, count: int, ahead: int, source: str = SOURCE) -> None:
        self.servers = [_Helper(_NAKED, _HERE, source) for _ in range(count)]
        self.line = json.dumps([SAMPLE, {}]).encode() + b"\n"
        self.ahead = ahead

    def once(self) -> float:
        started = time.perf_counter()
        self.servers[0].ask(self.line, 8)
        return time.perf_counter() - started

    def throughput(self, seconds: float) -> float:
        import select

        outputs = {server.output.fileno(): server for server in self.servers}
        count, started = 0, time.perf_counter()
        for server in self.servers:
            server.input.write(self.line * self.ahead)
        while (now := time.perf_counter()) < started + seconds:
            for output in select.select(list(outputs), [], [], 1)[0]:
                done = len(os.read(output, 8 * self.ahead)) // 8
                count += done
                outputs[output].input.write(self.line * done)
        for server in self.servers:
            for _ in range(self.ahead):
                server.output.read(8)
        return count / (now - started)

    def close(self) -> None:
        for server in self.servers:
            server.close()


def start_ms(tier: str, rounds: int = 5) -> list[float]:
    """Milliseconds from nothing to a server that is ready and has graded one sample, without packages."""
    times = []
    for _ in range(rounds):
        with Sandbox(tier=tier, in_flight=4) as sandbox:
            times.append(_sandboxed(sandbox)() * 1000)
    return times


def private_bytes(tier: str) -> int:
    """Memory that a sample in flight has for itself: what it wrote of its template's pages, and its own."""
    with _without_idle(tier) as sandbox:
        source = "import time\ndef grade(s, i):\n    time.sleep(i)\n    return 1.0"
        sandbox.run(source, SAMPLE, 0)  # it has a template from now on
        server = list(sandbox._pool.servers)[-1].process.pid  # type: ignore[union-attr]
        before = {pid for pid, _ in _tree(server)}
        future = sandbox.submit(source, SAMPLE, 1.5)
        time.sleep(0.8)
        (pid,) = {pid for pid, _ in _tree(server)} - before
        with open(f"/proc/{pid}/smaps_rollup") as file:
            fields = dict(line.split(":") for line in file.read().splitlines()[1:])
        future.result()
    return 1024 * sum(int(fields[name].split()[0]) for name in ("Private_Dirty", "Private_Clean"))


def _tree(top: int) -> list[tuple[int, list[str]]]:
    """A process and all below it: pids, and what /proc says of each from its state on (field 3 of proc_pid_stat(5))."""
    found: dict[int, list[str]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat") as file:
            found[int(name)] = file.read().rpartition(")")[2].split()
    inside = {top}
    while more := {pid for pid, stat in found.items() if int(stat[1]) in inside and pid not in inside}:
        inside |= more
    return [(pid, found[pid]) for pid in sorted(inside & found.keys())]


GOALS = (
    # what, ours, theirs, quantile, at most
    ("p50 of a jailed sample, to a bare fork", "jailed", "bare fork", 0.5, 2.0),
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
        bare = _Helper(_BARE, _HERE)
        stack.callback(bare.close)
        cores = len(os.sched_getaffinity(0))
        naked = {
            name: {
                "a naked server": _Helpers(1, 2 * cores, source),
                "a naked server a core": _Helpers(cores, 2, source),
            }
            for name, source in GRADERS.items()
        }
        for servers in naked.values():
            for helpers in servers.values():
                stack.callback(helpers.close)
        single = naked["pattern"]["a naked server"]
        ways = [
            Way("bare fork", lambda: float(bare.ask(b"\n"))),
            Way("naked fork server", single.once),
            Way("jailed", _sandboxed(sandbox)),
            Way("jailed, no child waiting", _sandboxed(stack.enter_context(_without_idle(tier)))),
        ]
        if is_module("numpy"):
            ways.append(Way("jailed, numpy loaded", _sandboxed(sandbox, NUMPY)))
        ways += [Way(f"layers: {name}", _sandboxed(box)) for name, box in _layers(stack, tier)]
        gc.collect()
        measure_latency(ways, rounds)
        plain = json.dumps([SAMPLE, {}])
        slow = [Way("python -c", _timed(lambda: _run([sys.executable, "-I", "-c", _PLAIN, plain])))]
        if (command := _bubblewrap()) is not None:
            slow.append(
                Way("bubblewrap", _timed(lambda: _run([*command, sys.executable, "-I", "-c", _PLAIN, plain])))
            )
        again = [Way("bare fork", ways[0].once), *slow]  # beside them, for the ratio
        measure_latency(again, max(5, rounds // 10))
        rates = {
            name: measure_throughput(sandbox, naked[name], seconds, 5, source)
            for name, source in GRADERS.items()
        }
        jailed_ms, naked_ms = cpu_ms(sandbox, single, 2 * rounds)
        starts = start_ms(tier)
        private = private_bytes(tier)
    by_name = {way.name: way for way in ways}
    base, base_again = by_name["bare fork"], again[0]
    goals = [
        _goal(what, by_name[ours].at(quantile) / by_name[theirs].at(quantile), most)
        for what, ours, theirs, quantile, most in GOALS
        if ours in by_name
    ]
    ratios = {
        f"{grader}, to {name}": statistics.median(round["jailed"] / round[name] for round in rounds)
        for grader, rounds in rates.items()
        for name in naked[grader]
    }
    goals += [
        {"goal": f"throughput, {name}", "found": ratio, "at_least": 0.8, "met": ratio >= 0.8}
        for name, ratio in ratios.items()
    ]
    goals.append(_goal("server start and first sample, ms", min(starts), 100.0))
    goals.append(_goal("private memory of a sample in flight, MB", private / 1e6, 4.0))
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
        "ways": [_row(way, base) for way in ways] + [_row(way, base_again) for way in again[1:]],
        "throughput": rates,
        "processor_ms": {"jailed": jailed_ms, "naked": naked_ms, "ratio": jailed_ms / naked_ms},
        "start_ms": starts,
        "private_bytes": private,
        "goals": goals,
    }


def _without_idle(tier: str) -> Sandbox:
    """A sandbox whose server keeps no idle children: what forking for each sample costs."""
    sandbox = Sandbox(tier=tier, in_flight=4)
    kept, start.IDLE = start.IDLE, 0
    try:
        sandbox.run(SOURCE, SAMPLE, {})
    finally:
        start.IDLE = kept
    return sandbox


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def _goal(what: str, found: float, most: float) -> dict[str, object]:
    return {"goal": what, "found": found, "at_most": most, "met": found <= most}


def _row(way: Way, base: Way) -> dict[str, object]:
    # The ratio of neighbours in time, then their median: noise that comes and goes meets both of a pair.
    pairs = statistics.median(ours / theirs for ours, theirs in zip(way.times, base.times, strict=True))
    return {
        "name": way.name,
        "p50_ms": way.at(0.5),
        "p95_ms": way.at(0.95),
        "p50_ratio": way.at(0.5) / base.at(0.5),
        "p95_ratio": way.at(0.95) / base.at(0.95),
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
