"""A trainer's reports of steps as the service's events: message, data and the table of a result file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from graders.store import NewEvent

#: Column of the result file -> key of a step's metrics.
COLUMNS = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}
REINFORCEMENT_COLUMNS = {
    "step": "step",
    "train_mean_reward": "train_mean_reward",
    "full_valid_mean_reward": "full_valid_mean_reward",
    "completion_tokens_mean": "completion_tokens_mean",
}
CHECKPOINT_KEYS = (
    "step",
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
    "full_valid_mean_reward",
    "train_mean_reward",
)


def with_validation(metrics: dict[str, Any], found: Mapping[str, Any]) -> None:
    """Add the results of a validation. It uses all validation rows, so `valid_` and `full_valid_` are equal."""
    metrics.update(found)
    for key in ("loss", "mean_token_accuracy"):
        if f"full_valid_{key}" in found:
            metrics[f"valid_{key}"] = found[f"full_valid_{key}"]
    metrics["validating"] = True


def step_event(metrics: Mapping[str, Any]) -> NewEvent:
    """The metrics event of a step.

    Args:
        metrics: The step's metrics, with `step` and `total_steps`.
    """
    head = f"Step {metrics['step']}/{metrics['total_steps']}"
    if "train_mean_reward" in metrics:
        text = f"{head} , train mean reward={metrics['train_mean_reward']:.2f}"
        if "full_valid_mean_reward" in metrics:
            text += f", full validation mean reward={metrics['full_valid_mean_reward']:.2f}"
            text += f", full validation mean parse error={metrics.get('full_valid_mean_parse_error', 0):.2f}"
    else:
        text = f"{head}: training loss={metrics.get('train_loss', float('nan')):.2f}"
        if "valid_loss" in metrics:
            text += f", validation loss={metrics['valid_loss']:.2f}"
            text += f", full validation loss={metrics['full_valid_loss']:.2f}"
    return NewEvent(text, type="metrics", data=metrics, step=metrics["step"])


def checkpoint_metrics(step: int, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The known metrics of a checkpoint that the wire has."""
    return {"step": step, **{key: metrics[key] for key in CHECKPOINT_KEYS if key in metrics}}


def result_table(steps: Iterable[Mapping[str, Any]], method: str) -> bytes:
    """The result file: CSV with 5 decimals, blank for a missing value."""
    columns = REINFORCEMENT_COLUMNS if method == "reinforcement" else COLUMNS
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for metrics in steps:
        row = [metrics.get(key, "") for key in columns.values()]
        writer.writerow([f"{value:.5f}" if isinstance(value, float) else value for value in row])
    return text.getvalue().encode()
