"""Samples' folders on the host's disk, for tiers without a file tree of their own; swept when their owner is gone."""

from __future__ import annotations

import os
import time
from contextlib import suppress

_PREFIX = "graders-sandbox-"
_UNLOCKED_S = 3600.0  # a folder without its lock is being made, or its maker was killed long ago


class Scratch:
    """A private folder with one folder a slot. A lock on it says that its owner lives.

    Attributes:
        slots: The folders' paths.
    """

    def __init__(self, slots: int) -> None:
        import fcntl
        import tempfile  # in the host: servers, which use `empty` alone, are lighter without

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
    import tempfile

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


def remove(folder: str) -> None:
    """A folder that samples wrote in, and all below it."""
    empty(folder)
    with suppress(OSError):
        os.rmdir(folder)


def empty(folder: str) -> bool:
    """Delete everything in a folder; whether it is empty then.

    Samples may nest folders deeper than a path can be long or a stack deep, and close them to everybody. So nothing is
    descended into: a folder inside a folder is moved up and its turn comes later. Links are not followed.
    """
    moved = 0
    while True:
        try:
            with os.scandir(folder) as found:
                entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        except OSError:
            return False
        if not entries:
            return True
        progress = False
        for name, is_folder in entries:
            path = os.path.join(folder, name)
            with suppress(OSError):
                if not is_folder:
                    os.unlink(path)
                    progress = True
                    continue
                os.chmod(path, 0o700)
                with os.scandir(path) as found:
                    below = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
                for inner, inner_is_folder in below:
                    inner_path = os.path.join(path, inner)
                    if inner_is_folder:
                        os.chmod(inner_path, 0o700)
                        while os.path.lexists(target := os.path.join(folder, f"moved-{moved}")):
                            moved += 1
                        try:
                            os.rename(inner_path, target)
                        except OSError:  # Landlock's first version moves nothing between folders
                            remove(inner_path)
                    else:
                        os.unlink(inner_path)
                    progress = True
                os.rmdir(path)
                progress = True
        if not progress:
            return False
