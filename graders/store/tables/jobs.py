"""Fine-tuning jobs with their events, checkpoints and permissions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, fields
from typing import Any

from graders.jsontext import dumps
from graders.store.database import Database
from graders.store.ids import base62_id
from graders.store.pages import Cursor, Page, page_of
from graders.store.tables.job_records import (
    CheckpointRecord,
    EventRecord,
    JobRecord,
    NewEvent,
    PermissionRecord,
    TunedModel,
)

_JOB = ", ".join(field.name for field in fields(JobRecord))
_EVENT = "id, created_at, level, message, type, data"
_CHECKPOINTS = (
    "SELECT checkpoints.id, jobs.id AS job_id, checkpoints.created_at, step, name, metrics"
    " FROM checkpoints JOIN jobs ON jobs.seq = checkpoints.job"
)
_METADATA = "EXISTS (SELECT 1 FROM json_each(jobs.metadata) WHERE key = ? AND value = ?)"


class JobTable:
    """Operations on jobs, their events, checkpoints, models and permissions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: JobRecord, events: Sequence[NewEvent] = ()) -> None:
        with self._database.write() as db:
            places = ", ".join("?" * len(fields(JobRecord)))
            number = db.execute(f"INSERT INTO jobs ({_JOB}) VALUES ({places})", astuple(record)).lastrowid
            assert number is not None
            _add_events(db, number, events)

    def get(self, job_id: str) -> JobRecord | None:
        row = self._database.read().execute(f"SELECT {_JOB} FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else JobRecord(*row)

    def page(
        self, cursor: Cursor, metadata: Mapping[str, str] | None = None, *, without_metadata: bool = False
    ) -> Page[JobRecord]:
        """A page of jobs in the order of their creation.

        Args:
            metadata: Pairs that their metadata must have.
            without_metadata: Whether only jobs without metadata are listed.
        """
        db = self._database.read()
        conditions, values = ["true"], []
        for key, value in (metadata or {}).items():
            conditions.append(_METADATA)
            values += [key, value]
        if without_metadata:
            conditions.append("(metadata IS NULL OR metadata = '{}')")
        start = db.execute("SELECT seq FROM jobs WHERE id = ?", (cursor.after,)).fetchone()
        found = page_of(db, f"SELECT {_JOB} FROM jobs", " AND ".join(conditions), values, cursor, start=start)
        return Page([JobRecord(*row) for row in found.rows], found.has_more)

    def with_status(self, status: str) -> list[str]:
        """Ids of the jobs with a status, the oldest first."""
        rows = self._database.read().execute("SELECT id FROM jobs WHERE status = ? ORDER BY seq", (status,))
        return [row[0] for row in rows]

    def ended_before(self, moment: float) -> list[JobRecord]:
        """Jobs that ended before a time, the oldest first."""
        rows = self._database.read().execute(
            f"SELECT {_JOB} FROM jobs WHERE finished_at < ? ORDER BY seq", (moment,)
        )
        return [JobRecord(*row) for row in rows]

    def change(
        self,
        job_id: str,
        status: Callable[[str], str] | None = None,
        events: Sequence[NewEvent] = (),
        **columns: Any,
    ) -> JobRecord | None:
        """Change a job and add events in one transaction; returns the changed job, or None when it does not exist.

        Args:
            status: Returns the new status for the present one; an exception undoes the whole change.
            columns: New values of columns of JobRecord.
        """
        with self._database.write() as db:
            row = db.execute("SELECT seq, status FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None:
                return None
            if status is not None:
                columns["status"] = status(row["status"])
            if columns:
                changed = ", ".join(f"{name} = ?" for name in columns)
                db.execute(f"UPDATE jobs SET {changed} WHERE seq = ?", (*columns.values(), row["seq"]))
            _add_events(db, row["seq"], events)
            after = db.execute(f"SELECT {_JOB} FROM jobs WHERE seq = ?", (row["seq"],)).fetchone()
        return JobRecord(*after)

    # --- events ---

    def events(self, job_id: str, cursor: Cursor) -> Page[EventRecord]:
        """A page of a job's events in the order of their creation."""
        db = self._database.read()
        start = db.execute("SELECT seq FROM job_events WHERE id = ?", (cursor.after,)).fetchone()
        where = "job = (SELECT seq FROM jobs WHERE id = ?)"
        found = page_of(db, f"SELECT {_EVENT} FROM job_events", where, (job_id,), cursor, start=start)
        return Page([EventRecord(*row) for row in found.rows], found.has_more)

    def step_metrics(self, job_id: str) -> list[str]:
        """The data of a job's metrics events as JSON texts, in the order of steps."""
        rows = self._database.read().execute(
            "SELECT data FROM job_events WHERE job = (SELECT seq FROM jobs WHERE id = ?) AND step IS NOT NULL"
            " ORDER BY step",
            (job_id,),
        )
        return [row[0] for row in rows]

    # --- checkpoints ---

    def add_checkpoint(self, job_id: str, step: int, name: str, metrics: str) -> CheckpointRecord:
        """Store a checkpoint with its event. An existing checkpoint of the same step stays unchanged."""
        with self._database.write() as db:
            number = db.execute("SELECT seq FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]
            added = db.execute(
                "INSERT INTO checkpoints (id, job, created_at, step, name, metrics) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (base62_id("ftckpt", 24).replace("-", "_", 1), number, int(time.time()), step, name, metrics),
            )
            if added.rowcount:
                text = f"Checkpoint created at step {step} with Snapshot ID: {name}"
                _add_events(db, number, [NewEvent(text)])
            row = db.execute(f"{_CHECKPOINTS} WHERE job = ? AND step = ?", (number, step)).fetchone()
        return CheckpointRecord(*row)

    def checkpoints(self, job_id: str, cursor: Cursor) -> Page[CheckpointRecord]:
        """A page of a job's checkpoints by step."""
        db = self._database.read()
        start = db.execute("SELECT step FROM checkpoints WHERE id = ?", (cursor.after,)).fetchone()
        found = page_of(db, _CHECKPOINTS, "jobs.id = ?", (job_id,), cursor, start=start, order=("step",))
        return Page([CheckpointRecord(*row) for row in found.rows], found.has_more)

    def remove_checkpoint(self, checkpoint_id: str) -> None:
        with self._database.write() as db:
            db.execute("DELETE FROM checkpoints WHERE id = ?", (checkpoint_id,))

    # --- models ---

    def models(self) -> list[tuple[str, int]]:
        """Name and time of each tuned model and checkpoint, the oldest first."""
        rows = self._database.read().execute(
            "SELECT fine_tuned_model AS name, finished_at AS time FROM jobs"
            " WHERE fine_tuned_model IS NOT NULL AND model_deleted_at IS NULL"
            " UNION ALL SELECT name, created_at FROM checkpoints ORDER BY 2, 1"
        )
        return [(row[0], row[1]) for row in rows]

    def model(self, name: str) -> TunedModel | None:
        """The model or checkpoint of a name; None when it does not exist or was deleted."""
        row = (
            self._database.read()
            .execute(
                "SELECT id, model, NULL FROM jobs WHERE fine_tuned_model = ? AND model_deleted_at IS NULL"
                " UNION ALL SELECT jobs.id, model, step FROM checkpoints JOIN jobs ON jobs.seq = checkpoints.job"
                " WHERE name = ?",
                (name, name),
            )
            .fetchone()
        )
        return None if row is None else TunedModel(*row)

    def delete_model(self, name: str) -> bool:
        """Delete a tuned model or checkpoint; returns whether it existed. Its job still names the model."""
        with self._database.write() as db:
            jobs = db.execute(
                "UPDATE jobs SET model_deleted_at = ? WHERE fine_tuned_model = ? AND model_deleted_at IS NULL",
                (int(time.time()), name),
            )
            checkpoints = db.execute("DELETE FROM checkpoints WHERE name = ?", (name,))
            return jobs.rowcount + checkpoints.rowcount > 0

    # --- permissions ---

    def permit(self, checkpoint: str, projects: Sequence[str]) -> list[PermissionRecord]:
        """Let projects use a checkpoint; returns their permissions, existing ones included."""
        with self._database.write() as db:
            for project in projects:
                db.execute(
                    "INSERT INTO permissions (id, checkpoint, created_at, project_id) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT DO NOTHING",
                    (base62_id("cp", 24).replace("-", "_", 1), checkpoint, int(time.time()), project),
                )
            places = ", ".join("?" * len(projects))
            rows = db.execute(
                "SELECT id, created_at, project_id FROM permissions"
                f" WHERE checkpoint = ? AND project_id IN ({places}) ORDER BY seq",
                (checkpoint, *projects),
            ).fetchall()
        return [PermissionRecord(*row) for row in rows]

    def permissions(
        self, checkpoint: str, cursor: Cursor, project: str | None = None
    ) -> Page[PermissionRecord]:
        """A page of a checkpoint's permissions in the order of their creation."""
        db = self._database.read()
        where, values = "checkpoint = ?", [checkpoint]
        if project is not None:
            where, values = f"{where} AND project_id = ?", [*values, project]
        start = db.execute("SELECT seq FROM permissions WHERE id = ?", (cursor.after,)).fetchone()
        select = "SELECT id, created_at, project_id FROM permissions"
        found = page_of(db, select, where, values, cursor, start=start)
        return Page([PermissionRecord(*row) for row in found.rows], found.has_more)

    def forbid(self, checkpoint: str, permission_id: str) -> bool:
        """Delete a permission; returns whether it existed."""
        with self._database.write() as db:
            done = db.execute(
                "DELETE FROM permissions WHERE checkpoint = ? AND id = ?", (checkpoint, permission_id)
            )
            return done.rowcount > 0


def _add_events(db: sqlite3.Connection, job: int, events: Sequence[NewEvent]) -> None:
    db.executemany(
        "INSERT INTO job_events (id, job, created_at, level, message, type, data, step)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (base62_id("ftevent", 24), job, int(time.time()), event.level, event.message, event.type,
             dumps(event.data or {}).decode(), event.step)
            for event in events
        ],
    )  # fmt: skip
