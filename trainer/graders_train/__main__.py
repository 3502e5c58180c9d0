"""python -m graders_train: one job, from a start message to done, stopped or failed; chat with a base model, or a model converted."""

from __future__ import annotations

import os
import random
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Matrix products in one order on an accelerator too. Must be set before torch is loaded.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")
#: wandb tells its makers how it is used, also of runs that are kept offline. Must be set before it is loaded, which
#: transformers does wherever it is installed.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

from .pipe import Pipe, PipeClosed
from .world import on_first, processes


def main() -> int:
    """Train as the start message says. Exit code 0 if the end was reported, 1 if the pipe was closed before."""
    pipe = Pipe() if int(os.environ.get("RANK", "0")) == 0 else None
    try:
        start: dict[str, Any] = on_first(lambda: pipe.started() if pipe else {})
        if start["type"] in OTHER_WORK:
            if pipe:
                OTHER_WORK[start["type"]](start, pipe)
            return 0
        end, fields = _train(start, pipe)
        if pipe:
            pipe.send(end, **fields)
    except PipeClosed:
        return 1
    except Exception as error:
        traceback.print_exc()
        if pipe is None:
            return 1  # upon which the launcher ends the other processes
        if not pipe.stop.is_set():
            code = getattr(error, "code", "server_error")
            pipe.send(
                "failed", code=code if isinstance(code, str) else "server_error", message=str(error)[:2000]
            )
    return 0


def _train(start: dict[str, Any], pipe: Pipe | None) -> tuple[str, dict[str, Any]]:
    import numpy
    import torch

    from .methods import trainer
    from .progress import ReportCallback, copy_adapter, resume_state
    from .tracking import begin_run

    folder = Path(start["folder"])
    if pipe and start.get("wandb"):
        # before the seeds: the library draws random numbers of its own
        begin_run(start["wandb"], folder)
    _prepare_torch(start)
    world = processes()
    print(
        f"process {world.process_index + 1} of {world.num_processes} on {world.device}",
        file=sys.stderr,
    )
    random.seed(start["seed"])
    numpy.random.seed(start["seed"] & 0xFFFFFFFF)
    torch.manual_seed(start["seed"])
    state = folder / "state"
    resumed = on_first(lambda: resume_state(state) if start["resume"] else None)
    training = trainer({**start, "resumed": resumed}, pipe, state)
    progress = ReportCallback(
        pipe,
        folder,
        checkpoint_every=start["hyperparameters"].get("eval_interval", 0),
        validate=bool(start["validation"]),
        save_every=start["save_every"],
    )
    training.add_callback(progress)
    if pipe:
        pipe.send("ready", step=int(resumed.rpartition("-")[2]) if resumed else 0)
    training.train(resume_from_checkpoint=resumed)
    step = training.state.global_step
    if progress.stopped:
        return "stopped", {"step": step}
    last = folder / f"ckpt-step-{step}"
    if pipe:
        copy_adapter(last, folder / "model")
    return "done", {"step": step, "folder": "model", "trained_tokens": progress.tokens}


def _serve(start: dict[str, Any], pipe: Pipe) -> None:
    from .generation import serve

    _prepare_torch(start)
    serve(start, pipe)


def _convert(start: dict[str, Any], pipe: Pipe) -> None:
    from .models import convert

    convert(start["source"], start["folder"])
    pipe.send("converted")


def _prepare_torch(start: dict[str, Any]) -> None:
    import torch

    if start.get("threads"):
        torch.set_num_threads(start["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)


#: First messages that ask for something else than a job.
OTHER_WORK: dict[str, Callable[[dict[str, Any], Pipe], None]] = {"serve": _serve, "convert": _convert}

if __name__ == "__main__":
    sys.exit(main())
