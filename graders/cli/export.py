"""grader export: results to where other numbers are."""

from __future__ import annotations

import click

from graders.cli import OK
from graders.exporters import EXPORTERS


@click.command()
@click.argument("results", metavar="OUT", type=click.Path(dir_okay=False))
@click.option("--to", required=True, type=click.Choice(tuple(EXPORTERS)), help="The library.")
@click.option(
    "--project",
    metavar="NAME",
    help="MLflow's experiment, wandb's project, the scope of OpenTelemetry's logger.",
)
@click.option("--name", metavar="NAME", help="Name of the run; default: the grader's.")
def command(results: str, to: str, project: str | None, name: str | None) -> int:
    """Export the results file OUT of `grader batch` to MLflow, Weights & Biases or OpenTelemetry.

    The library's own settings name the destination: MLFLOW_TRACKING_URI, WANDB_MODE, OTEL_EXPORTER_OTLP_ENDPOINT.
    A failed row has its flag and no number.

    \b
    grader export results.jsonl --to mlflow --project answers
    WANDB_MODE=offline grader export results.jsonl --to wandb
    """
    from graders.exporters import export
    from graders.results.read import ResultsError

    try:
        click.echo(export(results, to, project=project, name=name))
    except (ResultsError, ImportError) as error:
        raise click.UsageError(str(error)) from None
    return OK
