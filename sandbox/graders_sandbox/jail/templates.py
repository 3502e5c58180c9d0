"""The server's templates: one for each program, forked from a first one with the packages and no program."""

from __future__ import annotations

import _socket
import json
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence

from graders_sandbox import protocol

from . import template
from .confinement import FAILED
from .records import NEVER, RunningProcess, Source

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from select import poll
    from typing import Any

COMPILE_S = 20.0  # for a source of any allowed size; more is an attack on the compiler
UNTRUSTED = -1  # number of the template of run_untrusted
_POLLIN = 1  # select's


class Templates:
    """Starts and ends templates, and makes them fork.

    Args:
        channel, pid: Channel and pid of the first template.
        listened: The poll object for channels of templates that are not ready yet.
        on_fork: Called for each ordered child with its record and its pid, or 0 when there is none.

    Attributes:
        sources: Sources by number.
        unready: Sources whose templates are not ready yet, by the channel's descriptor.
        ordered: Ordered children whose pids are not known yet, in order.
    """

    def __init__(
        self,
        channel: _socket.socket,
        pid: int,
        listened: poll,
        on_fork: Callable[[RunningProcess, int], None],
    ) -> None:
        self.sources: dict[int, Source] = {}
        self.unready: dict[int, Source] = {}
        self.ordered: deque[RunningProcess] = deque()
        self._first = channel
        self._first_pid = pid
        self._listened = listened
        self._on_fork = on_fork
        self._by_pid: dict[int, Source] = {}

    @property
    def pids(self) -> list[int]:
        """Pids of the first template and of programs' templates."""
        return [self._first_pid, *self._by_pid]

    def __contains__(self, pid: int) -> bool:
        return pid in self._by_pid or pid == self._first_pid

    def add(self, number: int, ahead: dict[str, Any], text: Sequence[int] = ()) -> Source:
        """Fork a template that loads modules and compiles a source. A hostile source may crash it or keep it busy."""
        ours, theirs = _socket.socketpair()
        protocol.send(self._first, b"T", [theirs.fileno()])
        theirs.close()
        pid = answer(self._first)
        if not pid:
            os._exit(FAILED)  # the kernel starts no process: another server may find better times
        protocol.send(ours, json.dumps(ahead).encode() + b"\n", text)
        source = Source(
            number=number, channel=ours, pid=pid, deadline=time.monotonic() + COMPILE_S, waiting=[]
        )
        self._by_pid[pid] = self.unready[ours.fileno()] = self.sources[number] = source
        self._listened.register(ours, _POLLIN)
        return source

    def forget(self, number: int) -> None:
        """End the template of a source."""
        source = self.sources.pop(number)
        self._expect_no_more(source)
        source.channel.close()  # its template's end

    def settle(self, source: Source) -> bool:
        """Read a template's report that it is ready, or why not; returns False when it has ended (see `ended`)."""
        said = source.channel.recv(8192)
        if said == template.READY:
            source.ready = True
        elif said:
            source.error = said.decode("utf-8", "replace")
        self._expect_no_more(source)
        return bool(said)

    def on_end(self, pid: int, status: int) -> Source | None:
        """Handle the end of a template; returns its source, if work may wait for it.

        A hostile source may crash the compiler; after any other end, another server has to take over.
        """
        if pid == self._first_pid:
            os._exit(FAILED)
        source = self._by_pid.pop(pid)
        # its report may be unread
        settled = source.channel.fileno() in self.unready and self.settle(source)
        if source.error or (source.number >= 0 and source.number not in self.sources):
            return source if settled else None  # it is known, or it was told to end
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if source.ready or source.number < 0 or (killed and source.deadline < NEVER):
            os._exit(FAILED)
        source.error = "the compiler crashed or took too long on this source"
        return source

    def end_late(self, now: float) -> float:
        """End templates that take too long to become ready; returns the next deadline."""
        for source in self.unready.values():
            if now >= source.deadline:
                os.kill(source.pid, signal.SIGKILL)
                source.deadline = NEVER
        return min((source.deadline for source in self.unready.values()), default=NEVER)

    def order(
        self,
        running: RunningProcess,
        how: bytes,
        descriptors: Sequence[int],
        *,
        count: int = 0,
        may_ask: bool = False,
    ) -> None:
        """Make a template fork a jailed child, whose pid is read later."""
        message = template.FORK.pack(b"F", how, running.slot, count, may_ask, 0)
        protocol.send(running.template, message, descriptors)
        self.ordered.append(running)

    def receive_pid(self) -> None:
        """Read the pid of the first ordered child, waiting for its template if necessary."""
        running = self.ordered.popleft()
        self._on_fork(running, answer(running.template))

    def receive_pids(self) -> None:
        while self.ordered:
            self.receive_pid()

    def fork(
        self, to: _socket.socket, how: bytes, slot: int, descriptors: Sequence[int], *, memory_bytes: int = 0
    ) -> int:
        """Order a child and wait for it; returns its pid, or 0 when there is none."""
        self.receive_pids()
        protocol.send(to, template.FORK.pack(b"F", how, slot, 0, False, memory_bytes), descriptors)
        return answer(to)

    def _expect_no_more(self, source: Source) -> None:
        if self.unready.pop(source.channel.fileno(), None) is not None:
            self._listened.unregister(source.channel)


def answer(channel: _socket.socket) -> int:
    """A template's answer; without one the server exits."""
    data = channel.recv(template.PID.size)
    if not data:
        os._exit(FAILED)  # the host starts another server
    number: int = template.PID.unpack(data)[0]
    return max(0, number)
