"""What a sample costs that imports a package of the hosted image, beside one that imports numpy, in turns.

    python benchmarks/packages.py [--rounds 3] [--samples 60]

For an environment with `local-graders[hosted]` and pyarrow. Prints for each package, in the median of rounds, the
processor time of a sample with all that it takes (of the whole machine, so nothing else should run) and the time of one
sample at a time, both as a multiple of numpy's, and the first one's seconds, in which the package is loaded. Exits 1
when a package takes more than three times numpy's processor time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from graders_sandbox import Job, Sandbox
from graders_sandbox.host.sources.imports import HOSTED, is_module

MOST = 3.0
GRADER = "import {}\ndef grade(sample, item):\n    return 1.0\n"


def processor_s() -> float:
    """Seconds that all processors of the machine have worked."""
    user, nice, system, _, _, irq, soft, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft) / 100


def measure(package: str, samples: int) -> tuple[float, float, float]:
    """Milliseconds of the processors for a sample, of one sample at a time, and seconds of the first."""
    source = GRADER.format(package)
    with Sandbox() as sandbox:
        started = time.perf_counter()
        outcome = sandbox.run(source, "", {})
        first = time.perf_counter() - started
        if outcome.value != 1.0:
            raise SystemExit(f"{package}: {outcome}")
        sandbox.run(source, "", {})
        alone = []
        for _ in range(samples // 2):
            started = time.perf_counter()
            sandbox.run(source, "", {})
            alone.append(time.perf_counter() - started)
        list(sandbox.run_many(Job(source, "", {}) for _ in range(8)))
        before = processor_s()
        list(sandbox.run_many(Job(source, "", {}) for _ in range(samples)))
        return (processor_s() - before) / samples * 1000, statistics.median(alone) * 1000, first


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=60, help="of each package in a round")
    options = parser.parse_args()
    packages = ["numpy", *sorted(name for name in HOSTED if name != "numpy" and is_module(name))]
    found: dict[str, list[tuple[float, float, float]]] = {package: [] for package in packages}
    for _ in range(options.rounds):
        for package in packages:
            found[package].append(measure(package, options.samples))
    medians = {
        package: [statistics.median(figure) for figure in zip(*rounds, strict=True)]
        for package, rounds in found.items()
    }
    base = medians["numpy"]
    print(f"{'':<14} {'of the processors':>20} {'one at a time':>20} {'the first':>10}")
    for package, (processor, alone, first) in medians.items():
        print(
            f"{package:<14} {processor:8.2f} ms {processor / base[0]:6.2f} x {alone:8.2f} ms {alone / base[1]:6.2f} x "
            f"{first:8.2f} s"
        )
    return int(any(processor > MOST * base[0] for processor, _, _ in medians.values()))


if __name__ == "__main__":
    sys.exit(main())
