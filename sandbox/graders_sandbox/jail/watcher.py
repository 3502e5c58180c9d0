"""Who looks at what samples have on disk, where no file system of their own bounds it.

A process of its own beside the server, outside of its Landlock domain, and watched by the server in turn. Only there can it see files that a sample has
deleted and still holds open, which no folder lists and the disk still carries.
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

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import NoReturn

NOTE = struct.Struct("<II")  # slot, pid (0: it has ended)
WATCH_S = 0.05  # between looks
ALIVE_S = 1.0  # between its signs of life, while slots are in use
SILENT_S = 10.0  # without one, after which it counts as stopped, and its server with it
_ALIVE = (0, 0)  # no note of a sample
_NEVER = float("inf")
LOOKS = 100  # at a tree that changes under the eye; one that never holds still hides what it has
_DEEP = 200  # folders in folders; each takes two descriptors and a frame


class Watcher:
    """The server's end: starts the process, tells it which slots are in use, and hears from it.

    Attributes:
        found: Readable when the process has something to say; `over_limit` reads it.
        deadline: When it counts as stopped; infinite while no slot is in use.
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
        """Whose slot it is from now on; pid 0: nobody's."""
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
        """Slots and pids of samples that have too much; None when the process is gone."""
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
    """Read which slots are in use from `notes`; write the note of a sample that has too much to `found`."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    import select  # here, since what samples are forked from does without

    running: dict[int, int] = {}
    poll = select.poll()
    poll.register(notes, select.POLLIN)
    told = 0.0
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
        if time.monotonic() > told + ALIVE_S:
            told = time.monotonic()
            os.write(found, NOTE.pack(*_ALIVE))


class _Hidden(Exception):
    """Something in the folder cannot be counted, as no honest program would have it."""


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
    """The bytes on disk of everything below, of one thing more than `inodes` at most."""
    for _ in range(LOOKS):
        sizes: list[int] = []
        try:
            top = os.open(folder, _FOLDER)
        except OSError:  # it has gone with its owner
            return []
        try:
            _collect(top, sizes, inodes, 0)
        except FileNotFoundError:
            continue  # what was moved meanwhile may have been missed
        finally:
            os.close(top)
        return sizes
    raise _Hidden


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _collect(folder: int, sizes: list[int], inodes: int, depth: int) -> None:
    """By descriptors and not by paths: those can be longer than the system bears. Links are not followed.

    Raises:
        FileNotFoundError: something vanished under the eye.
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
                raise FileNotFoundError from None  # another has taken its name
            except PermissionError:
                raise _Hidden from None
            try:
                if depth == _DEEP:
                    raise _Hidden
                _collect(inner, sizes, inodes, depth + 1)
            finally:
                os.close(inner)


def _deleted(pid: int, folder: str) -> list[int]:
    """The bytes of files from this folder that a process holds open and nothing names.

    Raises:
        _Hidden: it has mapped one and closed it, which leaves no way to its size.
    """
    start = folder + "/"
    sizes: dict[int, int] = {}
    with suppress(OSError):  # it has ended
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
