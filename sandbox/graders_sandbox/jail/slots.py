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
        self._sizes = [] if own_file_systems else [os.stat(path).st_size for path in paths]
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
                return self._give_back(slot)
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
        return self._give_back(janitor.slot)

    def _give_back(self, slot: int) -> bool:
        """Make an empty folder free; False when it still shows what its last owner did, and nobody may have it any more."""
        path = self._paths[slot] if self._paths else ""
        with suppress(OSError):
            # On some file systems a folder stays as large as its most names needed: the owner could have chosen a number.
            if self._sizes and os.stat(path).st_size > self._sizes[slot]:
                self._paths[slot] = ""
                return False
            os.utime(path, ns=(0, 0))  # its times are the owner's choice, too
        self.free.append(slot)
        return True

    def _is_empty(self, path: str) -> bool:
        if self._own_file_systems:
            counted = os.statvfs(path)
            return counted.f_files - counted.f_ffree == 1
        return not os.listdir(path)
