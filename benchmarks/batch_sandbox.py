"""How much of the sandbox's own throughput `grade_dataset` uses for a python grader.

    python benchmarks/batch_sandbox.py [--rows 100000] [--slice 2000]

Both sides run the same program over the same rows in the same sandbox: `Sandbox.run_many` alone, and a dataset from
reading to results. They take turns, slice by slice, so that both meet the same noise. Shown are the rates, and the
median of the ratios of neighbouring slices. Exits 1 when that is below 0.9.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import graders
from graders.batch.run import grade_dataset
from graders_sandbox import Sandbox
from graders_sandbox.limits import Job

LEAST = 0.9
SOURCE = """
def grade(sample, item):
    return float(sample["output_text"].rpartition("A: ")[2] == item["answer"])
"""
SPEC = {"type": "python", "name": "last answer", "source": SOURCE}


def rows_of(start: int, n: int) -> list[dict[str, object]]:
    return [
        {"id": k, "sample": f"Some thoughts first. A: {k % 9}", "item": {"answer": str(k % 7)}}
        for k in range(start, start + n)
    ]


def alone(sandbox: Sandbox, rows: list[dict[str, object]]) -> float:
    """Seconds that the sandbox takes for the rows."""
    before = time.perf_counter()
    jobs = (Job(SOURCE, {"output_text": row["sample"]}, row["item"], key=str(row["id"])) for row in rows)
    if not all(outcome.ok for outcome in sandbox.run_many(jobs)):
        raise SystemExit("a sample failed")
    return time.perf_counter() - before


def dataset(grader: graders.Grader, rows: list[dict[str, object]], folder: Path) -> float:
    """Seconds from the dataset to its results."""
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = time.perf_counter()
    run = grade_dataset(grader, str(data), str(folder / "results.jsonl"), force=True)
    if run.tally.scored != len(rows):
        raise SystemExit(f"{run.tally.failed} rows failed")
    return time.perf_counter() - before


def measure(rows: int, slice: int) -> tuple[float, float, float]:
    """Rows a second of the sandbox alone and of datasets, and the median ratio of neighbouring slices."""
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, graders.Backends() as backends:
        grader = graders.compile(SPEC, backends=backends)
        # the first call starts the sandbox
        alone(backends.sandbox, rows_of(0, 50))
        for number, start in enumerate(range(0, rows, slice)):
            part = rows_of(start, min(slice, rows - start))
            if number % 2:
                pairs.append((alone(backends.sandbox, part), dataset(grader, part, Path(folder))))
            else:
                second = dataset(grader, part, Path(folder))
                pairs.append((alone(backends.sandbox, part), second))
    ratio = statistics.median(one / other for one, other in pairs)
    return rows / sum(one for one, _ in pairs), rows / sum(other for _, other in pairs), ratio


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--slice", type=int, default=2000)
    arguments = parser.parse_args()
    sandbox, datasets, ratio = measure(arguments.rows, arguments.slice)
    print(
        f"{arguments.rows:,} rows: sandbox alone {sandbox:,.0f} rows/s, dataset to results {datasets:,.0f} rows/s"
    )
    print(f"of the sandbox's throughput used: {ratio:.0%} (median of slices of {arguments.slice:,})")
    return 0 if ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
