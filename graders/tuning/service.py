"""The operations on fine-tuning jobs in the store: create, validate, look up, cancel, pause and resume."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from graders.datasets.rows import DataError
from graders.jsontext import dumps, loads
from graders.preflight.findings import Findings
from graders.store import JobRecord, NewEvent, Store
from graders.store.ids import base62_id
from graders.training_files.check import check_files
from graders.tuning.folders import GB, sizes
from graders.tuning.requests import JobRequest, read_request, resolved
from graders.tuning.states import after

#: Jobs that may wait; more are refused.
QUEUED_MOST = 100
#: Files up to this size are validated before the answer that creates the job, which is then `queued`: clients that
#: poll only while a job is queued or running would leave at once otherwise.
INLINE_BYTES = 8 * 1024**2
#: Jobs that the error about the quota names.
LARGEST = 3


class JobRefused(ValueError):
    """Raised when a job cannot be created for a reason outside of its body.

    Attributes:
        param, code: Fields of the service's error object.
    """

    def __init__(self, message: str, param: str | None, code: str | None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class TooManyJobs(RuntimeError):
    """Raised when too many jobs wait."""


class NoJob(LookupError):
    """Raised when a job does not exist."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Could not find fine tune: {job_id[:80]}")


class Jobs:
    """Operations on jobs. Thread-safe.

    Args:
        models: Name on the wire -> folder of a base model.
        strict: Whether to refuse graders that the hosted service would refuse.
        quota_gb: Limit of all jobs' folders together; 0: no limit.
        wandb: Where runs of Weights & Biases go, one of `graders.config.tuning.WANDB_MODES`.
    """

    def __init__(
        self,
        store: Store,
        models: Mapping[str, Path],
        *,
        strict: bool = False,
        quota_gb: float = 0,
        wandb: str = "off",
    ) -> None:
        self._store = store
        self._models = models
        self._strict = strict
        self._quota_gb = quota_gb
        self._wandb = wandb

    def create(self, body: object) -> JobRecord:
        """Create a job with status `validating_files`.

        Raises:
            InvalidJob: with every problem of the body.
            JobRefused: it names a file or model that does not exist, or would exceed the quota.
            TooManyJobs: too many jobs wait.
        """
        request = read_request(body, strict=self._strict)
        self._resolve(request)
        if self._quota_gb:
            self._need_room(request)
        if len(self._store.jobs.with_status("queued")) >= QUEUED_MOST:
            raise TooManyJobs(f"{QUEUED_MOST} fine-tuning jobs wait already")
        job_id = base62_id("ftjob", 24)
        files = f"Validating training file: {request.training_file}"
        if request.validation_file:
            files += f" and validation file: {request.validation_file}"
        events = [NewEvent(f"Created fine-tuning job: {job_id}"), NewEvent(files)]
        record = JobRecord(
            id=job_id,
            created_at=int(time.time()),
            status="validating_files",
            model=request.model,
            training_file=request.training_file,
            validation_file=request.validation_file,
            suffix=request.suffix,
            seed=request.seed,
            method=dumps(request.method).decode(),
            hyperparameters=dumps(_shown(request)).decode(),
            integrations=None if request.integrations is None else dumps(request.integrations).decode(),
            metadata=request.metadata,
        )
        if request.integrations:
            events.append(NewEvent(f"Weights & Biases: {_WANDB_NOTES[self._wandb]}", "warn"))
        self._store.jobs.add(record, events)
        return record

    def _resolve(self, request: JobRequest) -> None:
        for param in ("training_file", "validation_file"):
            file_id = getattr(request, param)
            if file_id is not None and self._store.files.get(file_id) is None:
                raise JobRefused(f"invalid {param}: {file_id[:80]}", param, None)
        if request.model not in self._models:
            raise JobRefused(
                f"Model {request.model[:80]} is not available for fine-tuning or does not exist. Here it has to stand "
                "in [tuning.models] of graders.toml.",
                "model",
                "model_not_available",
            )

    def _need_room(self, request: JobRequest) -> None:
        """Refuse a job beyond the quota. Its size is unknown, but it keeps at least a copy of its rows."""
        taken = sizes(self._store)
        if sum(taken.values()) + self._bytes_of_files(request) <= self._quota_gb * GB:
            return
        largest = sorted(taken, key=lambda job_id: taken[job_id], reverse=True)[:LARGEST]
        shown = ", ".join(f"{job_id} ({taken[job_id] / GB:.2f} GB)" for job_id in largest) or "none yet"
        raise JobRefused(
            f"Jobs' folders take {sum(taken.values()) / GB:.2f} GB, and with the rows of this job they would exceed "
            f"quota_gb = {self._quota_gb:g} in [tuning] of graders.toml. The largest: {shown}. Delete tuned models and "
            "checkpoints of jobs that have ended (DELETE /v1/models/NAME), have the rest of their folders removed by "
            "retention_days, or raise the quota.",
            None,
            "quota_exceeded",
        )

    def is_small(self, job: JobRecord) -> bool:
        """Whether its files are small enough to be validated at once."""
        return self._bytes_of_files(job) <= INLINE_BYTES

    def _bytes_of_files(self, job: JobRecord | JobRequest) -> int:
        """Of those that are there."""
        named = (job.training_file, job.validation_file)
        files = [self._store.files.get(file_id) for file_id in named if file_id]
        return sum(file.bytes for file in files if file)

    def validate(self, job_id: str) -> JobRecord:
        """Validate the files of a job, which is `queued` or `failed` afterwards, unless it was cancelled meanwhile.

        Raises:
            NoJob: there is none.
        """
        job = self.get(job_id)
        if job.status != "validating_files":
            return job
        method = loads(job.method.encode())["type"]
        findings = Findings()
        try:
            validation = None if job.validation_file is None else self._file(job.validation_file)
            training_path, base = self._file(job.training_file), self._models.get(job.model)
            training, held_out = check_files(method, training_path, validation, findings, base)
        except (DataError, LookupError) as error:
            return self._fail(job, "invalid_training_file", str(error))
        for file, param in ((training, "training_file"), (held_out, "validation_file")):
            for code, message in file.errors() if file else ():
                return self._fail(job, code, message, param)
        warnings = [
            NewEvent(finding.message, "warn")
            for finding in findings.sorted()
            if finding.severity == "warning"
        ]
        given = loads(job.hyperparameters.encode())
        ready = NewEvent("Files validated, moving job to queued state")
        return self._change(
            job,
            "validated",
            [*warnings, ready],
            hyperparameters=dumps(resolved(method, given, training.n)).decode(),
        )

    def _file(self, file_id: str) -> str:
        record = self._store.files.get(file_id)
        if record is None:
            raise LookupError(f"the file {file_id} was deleted")
        return str(self._store.files.path(record))

    def _fail(self, job: JobRecord, code: str, message: str, param: str = "training_file") -> JobRecord:
        error = dumps({"code": code, "message": message, "param": param}).decode()
        event = NewEvent(message, "error")
        return self._change(job, "fail", [event], error=error, finished_at=int(time.time()))

    def _change(self, job: JobRecord, event: str, events: list[NewEvent], **columns: object) -> JobRecord:
        """Change a job, unless a client changed it meanwhile."""

        def unless_changed(status: str) -> str:
            if status != job.status:
                raise _StatusChanged
            return after(event, status)

        try:
            return self._store.jobs.change(job.id, unless_changed, events, **columns) or job
        except _StatusChanged:
            return self.get(job.id)

    def get(self, job_id: str) -> JobRecord:
        """
        Raises:
            NoJob: there is none.
        """
        job = self._store.jobs.get(job_id)
        if job is None:
            raise NoJob(job_id)
        return job

    def act(self, action: str, job_id: str) -> JobRecord:
        """Cancel, pause or resume.

        Raises:
            NoJob: there is none.
            NoTransition: its status does not allow it.
        """
        columns = {"finished_at": int(time.time())} if action == "cancel" else {}
        event = NewEvent(f"Fine-tuning job {_DONE[action]}")
        job = self._store.jobs.change(
            job_id, partial(after, action), [event], estimated_finish=None, **columns
        )
        if job is None:
            raise NoJob(job_id)
        return job


class _StatusChanged(Exception):
    """Raised when the status changed meanwhile."""


_WANDB_NOTES = {
    "off": "nothing is sent; the block is kept as it came.",
    "offline": "nothing is sent; the run is kept in the job's folder, from which `wandb sync` sends it.",
    "online": "the run is sent, as [tuning] of graders.toml says.",
}
_DONE = {"cancel": "cancelled", "pause": "paused", "resume": "resumed, moving job to queued state"}


def _shown(request: JobRequest) -> dict[str, object]:
    """Hyperparameters on the wire before the rows are counted."""
    if request.type == "reinforcement":
        return dict(request.hyperparameters)
    names = (
        "n_epochs",
        "batch_size",
        "learning_rate_multiplier",
        *(("beta",) if request.type == "dpo" else ()),
    )
    return {**dict.fromkeys(names, "auto"), **request.hyperparameters}
