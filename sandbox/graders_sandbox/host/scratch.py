"""Samples' folders on the host's disk, for tiers without a file tree of their own; swept when their owner is gone."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress

from graders_sandbox.folders import remove

_PREFIX = "graders-sandbox-"
_UNLOCKED_S = 3600.0  # a folder without its lock is being made, or its maker was killed long ago


class Scratch:
    """A private folder with one folder a slot. A lock on it says that its owner lives.

    Attributes:
        slots: The folders' paths.
    """

    def __init__(self, slots: int) -> None:
        import fcntl  # not on every system that may import this module

        while True:
            self.path = os.path.realpath(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-"))
            os.chmod(self.path, 0o711)  # samples may run as another user; nothing in here is listed
            self.lock = os.open(os.path.join(self.path, "lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            with suppress(OSError):
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(self.path):
                    break
            os.close(self.lock)  # somebody swept it before it was locked
        self.slots = [os.path.join(self.path, str(number)) for number in range(slots)]
        for slot in self.slots:
            os.mkdir(slot, 0o700)

    def remove(self) -> None:
        remove(self.path)
        os.close(self.lock)


def sweep() -> None:
    """Remove folders of this user whose owners ended without doing so."""
    import fcntl

    parent = tempfile.gettempdir()
    with suppress(OSError):
        for name in os.listdir(parent):
            path = os.path.join(parent, name)
            if not name.startswith(f"{_PREFIX}{os.getuid()}-"):
                continue
            with suppress(OSError):
                about = os.lstat(path)
                if about.st_uid != os.getuid():
                    continue
                try:
                    lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                except FileNotFoundError:
                    if time.time() - about.st_mtime > _UNLOCKED_S:
                        remove(path)
                    continue
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(path)
                finally:
                    os.close(lock)
