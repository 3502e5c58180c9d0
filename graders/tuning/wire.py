"""The service's fine-tuning objects as JSON text."""

from __future__ import annotations

import re
import secrets
from typing import Any

from graders.jsontext import dumps, loads
from graders.store import CheckpointRecord, EventRecord, JobRecord, PermissionRecord
from graders.store.ids import BASE62

ORGANIZATION = "org-local"


def model_name(base: str, suffix: str | None, step: int | None = None) -> str:
    """A name for a tuned model or checkpoint, each with its own hash, as on the service."""
    base = base.split(":")[1] if base.startswith("ft:") else base
    plain = re.sub("[^a-zA-Z0-9-]", "-", suffix or "")
    code = "".join(secrets.choice(BASE62) for _ in range(8))
    return f"ft:{base}:local:{plain}:{code}" + ("" if step is None else f":ckpt-step-{step}")


def is_model_name(name: str) -> bool:
    """Whether a name has the form of this server's tuned models, even of a deleted one."""
    parts = name.split(":")
    if parts[-1].startswith("ckpt-step-"):
        parts.pop()
    # the base model's name may contain colons
    return parts[0] == "ft" and parts[-3:-2] == ["local"]


def job_wire(job: JobRecord) -> dict[str, Any]:
    """The job object. `error` is null without an error, since clients print any other value."""
    method = loads(job.method.encode())
    name, hyperparameters = method["type"], loads(job.hyperparameters.encode())
    method[name] = {**method[name], "hyperparameters": hyperparameters}
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "estimated_finish": job.estimated_finish if job.status == "running" else None,
        "status": job.status,
        "model": job.model,
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": ORGANIZATION,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "result_files": loads(job.result_files.encode()),
        "hyperparameters": hyperparameters if name == "supervised" else {},
        "method": method,
        "seed": job.seed,
        "trained_tokens": job.trained_tokens,
        "error": loads((job.error or "null").encode()),
        "integrations": loads((job.integrations or "null").encode()),
        "metadata": loads((job.metadata or "null").encode()),
        "user_provided_suffix": job.suffix,
        "usage_metrics": None,
        "shared_with_openai": False,
    }


def job_text(job: JobRecord) -> str:
    """The job object as JSON."""
    return dumps(job_wire(job)).decode()


def event_text(event: EventRecord) -> str:
    """The event object."""
    head = {
        "object": "fine_tuning.job.event",
        "id": event.id,
        "created_at": event.created_at,
        "level": event.level,
        "message": event.message,
        "type": event.type,
    }
    return f'{dumps(head).decode()[:-1]},"data":{event.data}}}'


def checkpoint_text(checkpoint: CheckpointRecord) -> str:
    """The checkpoint object."""
    head = {
        "object": "fine_tuning.job.checkpoint",
        "id": checkpoint.id,
        "created_at": checkpoint.created_at,
        "fine_tuned_model_checkpoint": checkpoint.name,
        "fine_tuning_job_id": checkpoint.job_id,
        "step_number": checkpoint.step,
    }
    return f'{dumps(head).decode()[:-1]},"metrics":{checkpoint.metrics}}}'


def permission_text(permission: PermissionRecord) -> str:
    """The permission object."""
    wire = {
        "object": "checkpoint.permission",
        "id": permission.id,
        "created_at": permission.created_at,
        "project_id": permission.project_id,
    }
    return dumps(wire).decode()


def model_wire(name: str, created_at: int) -> dict[str, Any]:
    """The model object."""
    return {"id": name, "object": "model", "created": created_at, "owned_by": ORGANIZATION}
