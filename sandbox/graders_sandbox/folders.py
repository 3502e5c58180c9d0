"""Samples' folders on the host's disk, for tiers without a file tree of their own; swept when their owner is gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress

_PREFIX = "graders-sandbox-"


class Scratch:
    """A private folder with one folder a slot. A lock on it says that its owner lives.

    Attributes:
        slots: The folders' paths.
    """

    def __init__(self, slots: int) -> None:
        sweep()
        self.path = os.path.realpath(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-"))
        self._lock = os.open(os.path.join(self.path, "lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.slots = [os.path.join(self.path, str(number)) for number in range(slots)]
        for slot in self.slots:
            os.mkdir(slot, 0o700)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Remove folders of this user whose owners ended without doing so."""
    parent = tempfile.gettempdir()
    with suppress(OSError):
        for name in os.listdir(parent):
            path = os.path.join(parent, name)
            if not name.startswith(f"{_PREFIX}{os.getuid()}-"):
                continue
            with suppress(OSError):
                if os.lstat(path).st_uid != os.getuid():
                    continue
                lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(lock)
