"""The running servers, by the packages that they have loaded."""

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
from .tasks import SampleRun

#: Sources that one server keeps compiled.
SOURCES = 64
#: Seconds for a server to end by itself when closed.
EXIT_S = 2.0


@dataclass(eq=False, slots=True)
class Server:
    """A running server and its state."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    tier: str
    packages: frozenset[str]
    capacity: int
    started: float
    scratch: Scratch | None
    # a descriptor of its standard error, until it is ready
    stderr: int
    # whether its tier works; later failures are caused by its packages
    jailed: bool = False
    ready: bool = False
    # the time at which it counts as hung, if it is busy and silent until then
    watchdog: float = 0.0
    # the time at which it is killed, after it was told to end
    ends: float = 0.0
    n_sources: int = 0
    sources: OrderedDict[str, int] = field(default_factory=OrderedDict)
    waiting: deque[SampleRun] = field(default_factory=deque)
    running: dict[int, SampleRun] = field(default_factory=dict)

    def reset_watchdog(self) -> None:
        """Reset the watchdog after a message to or from the server."""
        longest = max((run.allowed_s for run in self.running.values()), default=0.0)
        self.watchdog = time.monotonic() + longest

    def send_source(self, source: str, facts: SourceFacts) -> int:
        """The number of a source in this server, to which it is sent first if the server does not have it.

        Raises:
            OSError: it could not be sent.
        """
        number = self.sources.get(source)
        if number is not None:
            self.sources.move_to_end(source)
            return number
        number = self.n_sources
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
        """The reason of its end, for a server that never became ready."""
        data = os.pread(self.stderr, 4096, max(0, os.fstat(self.stderr).st_size - 4096)).decode(
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
    """The servers of one pool, the least recently used first, and those that are ending.

    Attributes:
        unpreloadable: Sets of packages that a server cannot load before the fork.

    Args:
        selector: The selector in which a server is registered, with itself as the key's data.
        most: Largest number of sets of packages.
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
        """Whether servers are ending, so that `reap` has to be called."""
        return bool(self._ending)

    @property
    def busy(self) -> bool:
        """Whether any server has work."""
        return any(server.load for server in self._servers)

    @property
    def running(self) -> int:
        """The number of running samples of all servers."""
        return sum(min(server.load, server.capacity) for server in self._servers)

    def least_busy(self, packages: frozenset[str]) -> Server | None:
        """The least busy server with these packages, the most recently used of several."""
        fit = (server for server in reversed(self._servers) if server.packages == packages)
        return min(fit, key=_load, default=None)

    def with_queue_room(self, packages: frozenset[str]) -> Server | None:
        """A full server with these packages, at which one more sample may be queued."""
        full = (
            server
            for server in self._servers
            if server.packages == packages and server.capacity <= server.load < 2 * server.capacity
        )
        return min(full, key=_load, default=None)

    def use(self, server: Server) -> None:
        """Mark a server as the most recently used."""
        self._servers.remove(server)
        self._servers.append(server)

    def add(self, start: Callable[[], Server], packages: frozenset[str]) -> Server:
        """Start another server, after making room if it is the first with its packages."""
        if not any(server.packages == packages for server in self._servers):
            self._make_room()
        server = start()
        self._selector.register(server.control, selectors.EVENT_READ, server)
        self._servers.append(server)
        return server

    def _make_room(self) -> None:
        """End the servers of the least recently used set of packages, unless they are busy."""
        used = {server.packages: None for server in reversed(self._servers)}
        for packages in list(used)[self._most - 1 :]:
            for server in self:
                if server.packages == packages and not server.load:
                    self.end(server)

    def end(self, server: Server) -> None:
        """Close a server with its samples; `reap` waits for its end."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(server.control)
        server.control.close()
        self._servers.remove(server)
        server.ends = time.monotonic() + EXIT_S
        self._ending.append(server)

    def reap(self) -> None:
        """Reap ended servers, and kill those that should have ended."""
        for server in list(self._ending):
            if server.process.poll() is None:
                if time.monotonic() < server.ends:
                    continue
                server.process.kill()
                server.process.wait()
            self._ending.remove(server)
            os.close(server.stderr)
            if server.scratch is not None:
                server.scratch.remove()

    def close(self) -> None:
        """End all servers and wait for them."""
        for server in self:
            for run in (*server.running.values(), *server.waiting):
                run.close()
            self.end(server)
        limit = time.monotonic() + EXIT_S
        for server in self._ending:
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(max(0.0, limit - time.monotonic()))
            server.ends = 0.0
        self.reap()

    def forget(self) -> None:
        """Release everything without ending it, in a forked child."""
        for server in (*self._servers, *self._ending):
            server.control.close()
            os.close(server.stderr)
            # not our child: never waited for
            server.process.returncode = 0
            if server.scratch is not None:
                os.close(server.scratch.lock)
            for run in server.running.values():
                run.close()


def _load(server: Server) -> int:
    return server.load
