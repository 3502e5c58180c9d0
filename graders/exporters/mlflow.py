"""MLflow: a run for a results file, with parameters, metrics, and the spec, results and report as artifacts.

MLflow's settings give the destination: MLFLOW_TRACKING_URI, or `mlflow.set_tracking_uri`.
"""

from __future__ import annotations

from pathlib import Path

import mlflow

from graders.exporters.figures import figures, parameters
from graders.report.page import page
from graders.report.report import make_report
from graders.results.read import read_results


def export(results: str | Path, *, project: str | None = None, name: str | None = None) -> str:
    """See `graders.exporters.export`. Inside an active run the new one is nested."""
    header = read_results(results).header
    report = make_report(results)
    if project:
        mlflow.set_experiment(project)
    with mlflow.start_run(run_name=name or header.name, nested=mlflow.active_run() is not None) as run:
        mlflow.log_params(parameters(header))
        mlflow.log_metrics(figures(report.summary))
        mlflow.log_dict(dict(header.spec), "spec.json")
        mlflow.log_text(page(report), "report.html")
        mlflow.log_artifact(str(results))
    return f"MLflow run {run.info.run_id} at {mlflow.get_tracking_uri()}"
