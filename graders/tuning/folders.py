"""Jobs' folders: their sizes, and the removal of files of jobs that ended long ago."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from graders.store import Cursor, JobRecord, Store

GB = 1024**3
DAY_S = 24 * 3600

log = logging.getLogger("graders.tuning")


def jobs_folder(store: Store) -> Path:
    """The folder with a subfolder for each job's id."""
    return store.home / "jobs"


def adapter_name(step: int | None) -> str:
    """The name of an adapter's folder in its job's folder: a checkpoint's, or without a step the tuned model's."""
    return "model" if step is None else f"ckpt-step-{step}"


def sizes(store: Store) -> dict[str, int]:
    """Bytes of each job's folder. Files that are removed meanwhile do not count."""
    with suppress(FileNotFoundError):
        return {entry.name: sum(_bytes_in(entry.path)) for entry in os.scandir(jobs_folder(store))}
    return {}


def _bytes_in(folder: str) -> Iterator[int]:
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield os.lstat(os.path.join(path, name)).st_size


def sweep(store: Store, retention_days: float) -> None:
    """Remove files of jobs that ended before the retention period, except the adapters of existing models.

    Args:
        retention_days: Days after the end of a job; 0 removes nothing.
    """
    if not retention_days:
        return
    for job in store.jobs.ended_before(time.time() - retention_days * DAY_S):
        folder = jobs_folder(store) / job.id
        kept = _adapters(store, job)
        try:
            for path in folder.iterdir():
                if path.name not in kept:
                    _remove(path)
            if not kept:
                folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("the folder of %s cannot be removed: %s", job.id, error)


def _adapters(store: Store, job: JobRecord) -> set[str]:
    """The names of the folders with adapters that /v1/models lists."""
    kept = {adapter_name(one.step) for one in store.jobs.checkpoints(job.id, Cursor(limit=100)).rows}
    if job.fine_tuned_model is not None and store.jobs.model(job.fine_tuned_model) is not None:
        kept.add(adapter_name(None))
    return kept


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
