"""Exporters of results files to experiment trackers, one file for each library.

    from graders.exporters import export

    export("results.jsonl", "mlflow", project="answers")

No exporter imports its library before it is used. A failed row is sent with its flag and without a number.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

#: target -> its module, which has `export`, and the extra that installs its library.
EXPORTERS = {
    "mlflow": ("graders.exporters.mlflow", "mlflow"),
    "wandb": ("graders.exporters.wandb", "wandb"),
    "otel": ("graders.exporters.opentelemetry", "otel"),
}


def export(results: str | Path, to: str, *, project: str | None = None, name: str | None = None) -> str:
    """Export a results file to a library, whose own settings decide the destination.

    Args:
        to: One of EXPORTERS.
        project: The experiment of MLflow, the project of Weights & Biases, the scope of OpenTelemetry's logger.
        name: Name of the run; None: the grader's.

    Returns:
        The destination, in words.

    Raises:
        ValueError: the target is unknown.
        ImportError: its library is not installed; the message says how to install it.
        ResultsError: the file cannot be read.
    """
    if to not in EXPORTERS:
        raise ValueError(f"no exporter {to!r}; there are {', '.join(EXPORTERS)}")
    module, extra = EXPORTERS[to]
    try:
        exporter: Any = import_module(module)
        return str(exporter.export(results, project=project, name=name))
    except ModuleNotFoundError as error:
        raise ImportError(f"{error}: pip install 'local-graders[{extra}]'") from error
