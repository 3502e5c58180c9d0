"""The server's records of programs, samples and children. Plain namespaces, since dataclasses would add 1.5 MB to the
image that every sample is a fork of."""

from __future__ import annotations

import _socket
from types import SimpleNamespace

from graders_sandbox import protocol

#: A deadline.
NEVER = float("inf")


class Source(SimpleNamespace):
    """A program and its template. Number -1 is the template of `run_untrusted`, which has no program.

    Attributes:
        channel: The channel to the template, which reports on it once whether it is ready.
        pid: The template's pid.
        error: The reason why there is no template: the source does not compile.
        deadline: The deadline for becoming ready.
        waiting: Work that arrived before the template was ready.
    """

    number: int
    channel: _socket.socket
    pid: int
    deadline: float
    waiting: list[Work]
    ready: bool = False
    error: str = ""


class Work(SimpleNamespace):
    """A run that the host requested."""

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
        wanted: Seconds and memory of the requested child that has not started yet.
        since: The time of the request if it waits for the folder of an earlier child of this sample; else 0.0.
        cleaning: Number of its children's folders that are being emptied.
    """

    channel: _socket.socket
    sample: int = 0
    child: int = 0
    wanted: tuple[float, int] | None = None
    since: float = 0.0
    cleaning: int = 0


class RunningProcess(SimpleNamespace):
    """A running process with its limits. `asker` is the sample's own, or, for a child (run -1), that of its sample."""

    run: int
    slot: int
    started: float
    deadline: float
    template: _socket.socket
    asker: Asker | None = None
    ended: int = protocol.BY_ITSELF


class IdleChild(SimpleNamespace):
    """A jailed child without work, forked from the template of one source."""

    pid: int
    slot: int
    channel: _socket.socket
    source: int
