"""Weights & Biases: the run of a job whose start message asks for one. TRL's callback logs every step to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def begin_run(wanted: Mapping[str, Any], folder: Path) -> None:
    """Begin the job's run, or continue it.

    Args:
        wanted: The `wandb` of the start message.
        folder: In which wandb keeps the run.

    Raises:
        ImportError: wandb is not installed for the trainer.
    """
    try:
        import wandb
    except ImportError:
        raise ImportError(
            "[tuning] wandb of graders.toml wants runs of Weights & Biases, and the trainer has no wandb: install it "
            "beside the trainer (pip install wandb), or take the key out"
        ) from None
    wandb.init(
        project=wanted["project"],
        entity=wanted.get("entity"),
        name=wanted.get("name"),
        tags=wanted.get("tags"),
        id=wanted["id"],
        resume="allow",
        mode=wanted["mode"],
        dir=folder,
        # nothing but what the job logs: neither what is printed, nor what machine and folder this is
        settings=wandb.Settings(
            console="off", disable_git=True, disable_code=True, x_disable_stats=True, x_disable_meta=True
        ),
    )
