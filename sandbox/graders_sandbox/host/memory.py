"""The number of concurrent samples: as requested, or as many as processors and free memory allow."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from graders_sandbox.limits import Limits

#: Seconds between two readings of the free memory.
_LOOK_S = 1.0


class ConcurrencyBound:
    """The bound on concurrent samples.

    Args:
        limits: Limits of one sample.
        asked: The requested number; None adapts to the free memory.
    """

    def __init__(self, limits: Limits, asked: int | None) -> None:
        self.most = asked or fitting(limits)
        self._limits = limits
        self._adaptive = asked is None
        self._now = self.most
        self._looked = 0.0

    def allowed(self, tier: str) -> int:
        """The number of concurrent samples in this tier; at least 1."""
        now = time.monotonic()
        if self._adaptive and now > self._looked + _LOOK_S:
            self._looked = now
            self._now = fitting(self._limits, tier)
        return self._now


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fitting(limits: Limits, tier: str = "") -> int:
    """The number of concurrent samples: twice the cores, as far as free memory suffices for their limits."""
    each = limits.memory_bytes
    if tier in ("linux-full", "linux-ns"):
        # their file systems are in memory
        each += limits.disk_bytes
    return max(1, min(2 * processors(), _free_bytes() // max(1, each)))


def _free_bytes() -> int:
    """Free memory of the machine, or of the container if that has less."""
    free = [1 << 62]
    with suppress(OSError, StopIteration), open("/proc/meminfo") as file:
        free.append(next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable")))
    with (
        # the value "max", which is not a number, means no bound
        suppress(OSError, ValueError),
        open("/sys/fs/cgroup/memory.max") as most,
        open("/sys/fs/cgroup/memory.current") as used,
    ):
        free.append(max(0, int(most.read()) - int(used.read())))
    return min(free)
