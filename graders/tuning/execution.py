"""Executes one job with one trainer: writes rows and the start message, answers its requests, stores its reports."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from graders.config.tuning import TuningConfig
from graders.engine.backends import Backends
from graders.errors import ModelStop
from graders.jsontext import dumps, loads
from graders.store import Cursor, JobRecord, NewEvent, Store
from graders.training_files.check import rows_of
from graders.training_files.rows import METHODS
from graders.tuning.folders import adapter_name
from graders.tuning.progress import checkpoint_metrics, result_table, step_event, with_validation
from graders.tuning.rewards import BrokenGrader, Rewards
from graders.tuning.rollouts import write_rollouts
from graders.tuning.states import NoTransition, after
from graders.tuning.wire import model_name
from graders.tuning.worker import Worker

KEPT = 3  # checkpoints of a job
CHECKPOINTS_MORE = 10  # than are kept, at most, where a server was killed before it removed them
RESULTS = "results"  # the folder with a results file of each validation
TIMED_STEPS = 3  # until the end is estimated


class JobFailed(RuntimeError):
    """Raised when a job cannot continue.

    Attributes:
        code: Code of the job's error.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JobExecution:
    """The execution of a job.

    Args:
        folder: The job's folder.

    Attributes:
        is_first: Whether the job has not been trained before.

    Raises:
        FolderInUse: a trainer of an earlier server has not ended yet.
        KeyError: the model is no longer configured.
        OSError, LookupError: rows cannot be read or written, or the trainer cannot be started.
        SpecError: the grader is not valid here.
    """

    def __init__(
        self, store: Store, backends: Backends, config: TuningConfig, job: JobRecord, folder: Path
    ) -> None:
        self._store = store
        self._job = job
        self._folder = folder
        self._method: Mapping[str, Any] = loads(job.method.encode())
        self._type: str = self._method["type"]
        self._rewards = (
            Rewards(self._method[self._type]["grader"], backends) if self._type == "reinforcement" else None
        )
        self._step: dict[str, Any] = {}
        self._shown: dict[str, Any] = {}
        self._times: list[float] = []
        known = store.jobs.step_metrics(job.id)
        self._last = loads(known[-1].encode())["step"] if known else 0
        self.is_first = not (folder / "state").exists()
        train = self._written(job.training_file, "train.jsonl")
        validation = self._written(job.validation_file, "valid.jsonl") if job.validation_file else None
        self.trainer = Worker(config.command, config.environment, folder / "log", folder / "lock")
        hyperparameters = loads(job.hyperparameters.encode())
        self.trainer.send(
            "start",
            **config.settings,
            method=self._type,
            model=str(config.models[job.model]),
            train=train,
            validation=validation,
            folder=str(folder),
            seed=job.seed,
            resume=not self.is_first,
            hyperparameters=hyperparameters,
            wandb=self._wandb_run(config.wandb),
            **config.arguments(self._type, hyperparameters),
        )

    def _wandb_run(self, mode: str) -> dict[str, Any] | None:
        """The settings of the job's Weights & Biases run, by its first block; None if nothing is kept or sent."""
        blocks = loads((self._job.integrations or "[]").encode())
        if mode == "off" or not blocks:
            return None
        return {**blocks[0]["wandb"], "mode": mode, "id": self._job.id}

    def _written(self, file_id: str, name: str) -> str:
        """The path of the file's rows in the trainer's form: a copy, since the file may be deleted."""
        path = self._folder / name
        if not path.exists():
            record = self._store.files.get(file_id)
            if record is None:
                raise LookupError(f"the file {file_id} was deleted before the job began")
            write = METHODS[self._type].for_trainer
            half = path.with_suffix(".half")
            with open(half, "wb") as written:
                for _, row in rows_of(self._store.files.path(record)):
                    written.write(dumps(write(row)) + b"\n")
            os.replace(half, path)
        return str(path)

    def follow(self) -> bool:
        """Store the trainer's reports and answer its requests until it exits; returns whether it reported its end.

        Raises:
            JobFailed: it reported a failure, or its rewards cannot be computed.
        """
        reported = False
        for message in self.trainer.messages():
            match message["type"]:
                case "step":
                    self._flush()
                    self._begin_step(message)
                case "saved":
                    self._flush()
                case "validation":
                    self._validated(message["step"], message["metrics"])
                case "rewards":
                    self._answer(message)
                case "checkpoint":
                    self._flush()
                    self._checkpoint(message["step"], message["metrics"])
                case "done":
                    self._flush()
                    self._succeed(message)
                    reported = True
                case "stopped":
                    # the end of the job only if it was paused or cancelled, by its status
                    self._flush()
                case "failed":
                    self._flush()
                    raise JobFailed(message["code"], message["message"])
        return reported

    def end(self) -> None:
        """Stop the trainer and wait for its exit."""
        self.trainer.close()

    def _begin_step(self, message: Mapping[str, Any]) -> None:
        metrics = {key: value for key, value in message["metrics"].items() if value is not None}
        self._step = {"step": message["step"], "total_steps": message["total_steps"], **metrics}
        if message["step"] > self._last:
            self._times.append(time.time())

    def _validated(self, step: int, metrics: Mapping[str, Any]) -> None:
        if self._rewards:
            name = f"ckpt-step-{step}" if step else "base"
            self._rewards.end_validation(self._folder / RESULTS / f"{name}.jsonl")
        if step and self._step:
            with_validation(self._step, metrics)
        elif not step and self._rewards:
            mean = metrics.get("full_valid_mean_reward")
            self._rewards.metrics()
            text = f"Base model: full validation mean reward={'none' if mean is None else f'{mean:.2f}'}"
            self._store.jobs.change(self._job.id, events=[NewEvent(text)])

    def _flush(self) -> None:
        """The event of the last step, once its validation is known too."""
        if not self._step:
            return
        metrics, self._step = self._step, {}
        if self._rewards:
            # the loss of a policy does not measure its quality
            metrics.pop("full_valid_loss", None)
            metrics.pop("valid_loss", None)
            metrics.update(self._rewards.metrics())
            if warning := self._rewards.warning():
                self._store.jobs.change(self._job.id, events=[NewEvent(warning, "warn")])
        self._shown = metrics
        finish = None
        if len(self._times) > TIMED_STEPS:
            seconds = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
            finish = int(time.time() + seconds * (metrics["total_steps"] - metrics["step"]))
        columns: dict[str, Any] = {"estimated_finish": finish}
        if metrics["step"] > self._last:
            # steps repeated after a resume are no progress
            self._last, columns["attempts"] = metrics["step"], 0
        self._store.jobs.change(self._job.id, events=[step_event(metrics)], **columns)

    def _answer(self, message: Mapping[str, Any]) -> None:
        if self._rewards is None:
            raise JobFailed("server_error", f"The trainer asks for rewards in a job of method {self._type}")
        if message["split"] == "train":
            # the next step begins: rows graded so far belong to the previous one
            self._flush()
        try:
            values = self._rewards.values(message["samples"], message["items"], message["split"])
        except (BrokenGrader, ModelStop) as error:
            raise JobFailed("invalid_grader", f"The grader gives no rewards: {error}") from None
        self.trainer.send("rewards", number=message["number"], values=values)
        write_rollouts(self._folder, message["split"], message["step"], *self._rewards.last_batch)

    def _checkpoint(self, step: int, found: Mapping[str, Any]) -> None:
        metrics = {**self._shown} if self._shown.get("step") == step else {}
        if found:
            with_validation(metrics, found)
        jobs = self._store.jobs
        name = model_name(self._job.model, self._job.suffix, step)
        jobs.add_checkpoint(self._job.id, step, name, dumps(checkpoint_metrics(step, metrics)).decode())
        kept = jobs.checkpoints(self._job.id, Cursor(limit=KEPT + CHECKPOINTS_MORE)).rows
        kept.sort(key=lambda one: (self._rank(loads(one.metrics.encode())), one.step))
        for worst in kept[: max(0, len(kept) - KEPT)]:
            # the folder first: a folder without a row would be reported again
            shutil.rmtree(self._folder / adapter_name(worst.step), ignore_errors=True)
            jobs.remove_checkpoint(worst.id)

    def _rank(self, metrics: Mapping[str, Any]) -> float:
        """The key by which checkpoints are kept: the validation's reward, else the step."""
        reward: float = metrics.get("full_valid_mean_reward", 0.0)
        return reward

    def _succeed(self, message: Mapping[str, Any]) -> None:
        jobs, job = self._store.jobs, self._job
        name = model_name(job.model, job.suffix)
        table = result_table((loads(text.encode()) for text in jobs.step_metrics(job.id)), self._type)
        files = [self._kept_file(io.BytesIO(table), "step_metrics.csv")]
        for path in sorted((self._folder / RESULTS).glob("*.jsonl"), key=os.path.getmtime):
            with open(path, "rb") as results:
                files.append(self._kept_file(results, path.name))
        events = [
            NewEvent(f"New fine-tuned model created: {name}"),
            NewEvent("The job has successfully completed"),
        ]
        try:
            jobs.change(
                job.id,
                partial(after, "succeed"),
                events,
                fine_tuned_model=name,
                trained_tokens=message["trained_tokens"],
                result_files=dumps(files).decode(),
                finished_at=int(time.time()),
                estimated_finish=None,
            )
        except NoTransition:
            # paused or cancelled while the last step ended
            for file_id in files:
                self._store.files.delete(file_id)

    def _kept_file(self, content: BinaryIO, name: str) -> str:
        """The id of a result file in the store."""
        return self._store.files.add_from(content, purpose="fine-tune-results", filename=name).id
