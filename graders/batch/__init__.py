"""Datasets: rows in from files and iterables, an append-only results file out, and what is made of it.

    from graders.batch import Stop, grade_dataset, read_results

read.py      JSONL, CSV, Parquet, iterables -> DataRow
ids.py       each row's name
run.py       one dataset through one grader, from file to file
lines.py     graded rows as lines of the results file
workers.py   the same in worker processes; ray.py on a cluster
write.py     the results file: one writer, append-only, resumable
results.py   the results file read back: Header and ResultRow
stats.py     the figures of a results file; estimates.py the mathematics, labels.py agreement with humans
compare.py   two of them, paired by id
report.py    figures and telling rows, as page.py (HTML), text.py (terminal, Markdown), JSON, JUnit
check.py     does this spec fit this dataset? no model call
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graders.batch.run import Progress, Run, Stop, grade_dataset
    from graders.results.read import read_results

_HOMES = {
    "Progress": "graders.batch.run",
    "Run": "graders.batch.run",
    "Stop": "graders.batch.run",
    "grade_dataset": "graders.batch.run",
    "read_results": "graders.results.read",
}

__all__ = ["Progress", "Run", "Stop", "grade_dataset", "read_results"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'graders.batch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
