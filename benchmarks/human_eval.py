"""HumanEval through `run_untrusted`, beside one plain subprocess for each problem.

    python benchmarks/human_eval.py HumanEval.jsonl [--rounds 5] [--repeat 2]

All check each problem's canonical solution with its own tests and take turns, on all cores. The subprocess is what
the dataset's authors do without a wall: `python -c` of prompt, solution, test and `check(entry_point)`. The sandbox does it
by default, and with 20 rows in a process of the grader, which leaves each solution a process of its own. Prints problems a
second, and the processor time of one problem with all processes that it took. Exits 1 when the goal is missed by both: at
least 5 times the problems a second of plain subprocesses.
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


def plain(problems: list[Problem]) -> None:
    """One subprocess for each problem, as many at once as there are processors."""

    def check(problem: Problem) -> int:
        program = "\n".join(
            (
                problem["prompt"] + problem["canonical_solution"],
                problem["test"],
                f"check({problem['entry_point']})",
            )
        )
        return subprocess.run(
            [sys.executable, "-c", program], check=False, stdin=subprocess.DEVNULL
        ).returncode

    with ThreadPoolExecutor(processors()) as pool:
        if any(pool.map(check, problems)):
            raise SystemExit("a canonical solution failed in a plain subprocess")


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
    ratios: dict[int, list[tuple[float, float]]] = {1: [], SHARED: []}
    for _ in range(options.rounds):
        clock_s, processor_s = timed(plain, problems)
        print(f"plain: {1 / clock_s:4.0f} a second, {processor_s * 1000:.1f} ms of the processors", end="")
        for count, found in ratios.items():
            ours = timed(partial(jailed, count), problems * options.repeat)
            found.append((clock_s / ours[0], processor_s / ours[1]))
            print(f"; {count} in a process: {1 / ours[0]:4.0f} a second, {ours[1] * 1000:.1f} ms", end="")
        print(flush=True)
    medians = {
        count: [statistics.median(ratio) for ratio in zip(*found, strict=True)]
        for count, found in ratios.items()
    }
    for count, (clock, processor) in medians.items():
        print(f"{count} in a process: {clock:.2f} x by the clock, {processor:.2f} x in processor time")
    return int(all(clock < LEAST for clock, _ in medians.values()))


if __name__ == "__main__":
    sys.exit(main())
