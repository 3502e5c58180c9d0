"""Datasets: rows in from files and iterables, an append-only results file out.

    from graders.batch import Stop, grade_dataset, read_results

run.py       one dataset through one grader, from file to file
grading.py   the rows of one run; chunks.py what is handed to whoever grades them
progress.py  how far a run is, how it ended, how it is told to stop
selection.py which rows are graded, and how often
frame.py     data frames in and out
workers.py   the rows of slow local graders in worker processes; ray.py on a cluster
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
