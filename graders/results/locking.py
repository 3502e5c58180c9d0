"""Locks on files that only one process at a time may write."""

from __future__ import annotations

import os

from graders.portable import lock, open_flags
from graders.results.read import ResultsError


def open_locked(path: str) -> int:
    """The descriptor of a file that this process holds the lock of; a missing file is created.

    Raises:
        ResultsError: another process is writing it.
        OSError: it cannot be opened.
    """
    while True:
        fd = lock_or_refuse(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | open_flags(), 0o666), path)
        try:
            same = os.path.samestat(os.fstat(fd), os.stat(path))
        except FileNotFoundError:
            same = False
        if same or not os.path.isfile(path):
            return fd
        # another run replaced the file between opening and locking
        os.close(fd)


def lock_or_refuse(fd: int, path: str) -> int:
    """Lock an open file; if another process holds the lock, close it and raise ResultsError."""
    try:
        lock(fd)
    except BlockingIOError:
        os.close(fd)
        raise ResultsError(f"another process is writing {path}; wait for it, or choose another -o") from None
    return fd
