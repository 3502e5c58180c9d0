"""HumanEval through `run_untrusted`, beside one plain subprocess for each problem.

    python benchmarks/human_eval.py HumanEval.jsonl [--rounds 5] [--repeat 2]

All check each problem's canonical solution with its own tests and take turns, on all cores. The subprocess is what
the dataset's authors do without a wall: `python -c` of prompt, solution, test and `check(entry_point)`. The sandbox does it
by default, and with 20 rows in a process of the grader, which leaves each solution a process of its own. Beside them stands
what two processes a problem cost at least: Pythons that fork and fork again, with no wall, no messages and no limits.
Prints problems a second, and the processor time of one problem with all processes that it took. Exits 1 when the goal is
missed by both: at least 5 times the problems a second of plain subprocesses.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from graders_sandbox import Job, Sandbox
from graders_sandbox.host.bench.naked import HERE
from graders_sandbox.host.memory import processors

GRADER = """
from graders_sandbox import run_untrusted

def grade(sample, item):
    code = item["prompt"] + sample["output_text"]
    return run_untrusted(code, item["test"], timeout=20, entry=item["entry_point"]).score
"""
LEAST = 5.0
# rows in one process of the grader
SHARED = 20

Problem = dict[str, str]

#: Runs programs from standard input, each in a fork of a fork, of a Python that holds what ours hold.
_NAKED = """
import gc, json, os, sys
sys.path.insert(0, sys.argv[1])
import graders_sandbox.jail.server
from graders_sandbox import modules
from graders_sandbox.jail import loading
loading.load(modules.MODULES)
programs = json.load(sys.stdin)
gc.collect()
gc.freeze()
for program in programs:
    pid = os.fork()
    if not pid:
        inner = os.fork()
        if not inner:
            exec(compile(program, "<problem>", "exec"), {"__name__": "problem"})
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
    if os.waitpid(pid, 0)[1]:
        sys.exit(1)
"""


def program(problem: Problem) -> str:
    """The problem as one text, which fails when a test does."""
    solution = problem["prompt"] + problem["canonical_solution"]
    return "\n".join((solution, problem["test"], f"check({problem['entry_point']})"))


def plain(problems: list[Problem]) -> None:
    """One subprocess for each problem, as many at once as there are processors."""

    def check(problem: Problem) -> int:
        command = [sys.executable, "-c", program(problem)]
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode

    with ThreadPoolExecutor(processors()) as pool:
        if any(pool.map(check, problems)):
            raise SystemExit("a canonical solution failed in a plain subprocess")


def forked(problems: list[Problem]) -> None:
    """Two forks for each problem, on each processor, and nothing else."""
    command = [sys.executable, "-I", "-S", "-c", _NAKED, HERE]
    count = processors()
    servers = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(count)]
    for at, server in enumerate(servers):
        assert server.stdin is not None
        json.dump([program(problem) for problem in problems[at::count]], server.stdin)
        server.stdin.close()
    codes = [server.wait() for server in servers]
    if any(codes):
        raise SystemExit("a canonical solution failed in a fork")


def jailed(samples_per_process: int, problems: list[Problem]) -> None:
    """`run_untrusted`, in a sandbox that is closed again, so that all its processes count."""
    with Sandbox(samples_per_process=samples_per_process) as sandbox:
        outcomes = sandbox.run_many(
            Job(GRADER, {"output_text": problem["canonical_solution"]}, problem) for problem in problems
        )
        for problem, outcome in zip(problems, outcomes, strict=True):
            if outcome.value != 1.0:
                raise SystemExit(f"{problem['task_id']} ended with {outcome}")


def timed(run: Callable[[list[Problem]], None], problems: list[Problem]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors, of one problem."""
    before, started = _processor_s(), time.perf_counter()
    run(problems)
    return (time.perf_counter() - started) / len(problems), (_processor_s() - before) / len(problems)


def _processor_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problems", type=Path, help="HumanEval.jsonl, of github.com/openai/human-eval")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--repeat", type=int, default=4, help="how often the sandbox does all problems in a round"
    )
    options = parser.parse_args()
    problems = [json.loads(line) for line in options.problems.read_text(encoding="utf-8").splitlines()]
    ways: dict[str, Callable[[list[Problem]], None]] = {
        "two forks without a wall": forked,
        "run_untrusted": partial(jailed, 1),
        f"with {SHARED} in a process": partial(jailed, SHARED),
    }
    ratios: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        clock_s, processor_s = timed(plain, problems)
        print(f"plain: {1 / clock_s:4.0f} a second, {processor_s * 1000:.1f} ms of the processors", end="")
        for way, run in ways.items():
            ours = timed(run, problems * options.repeat)
            ratios[way].append((clock_s / ours[0], processor_s / ours[1]))
            print(f"; {way}: {1 / ours[0]:.0f} a second, {ours[1] * 1000:.1f} ms", end="")
        print(flush=True)
    medians = {
        way: [statistics.median(ratio) for ratio in zip(*found, strict=True)] for way, found in ratios.items()
    }
    for way, (clock, processor) in medians.items():
        print(f"{way}: {clock:.2f} x of plain by the clock, {processor:.2f} x in processor time")
    return int(all(clock < LEAST for way, (clock, _) in medians.items() if ways[way] is not forked))


if __name__ == "__main__":
    sys.exit(main())
