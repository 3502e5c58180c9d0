"""Children that wait for a sample, jailed already, when there is nothing else to do."""

from __future__ import annotations

import _socket
import os
import signal
from collections import deque
from contextlib import suppress

from graders_sandbox import protocol

from . import sample, template
from .records import Idle, Source
from .slots import Slots
from .templates import Templates


class IdleChildren:
    """One for each of the latest samples, a fork of the template of its program.

    Args:
        most: How many wait at once; 0 for none.
    """

    def __init__(self, most: int, templates: Templates, slots: Slots) -> None:
        self._most = most
        self._templates = templates
        self._slots = slots
        self._waiting: list[Idle] = []
        self._ending: dict[int, int] = {}  # slots of those on their way out, by pid
        self._recent: deque[int] = deque(maxlen=most or 1)  # sources of the latest samples

    @property
    def pids(self) -> list[int]:
        return [idle.pid for idle in self._waiting]

    def __contains__(self, pid: int) -> bool:
        return pid in self._ending or pid in self.pids

    def ran(self, source: Source) -> None:
        """A sample of this source has started."""
        self._recent.append(source.number)

    def forget(self, number: int) -> None:
        """Nobody waits for samples of a source that is gone."""
        while number in self._recent:
            self._recent.remove(number)

    def missing(self) -> Source | None:
        """Whose template the next one is to be forked from."""
        if not self._most or len(self._slots.free) < 2:
            return None
        missing = self._unserved()
        return self._templates.sources[missing[-1]] if missing else None

    def _unserved(self) -> list[int]:
        """Sources of the latest samples for which nobody waits."""
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
            self._waiting.append(Idle(pid=pid, slot=slot, channel=ours, source=source.number))
        else:
            ours.close()
            self._slots.free.append(slot)
            self._most = 0  # where processes are short, none waits

    def take(self, source: Source) -> Idle | None:
        """One that waits for a sample of this source."""
        for idle in self._waiting:
            if idle.source == source.number:
                self._waiting.remove(idle)
                return idle
        return None

    def hand_over(self, idle: Idle, count: int, descriptors: list[int]) -> bool:
        """Give work to one that was taken; False when it did not get into its jail."""
        try:
            protocol.send(idle.channel, sample.WORK.pack(count), descriptors)
        except OSError:
            self._end(idle)
            return False
        idle.channel.close()
        return True

    def make_room(self) -> None:
        """End the one that has waited longest: its slot is wanted."""
        if self._waiting:
            self._discard(self._waiting[0])

    def _discard(self, idle: Idle) -> None:
        self._waiting.remove(idle)
        self._end(idle)

    def _end(self, idle: Idle) -> None:
        idle.channel.close()
        with suppress(ProcessLookupError):
            os.kill(idle.pid, signal.SIGKILL)
        self._ending[idle.pid] = idle.slot

    def ended(self, pid: int) -> None:
        """One is gone, and its slot, which nobody has used, is free."""
        slot = self._ending.pop(pid, None)
        if slot is None:  # it could not enter its jail: the fork under a sample will say why
            idle = next(idle for idle in self._waiting if idle.pid == pid)
            self._waiting.remove(idle)
            idle.channel.close()
            self._most = 0
            slot = idle.slot
        self._slots.free.append(slot)
