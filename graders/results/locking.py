"""Files that one process at a time writes."""

from __future__ import annotations

import os

from graders.portable import lock, open_flags
from graders.results.read import ResultsError


def open_locked(path: str) -> int:
    """The descriptor of a file, made where there is none, that this process alone writes.

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
        os.close(fd)  # replaced by another run between opening and locking


def lock_or_refuse(fd: int, path: str) -> int:
    """An open file, locked; closed where another process holds the lock, which raises ResultsError."""
    try:
        lock(fd)
    except BlockingIOError:
        os.close(fd)
        raise ResultsError(f"another process is writing {path}; wait for it, or choose another -o") from None
    return fd
