"""Batches: a dataset's rows are graded into an append-only results file.

    from graders.batch import Stop, grade_dataset, read_results

run.py       grade_dataset: one dataset, one grader, one results file
grading.py   the loop over the rows of a run; chunks.py its unit of work
progress.py  progress and outcome of a run, and how to stop it
selection.py which rows are graded, and how often
frame.py     data frames in and out
workers.py   worker processes for slow local graders; ray.py the same on a cluster
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.batch.progress import Progress, Run, Stop
    from graders.batch.run import grade_dataset
    from graders.batch.selection import Selection
    from graders.results.read import read_results

_HOMES = {
    "Progress": "graders.batch.progress",
    "Run": "graders.batch.progress",
    "Selection": "graders.batch.selection",
    "Stop": "graders.batch.progress",
    "grade_dataset": "graders.batch.run",
    "read_results": "graders.results.read",
}

__all__ = ["Progress", "Run", "Selection", "Stop", "grade_dataset", "read_results"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
