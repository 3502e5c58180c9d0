"""The watcher: bounds samples' disk use where they have no file systems of their own.

A process beside the server, outside of its Landlock domain; the server checks that it lives. Only there can it see
files that a sample has deleted and still holds open, which use the disk and are in no folder.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from graders_sandbox.linux import sys as kernel

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: Slot, pid (0: it has ended).
NOTE = struct.Struct("<II")
#: Between looks.
WATCH_S = 0.05
#: Between its signs of life, while slots are in use.
ALIVE_S = 1.0
#: Without one, after which it counts as stopped, and its server with it.
SILENT_S = 10.0
#: No note of a sample.
_ALIVE = (0, 0)
_NEVER = float("inf")
#: At a tree that changes under the eye; one that never holds still hides what it has.
LOOKS = 100
#: Folders in folders; each takes two descriptors and a frame.
_DEEP = 200


class Watcher:
    """The server's end: starts the process, tells it which slots are in use, and reads its reports.

    Attributes:
        found: Readable when there is a report; `over_limit` reads it.
        deadline: The time at which a silent watcher counts as stopped; infinite while no slot is in use.
    """

    def __init__(self, slots: Sequence[str], disk_bytes: int, inodes: int) -> None:
        notes, self._notes = os.pipe2(os.O_CLOEXEC)
        self.found, found = os.pipe2(os.O_CLOEXEC)
        self.deadline = _NEVER
        self._in_use: set[int] = set()
        parent = os.getpid()
        if not os.fork():
            try:
                low, high = sorted((notes, found))
                os.closerange(0, low)
                os.closerange(low + 1, high)
                os.closerange(high + 1, 65536)
                watch(notes, found, slots, disk_bytes, inodes, parent)
            finally:
                os._exit(1)
        os.close(notes)
        os.close(found)
        os.set_blocking(self.found, False)

    def note(self, slot: int, pid: int) -> None:
        """Record the owner of a slot; pid 0: none."""
        os.write(self._notes, NOTE.pack(slot, pid))
        if pid:
            self._in_use.add(slot)
        else:
            self._in_use.discard(slot)
        if not self._in_use:
            self.deadline = _NEVER
        elif self.deadline == _NEVER:
            self.deadline = time.monotonic() + SILENT_S

    def over_limit(self) -> list[tuple[int, int]] | None:
        """(slot, pid) of samples beyond the limit; None when the watcher has ended."""
        try:
            data = os.read(self.found, 4096 // NOTE.size * NOTE.size)
        except BlockingIOError:
            return []
        if self._in_use:
            self.deadline = time.monotonic() + SILENT_S
        return [note for note in NOTE.iter_unpack(data) if note != _ALIVE] if data else None


def watch(
    notes: int, found: int, slots: Sequence[str], disk_bytes: int, inodes: int, parent: int
) -> NoReturn:
    """The watcher's loop: reads from `notes` which slots are in use, and writes samples beyond the limit to `found`."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    # here, since what samples are forked from does without
    import select

    running: dict[int, int] = {}
    poll = select.poll()
    poll.register(notes, select.POLLIN)
    reported = 0.0
    while True:
        if not running or poll.poll(0):
            data = os.read(notes, 65536 // NOTE.size * NOTE.size)
            if not data:
                os._exit(0)
            for slot, pid in NOTE.iter_unpack(data):
                if pid:
                    running[slot] = pid
                else:
                    running.pop(slot, None)
        time.sleep(WATCH_S)
        for slot, pid in running.items():
            if _too_much(slots[slot], pid, disk_bytes, inodes):
                os.write(found, NOTE.pack(slot, pid))
        if time.monotonic() > reported + ALIVE_S:
            reported = time.monotonic()
            os.write(found, NOTE.pack(*_ALIVE))


class _Hidden(Exception):
    """Raised for contents that cannot be counted, which no honest program has."""


def _too_much(folder: str, pid: int, disk_bytes: int, inodes: int) -> bool:
    try:
        size = 0
        for count, length in enumerate(chain(_deleted(pid, folder), _named(folder, inodes)), 1):
            size += length
            if size > disk_bytes or count > inodes:
                return True
    except _Hidden:
        return True
    return False


def _named(folder: str, inodes: int) -> list[int]:
    """Bytes on disk of everything in a folder, for at most `inodes` + 1 entries."""
    for _ in range(LOOKS):
        sizes: list[int] = []
        try:
            top = os.open(folder, _FOLDER)
        except OSError:
            # it has gone with its owner
            return []
        try:
            _collect(top, sizes, inodes, 0)
        except FileNotFoundError:
            # what was moved meanwhile may have been missed
            continue
        finally:
            os.close(top)
        return sizes
    raise _Hidden


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _collect(folder: int, sizes: list[int], inodes: int, depth: int) -> None:
    """Collect sizes by descriptors, since paths can be longer than the system allows. Links are not followed.

    Raises:
        FileNotFoundError: an entry vanished meanwhile.
        _Hidden: a folder lies deeper than can be followed, or may not be listed.
    """
    with os.scandir(folder) as found:
        for entry in found:
            sizes.append(entry.stat(follow_symlinks=False).st_blocks * 512)
            if len(sizes) > inodes:
                return
            if not entry.is_dir(follow_symlinks=False):
                continue
            try:
                inner = os.open(entry.name, _FOLDER, dir_fd=folder)
            except NotADirectoryError:
                # another has taken its name
                raise FileNotFoundError from None
            except PermissionError:
                raise _Hidden from None
            try:
                if depth == _DEEP:
                    raise _Hidden
                _collect(inner, sizes, inodes, depth + 1)
            finally:
                os.close(inner)


def _deleted(pid: int, folder: str) -> list[int]:
    """Bytes of deleted files of this folder that a process holds open.

    Raises:
        _Hidden: it has mapped and closed one, whose size cannot be found out.
    """
    start = folder + "/"
    sizes: dict[int, int] = {}
    # it has ended
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{descriptor}"
            with suppress(FileNotFoundError):
                if os.readlink(path).startswith(start):
                    about = os.stat(path)
                    if not about.st_nlink:
                        sizes[about.st_ino] = about.st_blocks * 512
        with open(f"/proc/{pid}/maps", errors="replace") as maps:
            for line in maps:
                if start in line and line.endswith(" (deleted)\n") and int(line.split()[4]) not in sizes:
                    raise _Hidden
    return list(sizes.values())
