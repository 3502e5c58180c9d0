"""The callback of TRL's training loop: it reports metrics, keeps checkpoints, and stops on request."""

from __future__ import annotations

import os
import shutil
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from .world import on_first

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from .pipe import Pipe

#: The marker file of a complete resume state; without it the process was killed while writing.
COMPLETE = "complete"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
#: TRL's names of metrics -> the wire's.
TRAIN_METRICS = {
    "loss": "train_loss",
    "mean_token_accuracy": "train_mean_token_accuracy",
    "rewards/accuracies": "train_reward_accuracy",
    "rewards/margins": "train_reward_margin",
    "reward": "train_mean_reward",
    "completions/mean_length": "completion_tokens_mean",
    "num_tokens": "num_tokens",
    "step_time": "step_time",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
}
VALID_METRICS = {
    "eval_loss": "full_valid_loss",
    "eval_mean_token_accuracy": "full_valid_mean_token_accuracy",
    "eval_rewards/accuracies": "full_valid_reward_accuracy",
    "eval_rewards/margins": "full_valid_reward_margin",
    "eval_reward": "full_valid_mean_reward",
}


class ReportCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Reports steps, validations and checkpoints, and stops at the next step on request.

    Args:
        pipe: The pipe to the supervisor; None in all processes but the first.
        folder: The job's folder: `ckpt-step-N` folders with adapters, and `state` for resuming.
        checkpoint_every: Steps between checkpoints that are kept and served; 0: at the end of each epoch.
        validate: Whether there are validation rows.
        save_every: Steps between resume states.

    Attributes:
        stopped: Whether training was stopped before its last step.
    """

    def __init__(
        self, pipe: Pipe | None, folder: Path, *, checkpoint_every: int, validate: bool, save_every: int
    ) -> None:
        self._pipe = pipe
        self._folder = folder
        self._checkpoint_every = checkpoint_every
        self._validate = validate
        self._save_every = save_every
        self._keep = False
        self._validation: dict[str, float] = {}
        self.stopped = False
        self.tokens = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Repeat the reports before a resume, since a killed supervisor may not have stored the last ones."""
        for step, entries in groupby(state.log_history, key=lambda logs: int(logs["step"])):
            validation: dict[str, float] = {}
            for logs in entries:
                self._report(logs, step, state.max_steps)
                validation |= _named(logs, VALID_METRICS)
            if self._pipe and validation and step:
                self._pipe.send("validation", step=step, metrics=validation)
            if self._pipe and (self._folder / f"ckpt-step-{step}").exists():
                self._report_checkpoint(step, validation)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        step, last = state.global_step, state.global_step >= state.max_steps
        stop, save = on_first(
            lambda: (self._pipe.stop.is_set(), self._pipe.save.is_set()) if self._pipe else (False, False)
        )
        if stop and not last:
            self.stopped = True
            control.should_training_stop = True
        if self._pipe:
            self._pipe.save.clear()
        every = self._checkpoint_every
        # not when TRL says that the epoch has ended: a job that was stopped at this step would go on with the next one
        if (step % every == 0 or last) if every else float(state.epoch).is_integer():
            self._checkpoint(control)
        if stop or save or step % self._save_every == 0:
            control.should_save = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        self._report(logs or {}, state.global_step, state.max_steps)

    def _report(self, logs: dict[str, float], step: int, total_steps: int) -> None:
        if "loss" in logs and self._pipe:
            metrics = _named(logs, TRAIN_METRICS)
            self.tokens = int(metrics.pop("num_tokens", self.tokens))
            self._pipe.send("step", step=step, total_steps=total_steps, metrics=metrics)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **_: Any,
    ) -> None:
        self._validation = _named(metrics, VALID_METRICS)
        if self._pipe:
            self._pipe.send("validation", step=state.global_step, metrics=self._validation)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        keep, self._keep = self._keep, False
        if self._pipe is None:
            return
        saved = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        _sync(saved)
        if keep:
            # before the state is marked complete, so that a job that resumes from it has the adapter too
            copy_adapter(saved, self._folder / f"ckpt-step-{state.global_step}")
        (saved / COMPLETE).touch()
        for other in saved.parent.glob("checkpoint-*"):
            if other != saved:
                shutil.rmtree(other)
        self._pipe.send("saved", step=state.global_step)
        if keep:
            self._report_checkpoint(state.global_step, self._validation)

    def _report_checkpoint(self, step: int, validation: dict[str, float]) -> None:
        assert self._pipe is not None
        self._pipe.send("checkpoint", step=step, folder=f"ckpt-step-{step}", metrics=validation)

    def _checkpoint(self, control: TrainerControl) -> None:
        self._keep = True
        control.should_save = True
        if self._validate:
            control.should_evaluate = True


def resume_state(folder: Path) -> str | None:
    """The newest complete resume state, after removing incomplete ones; None without one."""
    found = []
    for state in folder.glob("checkpoint-*"):
        if (state / COMPLETE).exists():
            found.append((int(state.name.rpartition("-")[2]), state))
        else:
            shutil.rmtree(state)
    return str(max(found)[1]) if found else None


def copy_adapter(source: Path, to: Path) -> None:
    """Copy an adapter atomically."""
    half = to.with_name(f"{to.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for name in ADAPTER_FILES:
        shutil.copyfile(source / name, half / name)
    _sync(half)
    shutil.rmtree(to, ignore_errors=True)
    half.rename(to)


def _named(logs: dict[str, float], names: dict[str, str]) -> dict[str, float]:
    return {names[key]: float(value) for key, value in logs.items() if key in names and value == value}


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
