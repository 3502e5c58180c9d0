"""Trains queued jobs, one after the other, in the background of the process that holds the store's claim.

The pipe is a trainer's lease: it saves and exits when its input ends, so that a killed server leaves no orphan. The
status in the store is the wanted one; the trainer of a job that is no longer `running` is stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from pathlib import Path

from graders.config.tuning import TuningConfig
from graders.engine.backends import Backends
from graders.jsontext import dumps
from graders.store import JobRecord, NewEvent, Store
from graders.store.home import private_folder
from graders.tuning.execution import JobExecution, JobFailed
from graders.tuning.folders import jobs_folder, sweep
from graders.tuning.states import NoTransition, after
from graders.tuning.worker import FolderInUse

SWEEP_S = 3600.0  # between looks at what ended jobs leave
LOOK_S = 0.2  # between looks at what is queued, paused or cancelled
CANCEL_S = 10.0  # for a trainer to leave whose job was cancelled
CLOSE_S = 60.0  # for a trainer to save when the server ends
ATTEMPTS = 3  # trainers in a row that leave without a word and without a step, until the job fails

log = logging.getLogger("graders.tuning")


class Supervisor:
    """Trains queued jobs: once by `train_queued`, or on a thread from `start` to `close`."""

    def __init__(self, store: Store, backends: Backends, config: TuningConfig) -> None:
        self._store = store
        self._backends = backends
        self._config = config
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._work, name="graders-tuning", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.recover()
        self._thread.start()

    def recover(self) -> None:
        """Queue the jobs that were running when the last server ended; they resume from their saved state."""
        for job_id in self._store.jobs.with_status("running"):
            self._requeue(job_id, "The server was restarted: the job continues from its last saved step")

    def wake(self) -> None:
        """Poll the store now, after a job was queued, paused or cancelled."""
        self._wanted.set()

    def close(self) -> None:
        """Stop. The running job is saved, and the next supervisor resumes it."""
        self._closing.set()
        self._wanted.set()
        self._thread.join()

    def _requeue(self, job_id: str, why: str) -> None:
        self._store.jobs.change(job_id, partial(after, "lose"), [NewEvent(why, "warn")])

    def _work(self) -> None:
        next_sweep = 0.0
        while not self._closing.is_set():
            if time.monotonic() >= next_sweep:
                sweep(self._store, self._config.retention_days)
                next_sweep = time.monotonic() + SWEEP_S
            self.train_queued()
            self._wanted.wait(LOOK_S)
            self._wanted.clear()

    def train_queued(self) -> None:
        """Train each queued job until its trainer has ended."""
        for job_id in self._store.jobs.with_status("queued"):
            if self._closing.is_set():
                break
            self._train(job_id)

    def _train(self, job_id: str) -> None:
        """Run one trainer for one job until it has ended."""
        job = self._store.jobs.get(job_id)
        assert job is not None
        try:
            execution = JobExecution(self._store, self._backends, self._config, job, self._folder(job))
        except FolderInUse:
            return  # what an earlier server started is still saving
        except Exception as error:
            # any failure, such as a missing model or a deleted file, is reported in the job
            log.exception("the trainer of %s cannot be started", job_id)
            self._fail(job_id, "server_error", f"The trainer cannot be started: {error}")
            return
        left = threading.Event()
        watch = threading.Thread(target=self._watch, args=(job_id, execution, left), daemon=True)
        try:
            begun = "started" if execution.is_first else "resumed from its last saved step"
            self._store.jobs.change(
                job_id,
                partial(after, "start"),
                [NewEvent(f"Fine-tuning job {begun}")],
                attempts=job.attempts + 1,
            )
            watch.start()
            reported = execution.follow()
        except NoTransition:
            # paused or cancelled in between
            reported = True
        except JobFailed as failure:
            self._fail(job_id, failure.code, str(failure))
            reported = True
        except Exception as error:
            log.exception("job %s ended by a bug", job_id)
            self._fail(job_id, "server_error", f"The job ended by an error of the server: {error}")
            reported = True
        finally:
            left.set()
            execution.end()
        if not reported:
            self._lost(job_id, execution.trainer.log_end())

    def _folder(self, job: JobRecord) -> Path:
        return private_folder(private_folder(jobs_folder(self._store)) / job.id)

    def _watch(self, job_id: str, execution: JobExecution, left: threading.Event) -> None:
        """Stop the trainer when its job is stopped, and kill it if it does not exit."""
        deadline = None
        while not left.wait(LOOK_S):
            job = self._store.jobs.get(job_id)
            status = job.status if job else "cancelled"
            if status == "running" and not self._closing.is_set():
                continue
            execution.trainer.send("stop")
            patience = CANCEL_S if status == "cancelled" else CLOSE_S if self._closing.is_set() else None
            if patience is not None:
                deadline = min(deadline or float("inf"), time.monotonic() + patience)
            if deadline is not None and time.monotonic() > deadline:
                execution.trainer.kill()

    def _lost(self, job_id: str, trainer_log: str) -> None:
        """Handle a trainer that ended without a report. An exit code alone is never success."""
        job = self._store.jobs.get(job_id)
        if job is None or job.status != "running" or self._closing.is_set():
            return
        if job.attempts >= ATTEMPTS:
            text = (
                f"The trainer ended {job.attempts} times without a word. Its log ends: {trainer_log.strip()}"
            )
            self._fail(job_id, "server_error", text)
        else:
            try:
                self._requeue(
                    job_id, "The trainer ended without a report: the job continues from its last saved step"
                )
            except NoTransition:
                return

    def _fail(self, job_id: str, code: str, message: str) -> None:
        error = dumps({"code": code, "message": message, "param": None}).decode()
        event = NewEvent(message, "error")
        try:
            self._store.jobs.change(
                job_id,
                partial(after, "fail"),
                [event],
                error=error,
                finished_at=int(time.time()),
                estimated_finish=None,
            )
        except NoTransition:
            log.info("job %s was paused or cancelled before it failed: %s", job_id, message)
