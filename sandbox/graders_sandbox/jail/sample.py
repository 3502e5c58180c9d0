"""The sample process, from the fork to os._exit. It runs in the template's image and is jailed before it reads its
payload.

The code is short on purpose: after a fork every access to an object copies a page, the largest cost of a sample.
"""

from __future__ import annotations

import _socket
import os
import resource
import signal
import struct
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from graders_sandbox import protocol
from graders_sandbox.frames import NAME, frame_of
from graders_sandbox.linux import sys as kernel
from graders_sandbox.linux.seccomp import SampleFilter

from .output import raw as output
from .untrusted import client

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: The only descriptors of a sample beside 0-2, which are /dev/null. An idle child has its channel in RESULT's place.
RESULT, PAYLOAD, REQUEST = 3, 4, 5

_CHUNK = 4096  # of a payload, read first
WORK = struct.Struct("<I")  # to an idle child: count; + descriptors in RESULT's order


class Jail:
    """The way of a child into its jail, prepared once in the template.

    Args:
        slots: Number of slots.
        rules: A descriptor of Landlock rules for each slot; () without Landlock.
        filters: The seccomp filter of a child with a slot, and that of one without; None for no jail at all.
        template_bytes: The template's address space.
        limits: Fields of `Limits`, by name.
        processes: Limit on the user's processes; 0 for no limit, where the user has others.
        parent: The server's pid, with which children have to end; 0 where the namespace does that.

    Attributes:
        ways: By number of descriptors and by slot (the last: without one), the prepared calls that enter the jail.
    """

    def __init__(
        self,
        *,
        slots: int,
        rules: Sequence[int],
        filters: tuple[SampleFilter, SampleFilter] | None,
        template_bytes: int,
        limits: Mapping[str, Any],
        processes: int,
        parent: int,
    ) -> None:
        self.filters = filters
        self.parent = parent
        self.template_bytes = template_bytes
        self.limits = limits
        self.tie = kernel.prepared("prctl", kernel.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        cpu = max(1, round(limits["cpu_s"]))
        inside = [_limited(resource.RLIMIT_CPU, cpu, cpu + 1)]  # its signal first, then the end
        if processes:
            inside.append(_limited(resource.RLIMIT_NPROC, processes, processes))
        own = [[kernel.prepared("landlock_restrict_self", descriptor, 0)] for descriptor in rules]
        own = own or [[] for _ in range(slots)]
        with_slot, without = ([filter.load] for filter in filters) if filters is not None else ([], [])
        self.ways = [
            [(*domain, close, *inside, *with_slot) for domain in own] + [(close, *inside, *without)]
            for close in map(_closed_from, range(RESULT, REQUEST + 2))
        ]

    def prepare(self) -> None:
        """Set limits that the template itself can bear, in the template, so that children inherit them."""
        for which, amount in (
            (resource.RLIMIT_AS, self.template_bytes + self.limits["memory_bytes"]),
            (resource.RLIMIT_FSIZE, self.limits["disk_bytes"]),
            (resource.RLIMIT_NOFILE, max(self.limits["descriptors"], REQUEST + 1)),  # with less it gets none
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(which, (amount, amount))

    def enter(self, slot: int, descriptors: Sequence[int], memory_bytes: int) -> None:
        """Enter the jail, in the child, irrevocably.

        Args:
            slot: The slot whose folder it may use; -1 for none.
            descriptors: They become 3, 4, ...; all others are closed.
            memory_bytes: Address space beyond the template; 0 for a sample's default.

        Raises:
            OSError: a layer could not be set up.
        """
        if self.parent:
            if self.tie():
                raise OSError("prctl")
            if os.getppid() != self.parent:  # it went before we could be tied to it
                os._exit(0)
        if self.filters is None:
            os.setsid()  # without a jail it may start processes: they end as a group
        count = len(descriptors)
        if descriptors[-1] != RESULT + count - 1:
            # received in this order at the lowest free numbers, so none overwrites a later one
            for at, descriptor in enumerate(descriptors, RESULT):
                if descriptor != at:
                    os.dup2(descriptor, at)
        if memory_bytes:
            amount = self.template_bytes + memory_bytes
            resource.setrlimit(resource.RLIMIT_AS, (amount, amount))
        for step in self.ways[count][slot]:
            if step():
                raise OSError("a layer of the jail")


def _limited(which: int, soft: int, hard: int) -> Callable[[], object]:
    """setrlimit, prepared."""
    return kernel.prepared("prlimit64", 0, which, struct.pack("QQ", soft, hard), None)


def _closed_from(first: int) -> Callable[[], object]:
    """A prepared call that closes all descriptors from this one on."""
    if kernel.prepared("close_range", 1 << 20, (1 << 20) + 1, 0)():  # before Linux 5.9
        return partial(os.closerange, first, 65536)
    return kernel.prepared("close_range", first, 0xFFFFFFFF, 0)


def await_work(code: types.CodeType) -> NoReturn:
    """Wait for a sample on RESULT, then grade it, as a jailed idle child."""
    channel = _socket.socket(fileno=RESULT)
    message, received = protocol.receive(channel, WORK.size)
    if not message:
        os._exit(0)
    (count,) = WORK.unpack(message)
    channel.detach()
    # received as 4, 5, 6 in RESULT's order, since nothing else was open: each moves down by one
    for at, descriptor in enumerate(received, RESULT):
        os.dup2(descriptor, at)
    os.closerange(RESULT + len(received), 128)
    grade(code, count, len(received) > 2)


def grade(code: types.CodeType, count: int, may_ask: bool) -> NoReturn:
    """Grade the rows on PAYLOAD and exit."""
    write, leave = os.write, os._exit  # programs patch modules, if only for their own sample
    if may_ask:
        client.connect(REQUEST)
    data = os.read(PAYLOAD, _CHUNK)
    if len(data) == _CHUNK:  # else it was all: the host has written it before
        parts = [data]
        while part := os.read(PAYLOAD, 64 * _CHUNK):
            parts.append(part)
        data = b"".join(parts)
    os.close(PAYLOAD)
    if count == 1:
        frame = frame_of(code, data[protocol.ROW.size :], protocol.ROW.unpack_from(data)[0], None)
        if output.pending:
            output.send()
        write(RESULT, frame)
        leave(0)
    at = 0
    module: types.ModuleType | None = None
    for _ in range(count):
        seed, length = protocol.ROW.unpack_from(data, at)
        at += protocol.ROW.size
        if module is None:
            module = types.ModuleType(NAME)
        output.begin(RESULT, shared=True)
        frame = frame_of(code, data[at : at + length], seed, module)
        at += length
        if output.pending:
            output.send()
        frame = protocol.LENGTH.pack(len(frame)) + frame
        while frame:
            frame = frame[write(RESULT, frame) :]
    leave(0)
