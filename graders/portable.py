"""Functions that differ between systems: locks on files, durable names, the processors of a process."""

from __future__ import annotations

import errno
import os
import sys

#: Whether a file can be renamed over one that is open. On Windows both have to be closed first.
REPLACES_OPEN_FILES = sys.platform != "win32"


def lock(fd: int) -> None:
    """Lock an open file for this process alone, until it is closed.

    Raises:
        BlockingIOError: another process has locked it.
    """
    try:
        import fcntl
    except ImportError:
        # Windows
        _lock_by_region(fd)
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


#: Offset of the byte that is locked on Windows. It lies far behind any content, since others cannot read a locked
#: byte, and so do its lower 32 bits, in case a C runtime uses these alone.
_LOCKED_BYTE = 2**40 + 2**31 - 2


def _lock_by_region(fd: int) -> None:
    import msvcrt

    at = os.lseek(fd, 0, os.SEEK_CUR)
    os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # of Windows
    except OSError as error:
        raise BlockingIOError(errno.EAGAIN, "locked by another process") from error
    finally:
        os.lseek(fd, at, os.SEEK_SET)


def open_flags() -> int:
    """Flags for `os.open` that keep bytes unchanged, without translated line ends."""
    return getattr(os, "O_BINARY", 0)


def sync_folder(path: str) -> None:
    """Sync the folder of a file to disk; a new or changed name survives a power cut only after that."""
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    except PermissionError:
        # a folder that may be written and not read; on Windows, any folder
        return
    try:
        os.fsync(fd)
    except OSError as error:
        # some file systems cannot sync folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def available_cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
