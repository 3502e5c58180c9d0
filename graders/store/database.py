"""The SQLite file: one writing connection behind a lock, and a reading one for each thread."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graders.store.migrations import MIGRATIONS

#: Seconds to wait for another process's transaction.
BUSY_S = 30.0


class StoreError(Exception):
    """Raised when the store cannot be used; the message says what to do."""


class Database:
    """Connections to the store's file. Thread-safe.

    Write-ahead logging with synchronous=NORMAL: commits survive the death of the process at any moment. A power failure
    may lose the last commits, but never a part of one.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            StoreError: it is not a database, not writable, or written by a newer version.
        """
        self.path = path
        self._writing = threading.Lock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        try:
            # SQLite creates its other files with the mode of this one
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._migrate()
        except (OSError, sqlite3.DatabaseError) as error:
            raise StoreError(f"the store {str(path)!r} cannot be opened: {error}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _migrate(self) -> None:
        with self.write() as writer:
            version: int = writer.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"the store {str(self.path)!r} was written by a newer version of local-graders (its format is "
                    f"{version}, this version knows {len(MIGRATIONS)}); upgrade, or set GRADERS_HOME to another folder"
                )
            for migration in MIGRATIONS[version:]:
                migration(writer)
            writer.execute(f"PRAGMA user_version={len(MIGRATIONS)}")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises."""
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def read(self) -> sqlite3.Connection:
        """This thread's connection for reading."""
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = self._connect()
            reader.execute("PRAGMA query_only=ON")
            with self._writing:
                self._readers.append(reader)
        return reader

    def close(self) -> None:
        with self._writing:
            for connection in (*self._readers, self._writer):
                connection.close()
