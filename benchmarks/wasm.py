"""What a sample costs in the tier `wasm` beside a bare fork, and how its throughput grows with workers.

    python benchmarks/wasm.py [--samples 60] [--seconds 5]

The bare fork is that of a Python which holds what a Linux server holds, as in `python -m graders_sandbox bench`. Both take
turns, and so do one worker and two, so that they meet the same noise. Needs the extra [wasm], compiled before
(`grader doctor --warm`). Exits 1 when a goal is missed: at most 15 bare forks a sample, and with two processors at least
1.7 times the samples of one worker.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import ExitStack

from graders_sandbox import Limits, Sandbox
from graders_sandbox.host.bench.naked import BARE, HERE, Helper
from graders_sandbox.host.choice import TierChoice
from graders_sandbox.host.memory import processors
from graders_sandbox.host.wasm_pool import WasmPool
from graders_sandbox.limits import WASM, Job

GRADERS = {
    "no import": "def grade(sample, item):\n    return float('42' in sample)\n",
    "re": "import re\ndef grade(sample, item):\n    return float(re.search('[0-9]+', sample) is not None)\n",
}
SAMPLE = "the answer is 42"
MOST_FORKS, LEAST_GROWTH = 15.0, 1.7
ROUNDS = 4


def sandbox_of(workers: int) -> Sandbox:
    sandbox = Sandbox(tier=WASM)
    sandbox._pool = WasmPool(Limits(), TierChoice(require=WASM, tier=WASM, unsandboxed=False), workers)
    return sandbox


def once(sandbox: Sandbox, source: str) -> float:
    """Seconds of one sample."""
    started = time.perf_counter()
    outcome = sandbox.run(source, SAMPLE, {})
    if outcome.value != 1.0:
        raise SystemExit(f"a sample ended with {outcome}")
    return time.perf_counter() - started


def rate(sandbox: Sandbox, seconds: float) -> float:
    """Samples a second."""
    n, started = 0, time.perf_counter()
    jobs = iter(lambda: Job(GRADERS["no import"], SAMPLE, {}), None)
    for outcome in sandbox.run_many(jobs):
        n += outcome.ok
        if time.perf_counter() > started + seconds:
            return n / (time.perf_counter() - started)
    raise AssertionError("the jobs have no end")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each of the rounds of throughput")
    options = parser.parse_args()
    missed = False
    with ExitStack() as stack:
        bare = Helper(BARE, HERE)
        stack.callback(bare.close)
        one, two = (stack.enter_context(sandbox_of(workers)) for workers in (1, 2))
        for source in GRADERS.values():
            once(one, source)
        list(two.run_many(Job(GRADERS["no import"], SAMPLE, {}) for _ in range(8)))
        for name, source in GRADERS.items():
            pairs = [(float(bare.ask(b"\n")), once(one, source)) for _ in range(options.samples)]
            forks, samples = ([time * 1000 for time in times] for times in zip(*pairs, strict=True))
            ratio = statistics.median(samples) / statistics.median(forks)
            missed |= ratio > MOST_FORKS
            print(
                f"{name:<10} p50 {statistics.median(samples):6.1f} ms, bare fork {statistics.median(forks):5.2f} ms: {ratio:.1f} x; "
                f"best {min(samples):6.1f} ms, bare fork {min(forks):5.2f} ms: {min(samples) / min(forks):.1f} x",
                flush=True,
            )
        rounds = [(rate(one, options.seconds), rate(two, options.seconds)) for _ in range(ROUNDS)]
    growth = statistics.median(b / a for a, b in rounds)
    missed |= processors() > 1 and growth < LEAST_GROWTH
    print(
        f"samples a second, 1 and 2 workers: {'; '.join(f'{a:.1f} and {b:.1f}' for a, b in rounds)}: {growth:.2f} x"
    )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
