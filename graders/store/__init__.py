"""The store: files, evals, runs, output items, logged completions and fine-tuning jobs, in a SQLite database and a
folder.

    with Store() as store:                # GRADERS_HOME, else the platform's data folder
        store.files.add(upload, ...)
        with store.claim():               # the right to execute queued work, for one process at a time
            ...

Any number of processes read and write concurrently; queued work is executed by the process that holds the claim.
"""

from __future__ import annotations

from pathlib import Path

from graders.store.claim import Claim, StoreBusy
from graders.store.database import Database, StoreError
from graders.store.home import default_home, private_folder
from graders.store.pages import Cursor, Page
from graders.store.tables.completions import CompletionTable, LoggedCompletion
from graders.store.tables.evals import EvalRecord, EvalTable
from graders.store.tables.files import FileRecord, FileTable, QuotaExceeded
from graders.store.tables.filters import ItemFilter
from graders.store.tables.finished import FinishedItem, ItemScore
from graders.store.tables.items import ItemRecord, ItemTable, NewItem
from graders.store.tables.job_records import (
    CheckpointRecord,
    EventRecord,
    JobRecord,
    NewEvent,
    PermissionRecord,
)
from graders.store.tables.jobs import JobTable
from graders.store.tables.runs import CriterionCounts, ModelUsage, RunRecord, RunTable
from graders.store.tables.search import FoundItem, ItemSearch

__all__ = [
    "CheckpointRecord",
    "Claim",
    "CompletionTable",
    "CriterionCounts",
    "Cursor",
    "Database",
    "EvalRecord",
    "EvalTable",
    "EventRecord",
    "FileRecord",
    "FileTable",
    "FinishedItem",
    "FoundItem",
    "ItemFilter",
    "ItemRecord",
    "ItemScore",
    "ItemSearch",
    "ItemTable",
    "JobRecord",
    "JobTable",
    "LoggedCompletion",
    "ModelUsage",
    "NewEvent",
    "NewItem",
    "Page",
    "PermissionRecord",
    "QuotaExceeded",
    "RunRecord",
    "RunTable",
    "Store",
    "StoreBusy",
    "StoreError",
]


class Store:
    """A store in one folder. Thread-safe.

    Attributes:
        home: The folder, readable by its user only.
        files, evals, runs, items, search, completions, jobs: The operations on each kind of record.
    """

    def __init__(self, home: Path | None = None) -> None:
        """
        Args:
            home: The folder, created if missing. None: GRADERS_HOME, else the platform's data folder.

        Raises:
            StoreError: the folder is not writable, not a database, or written by a newer version.
        """
        self.home = private_folder(home or default_home())
        self.database = Database(self.home / "graders.db")
        self.files = FileTable(self.database, self.home)
        self.evals = EvalTable(self.database)
        self.runs = RunTable(self.database)
        self.items = ItemTable(self.database)
        self.search = ItemSearch(self.database)
        self.completions = CompletionTable(self.database)
        self.jobs = JobTable(self.database)

    def claim(self) -> Claim:
        """The right to execute queued work.

        Raises:
            StoreBusy: another process holds it.
        """
        return Claim(self.home)

    def sweep(self) -> None:
        """Delete expired contents of files and logged completions, which are already hidden."""
        self.files.sweep()
        self.completions.sweep()

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
