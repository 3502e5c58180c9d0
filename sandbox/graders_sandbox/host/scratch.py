"""Samples' folders on the host's disk, for tiers without their own file tree; leftover folders are swept."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress

from graders_sandbox.folders import remove

_PREFIX = "graders-sandbox-"
#: Age in seconds from which a folder without a lock is left over, and not just being made.
_UNLOCKED_S = 3600.0


class Scratch:
    """A private folder with one folder for each slot, locked while its owner lives.

    Attributes:
        slots: The folders' paths.
    """

    def __init__(self, slots: int) -> None:
        import fcntl

        while True:
            self.path = os.path.realpath(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-"))
            # accessible, since samples may run as another user, but not listable
            os.chmod(self.path, 0o711)
            self.lock = os.open(os.path.join(self.path, "lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            with suppress(OSError):
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(self.path):
                    break
            # it was swept before it was locked
            os.close(self.lock)
        self.slots = [os.path.join(self.path, str(number)) for number in range(slots)]
        for slot in self.slots:
            os.mkdir(slot, 0o700)

    def remove(self) -> None:
        remove(self.path)
        os.close(self.lock)


def sweep() -> None:
    """Remove folders of this user whose owners have ended."""
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
