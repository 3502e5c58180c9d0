"""Records of fine-tuning jobs, events, checkpoints and permissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job. `method`, `hyperparameters`, `integrations`, `metadata`, `error` and `result_files` are JSON text.

    Attributes:
        hyperparameters: Numbers once they are known, "auto" before.
        attempts: Consecutive crashes of its trainer since the last step.
    """

    id: str
    created_at: int
    status: str
    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    method: str
    hyperparameters: str
    integrations: str | None
    metadata: str | None
    finished_at: int | None = None
    estimated_finish: int | None = None
    trained_tokens: int | None = None
    fine_tuned_model: str | None = None
    error: str | None = None
    result_files: str = "[]"
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event; `data` is JSON text."""

    id: str
    created_at: int
    level: str
    message: str
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint; `metrics` is JSON text."""

    id: str
    job_id: str
    created_at: int
    step: int
    name: str
    metrics: str


@dataclass(frozen=True, slots=True)
class PermissionRecord:
    """A project that may use a checkpoint."""

    id: str
    created_at: int
    project_id: str


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A tuned model or a checkpoint.

    Attributes:
        base: The name of the model that was tuned.
        step: The checkpoint's step; None: the job's final model.
    """

    job_id: str
    base: str
    step: int | None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to add. It is dropped if the job has an event of that step already."""

    message: str
    level: str = "info"
    type: str = "message"
    data: Mapping[str, Any] | None = None
    step: int | None = None
