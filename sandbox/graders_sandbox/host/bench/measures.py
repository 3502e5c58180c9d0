"""Measurements of a sample's time, processor time and memory, in turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from graders_sandbox.host import start
from graders_sandbox.host.sandbox import Sandbox
from graders_sandbox.limits import Job

from .naked import SAMPLE, SOURCE, NakedServers

NUMPY = "import numpy\n" + SOURCE
#: Graders for measuring throughput. SOURCE has a literal pattern, which is compiled once here and by naked servers in
#: each sample; the others have nothing to compile ahead.
GRADERS = {
    "pattern": SOURCE,
    "pattern made as it runs": SOURCE.replace(r"r'\d+'", r"''.join([r'\d\d', '*'])"),
    "no pattern": "def grade(sample, item):\n    return float('42' in sample)\n",
}


@dataclass(slots=True)
class Measurement:
    """The measured times of one way to grade a sample.

    Attributes:
        once: Grades one sample and returns the seconds, by its own clock if it has one.
    """

    name: str
    once: Callable[[], float]
    times: list[float] = field(default_factory=list)

    def at(self, quantile: float) -> float:
        """A quantile of the times, in milliseconds."""
        return sorted(self.times)[int(quantile * (len(self.times) - 1))] * 1000


def timed(act: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        started = time.perf_counter()
        act()
        return time.perf_counter() - started

    return once


def sandboxed(sandbox: Sandbox, source: str = SOURCE) -> Callable[[], float]:
    def act() -> None:
        outcome = sandbox.run(source, SAMPLE, {})
        if outcome.value != 1.0:
            raise RuntimeError(f"the bench's own sample ended with {outcome}")

    return timed(act)


def layers(stack: ExitStack, tier: str) -> Iterator[tuple[str, Sandbox]]:
    """The jail with fewer and fewer layers, for measuring only: none of these is a tier."""
    yield "no jail at all", stack.enter_context(Sandbox(unsandboxed=True, in_flight=4))
    for weaker in ("linux-strict", "linux-ns", "linux-landlock", "linux-full"):
        sandbox = stack.enter_context(Sandbox(tier=weaker, in_flight=4))
        if weaker == tier or sandbox.run(SOURCE, SAMPLE, {}).ok:
            yield weaker, sandbox


def measure_latency(measurements: list[Measurement], rounds: int) -> None:
    """Measure each once a round, so that noise affects all of them."""
    for one in measurements:
        one.once()
    for _ in range(rounds):
        for one in measurements:
            one.times.append(one.once())


def cpu_ms(sandbox: Sandbox, naked: NakedServers, count: int) -> tuple[float, float]:
    """Processor milliseconds per sample, with its server's work: of the jail and of a naked server."""

    def of_tree(pid: int) -> float:
        """User and system time of a process and all its descendants, ended ones included."""
        ticks = sum(sum(map(int, stat[11:15])) for _, stat in tree(pid))
        return ticks / os.sysconf("SC_CLK_TCK")

    job = Job(SOURCE, SAMPLE, {})
    servers = [server.process.pid for server in sandbox._pool.servers]  # type: ignore[union-attr]  # it has graded, so it has servers
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
    sandbox: Sandbox, naked: dict[str, NakedServers], seconds: float, rounds: int, source: str = SOURCE
) -> list[dict[str, float]]:
    """Samples per second of the jail and of naked servers, for each round."""
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


def start_ms(tier: str, rounds: int = 5) -> list[float]:
    """Milliseconds from the start to a server without packages that has graded one sample."""
    times = []
    for _ in range(rounds):
        with Sandbox(tier=tier, in_flight=4) as sandbox:
            times.append(sandboxed(sandbox)() * 1000)
    return times


def private_bytes(tier: str) -> int:
    """Private memory of a sample in flight: copied pages of its template, and its own pages."""
    with without_idle(tier) as sandbox:
        source = "import time\ndef grade(s, i):\n    time.sleep(i)\n    return 1.0"
        sandbox.run(source, SAMPLE, 0)  # it has a template from now on
        server = list(sandbox._pool.servers)[-1].process.pid  # type: ignore[union-attr]  # it has graded, so it has servers
        before = {pid for pid, _ in tree(server)}
        future = sandbox.submit(source, SAMPLE, 1.5)
        time.sleep(0.8)
        (pid,) = {pid for pid, _ in tree(server)} - before
        with open(f"/proc/{pid}/smaps_rollup") as file:
            fields = dict(line.split(":") for line in file.read().splitlines()[1:])
        future.result()
    return 1024 * sum(int(fields[name].split()[0]) for name in ("Private_Dirty", "Private_Clean"))


def tree(top: int) -> list[tuple[int, list[str]]]:
    """Pids of a process and its descendants, each with the fields of /proc/PID/stat from the state on (field 3)."""
    found: dict[int, list[str]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat") as file:
            found[int(name)] = file.read().rpartition(")")[2].split()
    inside = {top}
    while more := {pid for pid, stat in found.items() if int(stat[1]) in inside and pid not in inside}:
        inside |= more
    return [(pid, found[pid]) for pid in sorted(inside & found.keys())]


def without_idle(tier: str) -> Sandbox:
    """A sandbox whose server has no idle children, to measure forking for each sample."""
    sandbox = Sandbox(tier=tier, in_flight=4)
    kept, start.IDLE = start.IDLE, 0
    try:
        sandbox.run(SOURCE, SAMPLE, {})
    finally:
        start.IDLE = kept
    return sandbox
