"""What `GradeBatch` costs over plain Ray Data, for each row.

    python benchmarks/batch_ray.py [--rows 1000000] [--rounds 3]

Three ways over the same Parquet files, in turns: plain Ray Data with an actor that only passes tables on, the same
with `GradeBatch` (string_check), and the ray engine of `grader batch`. A run of few rows beside it gives the fixed
cost, which is taken off.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray

import graders
from graders.batch.ray import Actors, GradeBatch, unique
from graders.batch.run import grade_dataset

SPEC = {
    "type": "string_check",
    "name": "exact",
    "operation": "eq",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.answer }}",
}


class Pass:
    """An actor that passes tables on."""

    def __call__(self, table: Any) -> Any:
        return table


def write(folder: Path, rows: int) -> None:
    folder.mkdir()
    for part in range(4):
        numbers = range(part * rows // 4, (part + 1) * rows // 4)
        table = pa.table(
            {
                "id": [f"row {n}" for n in numbers],
                "sample": [f"answer {n % 997}" for n in numbers],
                "answer": [f"answer {n % 1000}" for n in numbers],
            }
        )
        pq.write_table(table, folder / f"{part}.parquet", row_group_size=10_000)


def field_map(folder: Path, actor: type, arguments: list[object]) -> int:
    data = ray.data.read_parquet(str(folder)).map_batches(
        actor,
        fn_constructor_args=arguments,
        batch_format="pyarrow",
        batch_size=1000,
        concurrency=1,
        num_cpus=0.5,
    )
    return sum(
        table.num_rows for table in unique(data.iter_batches(batch_format="pyarrow", batch_size=10_000))
    )


def engine(folder: Path, results: Path) -> int:
    grader = graders.compile(SPEC)
    tables = (row for part in sorted(folder.iterdir()) for row in pq.read_table(part).to_pylist())
    with Actors(grader, 1) as workers:
        return grade_dataset(grader, tables, str(results), workers=workers, force=True).graded


def timed(work: Any, *arguments: object) -> tuple[float, int]:
    before = time.perf_counter()
    n = work(*arguments)
    return time.perf_counter() - before, n


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    with tempfile.TemporaryDirectory() as name:
        few, many, results = Path(name, "few"), Path(name, "many"), Path(name, "results.jsonl")
        write(few, 1000)
        write(many, arguments.rows)
        ways = {
            "plain Ray Data": lambda folder: field_map(folder, Pass, []),
            "GradeBatch": lambda folder: field_map(folder, GradeBatch, [SPEC]),
            "ray engine": lambda folder: engine(folder, results),
        }
        best: dict[str, tuple[float, float]] = {}
        for _ in range(arguments.rounds):
            for way, work in ways.items():
                (fixed, _), (whole, n) = timed(work, few), timed(work, many)
                if n != arguments.rows:
                    raise SystemExit(f"{way}: {n:,} rows of {arguments.rows:,}")
                before = best.get(way, (fixed, whole))
                best[way] = (min(before[0], fixed), min(before[1], whole))
    print(f"{arguments.rows:,} rows, one actor; best of {arguments.rounds}")
    for way, (fixed, whole) in best.items():
        print(f"{way:15} {fixed:5.1f} s fixed, {(whole - fixed) / arguments.rows * 1e6:6.1f} us a row")
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
