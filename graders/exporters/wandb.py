"""Weights & Biases: a run for a results file, with config, numbers, a table of rows and the results as an artifact.

wandb's settings give the destination: WANDB_MODE=offline keeps it in a folder until `wandb sync`.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import wandb

from graders.exporters.figures import figures, parameters
from graders.results.read import ResultRow, read_results
from graders.stats.gather import gather
from graders.stats.summary import summarise

#: Rows of the table, the most that wandb shows of one. The artifact has all rows.
TABLE_ROWS = 10_000
_COLUMNS = ("id", "reward", "ok", "flags", "errors", "output")


def export(results: str | Path, *, project: str | None = None, name: str | None = None) -> str:
    """See `graders.exporters.export`. Inside an active run the numbers are added to it."""
    header, rows = read_results(results)
    summary = summarise(gather(results))
    keys = tuple(sub.key for sub in summary.subs)
    table = wandb.Table(columns=[*_COLUMNS, *(f"sub_reward.{key}" for key in keys)])
    for row in islice(rows, TABLE_ROWS):
        table.add_data(*_cells(row), *(row.sub_rewards.get(key) for key in keys))
    given = wandb.run
    run = given or wandb.init(project=project, name=name or header.name, job_type="grading")
    run.config.update({"grader": {**parameters(header), "spec": dict(header.spec)}}, allow_val_change=True)
    run.log({**figures(summary), "graded": table})
    artifact = wandb.Artifact(
        f"results-{header.digest[:16]}", type="grader-results", metadata=parameters(header)
    )
    artifact.add_file(str(results))
    run.log_artifact(artifact)
    if given is None:
        run.finish()
    return f"wandb run {run.id} in {run.dir if run.offline else run.url}"


def _cells(row: ResultRow) -> tuple[object, ...]:
    return row.id, row.reward, row.ok, ", ".join(row.flags), "; ".join(row.errors), row.output_text
