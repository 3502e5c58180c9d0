"""Servers that run, by the packages that they have loaded."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from graders_sandbox import protocol
from graders_sandbox.modules import LARGER_MODULES

from . import descriptors
from .scratch import Scratch
from .sources.reading import SourceFacts
from .tasks import Run

SOURCES = 64  # compiled in one server at once
EXIT_S = 2.0  # for a server to leave by itself when closed


@dataclass(eq=False, slots=True)
class Server:
    """A running server and what it has been told."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    tier: str
    packages: frozenset[str]
    capacity: int
    started: float
    scratch: Scratch | None
    said: int  # its standard error, until it is ready
    jailed: bool = False  # its tier works; from then on what goes wrong is its packages' doing
    ready: bool = False
    watchdog: float = 0.0  # when it counts as hung, if it says nothing until then and has something to do
    ends: float = 0.0  # when it will be killed, once it has been told to end
    n_sources: int = 0
    sources: OrderedDict[str, int] = field(default_factory=OrderedDict)
    waiting: deque[Run] = field(default_factory=deque)
    running: dict[int, Run] = field(default_factory=dict)

    def heard(self) -> None:
        """It has said something, or was told something."""
        longest = max((run.allowed_s for run in self.running.values()), default=0.0)
        self.watchdog = time.monotonic() + longest

    def send_source(self, source: str, facts: SourceFacts) -> int:
        """Its number in this server, which is told the source when it has not seen it or has forgotten it.

        Raises:
            OSError: it could not be sent.
        """
        number = self.sources.get(source)
        if number is not None:
            self.sources.move_to_end(source)
            return number
        number = self.n_sources
        # Nobody has read the text of tests yet.
        tests = LARGER_MODULES if facts.to_load.untrusted and self.tier == "linux-strict" else ()
        ahead = {"modules": sorted({*facts.to_load.standard, *tests}), "patterns": facts.patterns}
        text = descriptors.memory(source.encode("utf-8", "surrogatepass"))
        try:
            message = protocol.NUMBER.pack(b"S", number) + json.dumps(ahead).encode()
            protocol.send(self.control, message, [text])
        finally:
            os.close(text)
        self.sources[source] = number
        self.n_sources += 1
        if len(self.sources) > SOURCES:
            in_use = {run.tasks[0].source for run in self.running.values()}
            for forgotten in [other for other in self.sources if other not in in_use][:1]:
                protocol.send(self.control, protocol.NUMBER.pack(b"D", self.sources.pop(forgotten)))
        return number

    @property
    def load(self) -> int:
        return len(self.running) + len(self.waiting)

    def last_words(self) -> str:
        """How it ended, for a server that never became ready."""
        data = os.pread(self.said, 4096, max(0, os.fstat(self.said).st_size - 4096)).decode(
            "utf-8", "replace"
        )
        code = self.process.poll()
        if code is None:
            ended = "it ended"
        elif code < 0:
            ended = f"it was ended by {signal.Signals(-code).name}"
        else:
            ended = f"it ended with exit code {code}"
        return f"{ended}: {data.strip().rpartition(chr(10))[2]}" if data.strip() else ended


class ServerSet:
    """The servers of one pool, the least recently used first, and those that are on their way out.

    Attributes:
        unpreloadable: Sets of packages that no server can load before the fork.

    Args:
        selector: Where a server is listened to, with itself as the key's data.
        most: Sets of packages that are kept.
    """

    def __init__(self, selector: selectors.BaseSelector, most: int) -> None:
        self._selector = selector
        self._most = most
        self.unpreloadable: set[frozenset[str]] = set()
        self._servers: list[Server] = []
        self._ending: list[Server] = []

    def __iter__(self) -> Iterator[Server]:
        return iter(list(self._servers))

    def __contains__(self, server: object) -> bool:
        return server in self._servers

    @property
    def ending(self) -> bool:
        """Whether some are on their way out, and have to be looked at."""
        return bool(self._ending)

    @property
    def busy(self) -> bool:
        """Whether any has something to do, and will say so when it is done."""
        return any(server.load for server in self._servers)

    @property
    def running(self) -> int:
        """Samples at once, of all servers together."""
        return sum(min(server.load, server.capacity) for server in self._servers)

    def least_busy(self, packages: frozenset[str]) -> Server | None:
        """The one of these packages with the least to do, the most recently used of several."""
        fit = (server for server in reversed(self._servers) if server.packages == packages)
        return min(fit, key=_load, default=None)

    def with_queue_room(self, packages: frozenset[str]) -> Server | None:
        """One of these packages that is full, and in which one more may wait."""
        full = (
            server
            for server in self._servers
            if server.packages == packages and server.capacity <= server.load < 2 * server.capacity
        )
        return min(full, key=_load, default=None)

    def use(self, server: Server) -> None:
        """It is the most recently used now."""
        self._servers.remove(server)
        self._servers.append(server)

    def add(self, start: Callable[[], Server], packages: frozenset[str]) -> Server:
        """One more, after room was made if it is the first of its packages."""
        if not any(server.packages == packages for server in self._servers):
            self._make_room()
        server = start()
        self._selector.register(server.control, selectors.EVENT_READ, server)
        self._servers.append(server)
        return server

    def _make_room(self) -> None:
        """For one more set of packages: end the servers of those that were used longest ago, unless they are at work."""
        used = {server.packages: None for server in reversed(self._servers)}  # the latest first
        for packages in list(used)[self._most - 1 :]:
            for server in self:
                if server.packages == packages and not server.load:
                    self.end(server)

    def end(self, server: Server) -> None:
        """Close a server; what runs in it ends with it. It is waited for later."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(server.control)
        server.control.close()
        self._servers.remove(server)
        server.ends = time.monotonic() + EXIT_S
        self._ending.append(server)

    def tidy(self) -> None:
        """Wait for those that have ended, and kill those that should have."""
        for server in list(self._ending):
            if server.process.poll() is None:
                if time.monotonic() < server.ends:
                    continue
                server.process.kill()
                server.process.wait()
            self._ending.remove(server)
            os.close(server.said)
            if server.scratch is not None:
                server.scratch.remove()

    def close(self) -> None:
        """End all, and wait until they have."""
        for server in self:
            for run in (*server.running.values(), *server.waiting):
                run.close()
            self.end(server)
        limit = time.monotonic() + EXIT_S
        for server in self._ending:
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(max(0.0, limit - time.monotonic()))
            server.ends = 0.0
        self.tidy()

    def forget(self) -> None:
        """In a forked child: let go of everything without ending it."""
        for server in (*self._servers, *self._ending):
            server.control.close()
            os.close(server.said)
            server.process.returncode = 0  # not our child: never waited for
            if server.scratch is not None:
                os.close(server.scratch.lock)
            for run in server.running.values():
                run.close()


def _load(server: Server) -> int:
    return server.load
