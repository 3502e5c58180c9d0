"""What a server keeps of programs, samples and children. Plain namespaces: dataclasses would bring a megabyte and a half
into what every sample is a fork of."""

from __future__ import annotations

import _socket
from types import SimpleNamespace

from graders_sandbox import protocol

NEVER = float("inf")  # a deadline


class Source(SimpleNamespace):
    """A program and the template that holds it; number -1: the template of `run_untrusted`, which holds none.

    Attributes:
        channel: To its template, which says on it once whether it is ready.
        pid: Of its template.
        error: Why there is no template: the source does not compile.
        deadline: For getting ready.
        waiting: Work that came before it was ready.
    """

    number: int
    channel: _socket.socket
    pid: int
    deadline: float
    waiting: list[Work]
    ready: bool = False
    error: str = ""


class Work(SimpleNamespace):
    """A run that the host asked for."""

    run: int
    source: int
    count: int
    wall_s: float
    payload: int
    result: int
    may_ask: bool
    dropped: bool = False


class Asker(SimpleNamespace):
    """The server's end of a sample's request socket, and the child started over it.

    Attributes:
        wanted: The seconds and the memory of a child that is waited for.
        since: When it was asked for; 0.0 when the wait is not for a folder that an earlier child of this sample left.
        cleaning: How many folders that its children left are being emptied.
    """

    channel: _socket.socket
    sample: int = 0
    child: int = 0
    wanted: tuple[float, int] | None = None
    since: float = 0.0
    cleaning: int = 0


class Running(SimpleNamespace):
    """A child and what ends it. `asker` is that of the sample itself, or of who asked for the child if run is -1."""

    run: int
    slot: int
    started: float
    deadline: float
    template: _socket.socket
    asker: Asker | None = None
    ended: int = protocol.BY_ITSELF


class Idle(SimpleNamespace):
    """A jailed child without work, forked from the template of one source."""

    pid: int
    slot: int
    channel: _socket.socket
    source: int
