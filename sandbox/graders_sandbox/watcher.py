"""Who looks at what samples have on disk, where no file system of their own bounds it.

A process of its own beside the server, outside of its Landlock domain: only there can it see files that a sample has
deleted and still holds open, which no folder lists and the disk still carries.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import NoReturn

from .linux import sys as kernel

NOTE = struct.Struct("<II")  # slot, pid (0: it has ended)
WATCH_S = 0.05  # between looks


def watch(
    notes: int, found: int, slots: Sequence[str], disk_bytes: int, inodes: int, parent: int
) -> NoReturn:
    """Read which slots are in use from `notes`; write the note of a sample that has too much to `found`."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    running: dict[int, int] = {}
    poll = select.poll()
    poll.register(notes, select.POLLIN)
    device = os.stat(slots[0]).st_dev
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
            if _too_much(slots[slot], pid, device, disk_bytes, inodes):
                os.write(found, NOTE.pack(slot, pid))


def _too_much(folder: str, pid: int, device: int, disk_bytes: int, inodes: int) -> bool:
    size = 0
    for count, length in enumerate(chain(_deleted(pid, device), _below(folder)), 1):
        size += length
        if size > disk_bytes or count > inodes:
            return True
    return False


def _below(folder: str) -> Iterator[int]:
    """The bytes on disk of everything below, links not followed. Things may vanish meanwhile."""
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as found:
            for entry in found:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)


def _deleted(pid: int, device: int) -> list[int]:
    """The bytes of files on the slots' device that a process holds open and nothing names."""
    sizes: dict[int, int] = {}
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                about = os.stat(f"/proc/{pid}/fd/{descriptor}")
                if about.st_dev == device and stat.S_ISREG(about.st_mode) and not about.st_nlink:
                    sizes[about.st_ino] = about.st_blocks * 512
    return list(sizes.values())
