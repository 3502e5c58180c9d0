"""Samples' places: at most so many at once, each with a folder that is empty for the next."""

from __future__ import annotations

import os
from contextlib import suppress
from types import SimpleNamespace

from graders_sandbox import folders

from .confinement import die_with

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from .records import Asker


class Janitor(SimpleNamespace):
    """A child that empties a folder, and the asker whose child has left it."""

    slot: int
    asker: Asker | None


class Slots:
    """Places by number.

    Args:
        paths: Each slot's folder; [] where samples have none.
        count: How many there are.
        own_file_systems: Whether each folder is a file system of its own, which counts what is in it.

    Attributes:
        free: Those that nobody has.
        janitors: Children that empty a folder, by pid.
    """

    def __init__(self, paths: list[str], count: int, *, own_file_systems: bool) -> None:
        self.free: list[int] = []
        self.janitors: dict[int, Janitor] = {}
        self._paths = paths
        self._own_file_systems = own_file_systems
        for slot in range(count):
            self._give_back(slot)

    def clear(self, slot: int, asker: Asker | None) -> bool:
        """Have a slot emptied after its owner has ended; whether it is free at once. Deleting many files is a child's work."""
        if slot < 0:
            return False
        if not self._paths:
            self.free.append(slot)
            return True
        path = self._paths[slot]
        with suppress(OSError):
            os.chmod(path, 0o700)  # its last owner may have closed it, and the next would not get in
            if self._is_empty(path):
                self._give_back(slot)
                return True
        try:
            server = os.getpid()
            pid = os.fork()
        except OSError:
            self._paths[slot] = ""
            return False
        if not pid:
            try:
                die_with(server)
                os._exit(0 if folders.empty(path) else 1)
            finally:
                os._exit(1)
        self.janitors[pid] = Janitor(slot=slot, asker=asker)
        if asker is not None:
            asker.cleaning += 1
        return False

    def janitor_ended(self, pid: int, status: int) -> bool:
        """Whether its slot is free now. A folder that could not be emptied is not given to anybody any more."""
        janitor = self.janitors.pop(pid)
        if janitor.asker is not None:
            janitor.asker.cleaning -= 1
        if status:
            self._paths[janitor.slot] = ""
            return False
        self._give_back(janitor.slot)
        return True

    def _give_back(self, slot: int) -> None:
        """Make an empty folder free, without the times that its last owner may have chosen for the next."""
        if self._paths:
            with suppress(OSError):
                os.utime(self._paths[slot], ns=(0, 0))
        self.free.append(slot)

    def _is_empty(self, path: str) -> bool:
        if self._own_file_systems:
            counted = os.statvfs(path)
            return counted.f_files - counted.f_ffree == 1
        return not os.listdir(path)
