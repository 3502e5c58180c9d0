"""Slots: they bound the number of concurrent samples, and each has a folder that is emptied for the next one."""

from __future__ import annotations

import os
from contextlib import suppress
from types import SimpleNamespace

from graders_sandbox import folders

from .confinement import end_with_parent

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Asker


class Janitor(SimpleNamespace):
    """A process that empties a folder, and the asker whose child left it."""

    slot: int
    asker: Asker | None


class Slots:
    """The slots, by number.

    Args:
        paths: Each slot's folder; [] without folders.
        count: Number of slots.
        own_file_systems: Whether each folder is a separate file system, which counts its contents.

    Attributes:
        free: Unused slots.
        janitors: Processes that empty a folder, by pid.
    """

    def __init__(self, paths: list[str], count: int, *, own_file_systems: bool) -> None:
        self.free: list[int] = []
        self.janitors: dict[int, Janitor] = {}
        self._paths = paths
        self._own_file_systems = own_file_systems
        for slot in range(count):
            self._free(slot)

    def clear(self, slot: int, asker: Asker | None) -> bool:
        """Empty a slot after its owner has ended; returns whether it is free at once. A janitor deletes many files."""
        if slot < 0:
            return False
        if not self._paths:
            self.free.append(slot)
            return True
        path = self._paths[slot]
        with suppress(OSError):
            # its last owner may have closed it, and the next would not get in
            os.chmod(path, 0o700)
            if self._is_empty(path):
                self._free(slot)
                return True
        try:
            server = os.getpid()
            pid = os.fork()
        except OSError:
            self._paths[slot] = ""
            return False
        if not pid:
            try:
                end_with_parent(server)
                os._exit(0 if folders.empty(path) else 1)
            finally:
                os._exit(1)
        self.janitors[pid] = Janitor(slot=slot, asker=asker)
        if asker is not None:
            asker.cleaning += 1
        return False

    def on_janitor_end(self, pid: int, status: int) -> bool:
        """Handle a janitor's end; returns whether its slot is free. A folder that was not emptied is not used again."""
        janitor = self.janitors.pop(pid)
        if janitor.asker is not None:
            janitor.asker.cleaning -= 1
        if status:
            self._paths[janitor.slot] = ""
            return False
        self._free(janitor.slot)
        return True

    def _free(self, slot: int) -> None:
        """Free an empty folder, and reset its timestamps, by which an owner could pass data to the next one."""
        if self._paths:
            with suppress(OSError):
                os.utime(self._paths[slot], ns=(0, 0))
        self.free.append(slot)

    def _is_empty(self, path: str) -> bool:
        if self._own_file_systems:
            counted = os.statvfs(path)
            return counted.f_files - counted.f_ffree == 1
        return not os.listdir(path)
