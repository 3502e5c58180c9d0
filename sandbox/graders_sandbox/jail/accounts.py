"""Files of /proc about the server, opened before the jail hides them. Each can be read once."""

from __future__ import annotations

import os
import resource

_CHUNK = 1 << 16


class Accounts:
    """What the kernel says of this process."""

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._threads = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._maps = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)

    def size(self) -> int:
        """The address space, in bytes."""
        pages = int(os.read(self._statm, 200).split()[0])
        os.close(self._statm)
        return pages * resource.getpagesize()

    def has_threads(self) -> bool:
        """Whether there is a second thread."""
        several = len(os.listdir(self._threads)) > 1
        os.close(self._threads)
        return several

    def own_memory(self) -> list[tuple[int, int]]:
        """Start and end of each stretch of writable memory without a file: the heap, and what was mapped."""
        stretches = []
        text = b"".join(iter(lambda: os.read(self._maps, _CHUNK), b""))
        os.close(self._maps)
        for line in text.splitlines():
            addresses, access, _, _, inode, *name = line.split()
            if access == b"rw-p" and inode == b"0" and name in ([], [b"[heap]"]):
                start, _, end = addresses.partition(b"-")
                stretches.append((int(start, 16), int(end, 16)))
        return stretches
