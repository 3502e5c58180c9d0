"""The claim on a store: only its holder executes queued work."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path


class StoreBusy(Exception):
    """Raised when another process holds the claim."""


class Claim:
    """The claim, held until `release` or until the process ends in any way.

    It is an exclusive transaction on a separate database: SQLite's locks work on every platform, are not inherited by
    children, and end with their process.
    """

    def __init__(self, home: Path) -> None:
        """
        Raises:
            StoreBusy: another process holds it.
        """
        self._holder = home / "claim.pid"
        self._lock = sqlite3.connect(
            home / "claim.db", timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            self._lock.close()
            raise StoreBusy(
                f"another process{self._owner()} executes the runs of the store in {str(home)!r}; stop it, or give "
                "this one a store of its own with GRADERS_HOME"
            ) from None
        self._holder.write_text(f"{os.getpid()}\n")

    def _owner(self) -> str:
        with suppress(OSError):
            return f" (pid {self._holder.read_text().strip()})"
        return ""

    def release(self) -> None:
        with suppress(OSError):
            self._holder.unlink()
        self._lock.close()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
