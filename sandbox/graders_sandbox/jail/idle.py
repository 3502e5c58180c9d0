"""Idle children: jailed processes that wait for a sample, started when there is nothing else to do."""

from __future__ import annotations

import _socket
import os
import signal
from collections import deque
from contextlib import suppress

from graders_sandbox import protocol

from . import sample, template
from .records import IdleChild, Source
from .slots import Slots
from .templates import Templates


class IdleChildren:
    """One idle child for each of the latest programs, forked from its template.

    Args:
        most: Largest number of idle children; 0 for none.
    """

    def __init__(self, most: int, templates: Templates, slots: Slots) -> None:
        self._most = most
        self._templates = templates
        self._slots = slots
        self._waiting: list[IdleChild] = []
        # slots of those on their way out, by pid
        self._ending: dict[int, int] = {}
        # sources of the latest samples
        self._recent: deque[int] = deque(maxlen=most or 1)

    @property
    def pids(self) -> list[int]:
        return [idle.pid for idle in self._waiting]

    def __contains__(self, pid: int) -> bool:
        return pid in self._ending or pid in self.pids

    def record_start(self, source: Source) -> None:
        """Record the start of a sample of this source."""
        self._recent.append(source.number)

    def forget(self, number: int) -> None:
        """End the idle children of a source that is dropped."""
        while number in self._recent:
            self._recent.remove(number)

    def missing(self) -> Source | None:
        """The source whose template the next idle child is forked from; None when there are enough."""
        if not self._most or len(self._slots.free) < 2:
            return None
        missing = self._unserved()
        return self._templates.sources[missing[-1]] if missing else None

    def _unserved(self) -> list[int]:
        """Sources of the latest samples without an idle child."""
        missing = [*self._recent]
        for idle in self._waiting:
            if idle.source in missing:
                missing.remove(idle.source)
        return missing

    def start(self, source: Source) -> None:
        if len(self._waiting) >= self._most:
            recent = [*self._recent]
            for idle in self._waiting:
                if idle.source in recent:
                    recent.remove(idle.source)
                else:
                    self._discard(idle)
                    break
        ours, theirs = _socket.socketpair()
        slot = self._slots.free.pop()
        pid = self._templates.fork(source.channel, template.AWAIT, slot, [theirs.fileno()])
        theirs.close()
        if pid:
            self._waiting.append(IdleChild(pid=pid, slot=slot, channel=ours, source=source.number))
        else:
            ours.close()
            self._slots.free.append(slot)
            # where processes are short, none waits
            self._most = 0

    def take(self, source: Source) -> IdleChild | None:
        """Take an idle child for a sample of this source; None without one."""
        for idle in self._waiting:
            if idle.source == source.number:
                self._waiting.remove(idle)
                return idle
        return None

    def assign(self, idle: IdleChild, count: int, descriptors: list[int]) -> bool:
        """Send work to an idle child; returns False when it could not enter its jail."""
        try:
            protocol.send(idle.channel, sample.WORK.pack(count), descriptors)
        except OSError:
            self._end(idle)
            return False
        idle.channel.close()
        return True

    def make_room(self) -> None:
        """End the idle child that has waited longest, to free its slot."""
        if self._waiting:
            self._discard(self._waiting[0])

    def _discard(self, idle: IdleChild) -> None:
        self._waiting.remove(idle)
        self._end(idle)

    def _end(self, idle: IdleChild) -> None:
        idle.channel.close()
        with suppress(ProcessLookupError):
            os.kill(idle.pid, signal.SIGKILL)
        self._ending[idle.pid] = idle.slot

    def on_end(self, pid: int) -> None:
        """Free the unused slot of an idle child that has ended."""
        slot = self._ending.pop(pid, None)
        # it could not enter its jail: the fork under a sample will say why
        if slot is None:
            idle = next(idle for idle in self._waiting if idle.pid == pid)
            self._waiting.remove(idle)
            idle.channel.close()
            self._most = 0
            slot = idle.slot
        self._slots.free.append(slot)
