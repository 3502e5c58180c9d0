"""How many samples run at once: as asked, or as the processors and the memory that is free allow."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from graders_sandbox.limits import Limits

_LOOK_S = 1.0  # between looks at how much memory is free


class InFlight:
    """The bound on samples at once.

    Args:
        limits: What one sample may use.
        asked: The caller's number; None adapts to the memory that is free.
    """

    def __init__(self, limits: Limits, asked: int | None) -> None:
        self.most = asked or fitting(limits)
        self._limits = limits
        self._adaptive = asked is None
        self._now = self.most
        self._looked = 0.0

    def allowed(self, tier: str) -> int:
        """Samples at once in this tier; at least 1."""
        now = time.monotonic()
        if self._adaptive and now > self._looked + _LOOK_S:
            self._looked = now
            self._now = fitting(self._limits, tier)
        return self._now


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fitting(limits: Limits, tier: str = "") -> int:
    """Samples at once: twice the cores, as long as what is free holds all that they may use."""
    each = limits.memory_bytes
    if tier in ("linux-full", "linux-ns"):
        each += limits.disk_bytes  # their disk is memory
    return max(1, min(2 * processors(), _free_bytes() // max(1, each)))


def _free_bytes() -> int:
    """Memory that may still be used: of the machine, and of the container where it has less."""
    free = [1 << 62]
    with suppress(OSError, StopIteration), open("/proc/meminfo") as file:
        free.append(next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable")))
    with (
        suppress(OSError, ValueError),  # "max" is no number: then there is no bound
        open("/sys/fs/cgroup/memory.max") as most,
        open("/sys/fs/cgroup/memory.current") as used,
    ):
        free.append(max(0, int(most.read()) - int(used.read())))
    return min(free)
