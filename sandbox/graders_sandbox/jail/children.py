"""Children of samples, for code of others: `run_untrusted` asks the server for them (see untrusted/client.py)."""

from __future__ import annotations

import _socket
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from graders_sandbox import protocol

from . import template
from .records import Asker, RunningProcess
from .slots import Slots
from .templates import UNTRUSTED, Templates

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from select import poll

CLEANING = 1  # folders of one sample's children that may be emptied at once, before it gets another child
_POLLIN = 1  # select's


class SampleChildren:
    """The server's bookkeeping of children: which samples may request one, which wait, and which children run.

    Args:
        files: Whether a child has a folder. Without Landlock it could reach its neighbours' folders, so it gets neither
            folder nor slot.
        jailed: Whether there is a jail.
        memory_bytes: The largest address space of a child.
        running: All processes by pid, samples included.
        started: Called with the pid and the entry of a started child.
        kill: Kills a child, with a reason.
    """

    def __init__(
        self, *, files: bool, jailed: bool, memory_bytes: int, slots: Slots, templates: Templates, listened: poll,
        running: Mapping[int, RunningProcess], started: Callable[[int, RunningProcess], None],
        kill: Callable[[int, RunningProcess, int], None],
    ) -> None:  # fmt: skip
        self._files = files
        self._jailed = jailed
        self._memory_bytes = memory_bytes
        self._slots = slots
        self._templates = templates
        self._listened = listened
        self._running = running
        self._started = started
        self._kill = kill
        self._askers: dict[int, Asker] = {}
        self._asking: deque[Asker] = deque()  # who waits for a child

    def allow(self, asker: Asker, sample: int) -> None:
        """Let a sample request children."""
        asker.sample = sample
        self._askers[asker.channel.fileno()] = asker
        self._listened.register(asker.channel, _POLLIN)

    def revoke(self, asker: Asker) -> None:
        """End a sample's right to children, and its child."""
        if self._askers.pop(asker.channel.fileno(), None) is None:
            return
        self._listened.unregister(asker.channel)
        asker.channel.close()
        if asker.wanted:
            self._asking.remove(asker)
        if (running := self._running.get(asker.child)) is not None:
            self._kill(asker.child, running, protocol.BY_HOST)

    def is_starved(self, asker: Asker | None) -> bool:
        """Whether it waits for a child because no slot is free, so that the lost time is not its own."""
        return asker is not None and asker in self._asking and not asker.cleaning

    def on_request(self, descriptor: int) -> None:
        """Handle a sample's request to start or end a child."""
        asker = self._askers.get(descriptor)
        if asker is None:
            return
        try:
            data = asker.channel.recv(protocol.ASK.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if len(data) != protocol.ASK.size:  # gone, or nonsense
            self.revoke(asker)
        elif data[:1] == b"K":
            if (running := self._running.get(asker.child)) is not None:
                self._kill(asker.child, running, protocol.BY_HOST)
        elif asker.child or asker.wanted:  # one at a time
            self.revoke(asker)
        else:
            _, wall_s, memory_bytes = protocol.ASK.unpack(data)
            asker.wanted = (wall_s, max(1, min(memory_bytes, self._memory_bytes)))
            self._asking.append(asker)
            self.start_waiting()

    def start_waiting(self) -> None:
        """Start children for waiting samples as far as slots are free. Other requests keep waiting; none is refused."""
        if not self._asking:
            return
        source = self._templates.sources.get(UNTRUSTED)
        if source is None or not source.ready:
            return
        for asker in [*self._asking]:
            if not self._files:
                self._start(asker, source.channel, template.NO_SLOT)
            elif asker.cleaning >= CLEANING:
                asker.since = asker.since or time.monotonic()
            elif self._slots.free:
                self._start(asker, source.channel, self._slots.free.pop())

    def _start(self, asker: Asker, channel: _socket.socket, slot: int) -> None:
        assert asker.wanted is not None
        wall_s, memory_bytes = asker.wanted
        self._asking.remove(asker)
        asker.wanted = None
        parent = self._running[asker.sample]
        started = time.monotonic()
        waited_s = started - asker.since if asker.since else 0.0
        asker.since = 0.0
        if wall_s <= waited_s:
            self._reply(asker, protocol.TOLD.pack(b"X", 0, protocol.BY_DEADLINE, waited_s))
            self._free(slot)
            return
        pid = 0
        ours, theirs = _socket.socketpair()
        if started <= parent.deadline:  # else this server was late, and the sample did not have its time
            pid = self._templates.fork(
                channel, template.UNTRUSTED, slot, [theirs.fileno()], memory_bytes=memory_bytes
            )
        theirs.close()
        if pid:
            asker.child = pid
            deadline = min(parent.deadline, started + wall_s - waited_s)
            running = RunningProcess(
                run=-1, slot=slot, started=started, deadline=deadline, template=channel, asker=asker
            )
            self._started(pid, running)
            self._reply(asker, protocol.TOLD.pack(b"O", 0, 0, waited_s), [ours.fileno()])
        else:
            out_of_time = started > parent.deadline and waited_s
            self._kill(asker.sample, parent, protocol.BY_DEADLINE if out_of_time else protocol.BY_FAULT)
            self._free(slot)
        ours.close()

    def _free(self, slot: int) -> None:
        if slot >= 0:
            self._slots.free.append(slot)

    def on_end(self, running: RunningProcess, status: int) -> None:
        """Report the end of a child to its sample, and kill the sample if its code did not cause that end."""
        asker = running.asker
        if asker is None:
            return
        asker.child = 0
        parent = self._running.get(asker.sample)
        unjailed = self._jailed and status == protocol.NOT_JAILED << 8
        if parent is not None and status == signal.SIGSYS and self._jailed and not self._files:
            self._kill(asker.sample, parent, protocol.BY_REFUSAL)
        elif parent is not None and (unjailed or running.ended == protocol.BY_FAULT):
            self._kill(asker.sample, parent, protocol.BY_FAULT)
        self._reply(asker, protocol.TOLD.pack(b"X", status, running.ended, 0.0))

    def _reply(self, asker: Asker, message: bytes, descriptors: list[int] | None = None) -> None:
        with suppress(OSError):  # a sample that does not read its answers gets none
            protocol.send(asker.channel, message, descriptors or ())
