"""The image that samples are forks of: jailed together with its server, and from then on it does little but fork.

It is a process of its own because of what a fork costs: afterwards every page that the parent writes is copied, and a
server that keeps books of its samples writes many. Its children are the server's (CLONE_PARENT), which waits for them and
ends them. It never runs untrusted code and never reads a payload.
"""

from __future__ import annotations

import _socket
import ctypes
import gc
import importlib
import json
import os
import signal
import struct
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from graders_sandbox import protocol
from graders_sandbox.linux import sys as kernel
from graders_sandbox.linux.seccomp import SampleFilter

from . import sample, untrusted

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: From the server, one datagram each. Only F is answered, with the child's pid, 0 when there is none. A 0 comes first, when
#: the template is ready.
#:     F how slot source count may_ask memory_bytes   + the child's descriptors: start one
#:     M modules                                      load them, by commas
#:     C source json                                  + descriptor of its text: compile it, and its patterns
#:     D source                                       forget it
FORK = struct.Struct("<cciII?Q")
PID = struct.Struct("<i")
_FORK, _LOAD, _COMPILE, _FORGET = b"FMCD"
GRADE, AWAIT, UNTRUSTED = b"G", b"A", b"U"  # what a child is for
NO_SLOT = -1  # of a child without files

_BUFFER = bytearray(65536)
_HIGH = 64  # descriptors of the template's own are from here on, so that those of children arrive where they belong


class Template:
    """The loop.

    Args:
        channel: To the server.
        jail: What children go into.
        folders: Each slot's folder; () where there are none.
    """

    def __init__(self, channel: _socket.socket, jail: sample.Jail, folders: Sequence[str]) -> None:
        self.channel = channel
        self.jail = jail
        self.folders = [os.fsencode(folder) for folder in folders]
        self.slot = NO_SLOT  # whose folder this process is in: children are forked there
        self.codes: dict[int, types.CodeType] = {}
        # The kernel itself writes a child's pid into its filter.
        own = [ctypes.addressof(filter.pid) for filter in jail.filters] if jail.filters else [0, 0]
        self.with_slot, self.without = map(kernel.fork_for_parent, own)

    def serve(self) -> NoReturn:
        """Do what the server says until it is gone. One loop, all that it needs in locals: see above about pages."""
        receive, answer = self.channel.recvmsg_into, self.channel.send
        buffers, space, flags = [_BUFFER], protocol.SPACE, protocol.CLOEXEC
        read_order, read_descriptors, write_pid = FORK.unpack_from, protocol.descriptors, PID.pack
        fork_with_slot, fork_without, close = self.with_slot, self.without, os.close
        while True:
            size, ancillary, _, _ = receive(buffers, space, flags)
            descriptors = read_descriptors(ancillary)
            kind = _BUFFER[0]
            if not size:
                os._exit(0)
            elif kind == _FORK:
                _, how, slot, source, count, may_ask, memory_bytes = read_order(_BUFFER)
                if slot != self.slot and slot >= 0 and self.folders:
                    self.move(slot)
                # Python's own work after a fork (new locks, a new seed) is left out: it serves callers with threads.
                pid = fork_with_slot() if slot >= 0 else fork_without()
                if not pid:
                    self.child(how, slot, source, count, may_ask, memory_bytes, descriptors)
                answer(write_pid(pid))
            elif kind == _LOAD:
                load(str(_BUFFER[1:size], "ascii").split(","))
            elif kind == _COMPILE:
                self.codes[protocol.NUMBER.unpack_from(_BUFFER)[1]] = compiled(descriptors[0])
                compile_patterns(json.loads(_BUFFER[protocol.NUMBER.size : size]))
            elif kind == _FORGET:
                del self.codes[protocol.NUMBER.unpack_from(_BUFFER)[1]]
            for descriptor in descriptors:
                close(descriptor)

    def move(self, slot: int) -> None:
        """Into the folder of the next child's slot."""
        self.slot, folder = slot, self.folders[slot]
        os.chdir(folder)
        os.environ._data[b"TMPDIR"] = folder  # type: ignore[attr-defined]  # encoded once, not for each child
        os.putenv(b"TMPDIR", folder)

    def child(
        self, how: bytes, slot: int, source: int, count: int, may_ask: bool, memory_bytes: int,
        descriptors: Sequence[int],
    ) -> NoReturn:  # fmt: skip
        try:
            self.jail.enter(slot, descriptors, memory_bytes)
        except BaseException:
            os._exit(protocol.NOT_JAILED)
        try:
            if how == GRADE:
                sample.grade(self.codes[source], count, may_ask)
            elif how == AWAIT:
                sample.await_work(self.codes)
            else:
                untrusted.serve()
        finally:
            os._exit(1)


def start(
    channel: _socket.socket, rules: Sequence[int], *, server: int, tier: str, folders: Sequence[str],
    slots: int, template_bytes: int, limits: Mapping[str, Any], processes: int,
) -> NoReturn:  # fmt: skip
    """As the server's child: be the template.

    Args:
        channel: To the server.
        rules, slots, template_bytes, limits, processes: As of `sample.Jail`.
        folders: As of `Template`.
        server: Its pid.
        tier: What the server is held by.
    """
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(0)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as programs expect it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        channel, rules = _raised(channel.detach(), rules)

        own_root = tier in ("linux-full", "linux-ns")

        def filter(files: bool) -> SampleFilter:
            return SampleFilter(paths=files, own_root=own_root, reserved_exit=protocol.NOT_JAILED)

        filters = None if tier == "unsandboxed" else (filter(tier != "linux-strict"), filter(False))
        jail = sample.Jail(
            slots=slots, rules=rules, filters=filters, template_bytes=template_bytes, limits=limits, processes=processes,
            parent=0 if own_root else server,
        )  # fmt: skip
        jail.prepare()
        template = Template(channel, jail, folders)
        sys.meta_path.insert(0, sample._seeding)
        warm()
        load(())
        fill_holes()
        os.dup2(1, 2)  # until now the host could read what went wrong
        channel.send(PID.pack(0))
        template.serve()
    except BaseException as error:
        os.write(
            2, f"the template failed: {type(error).__name__}: {error}".encode("utf-8", "backslashreplace")
        )
    finally:
        os._exit(1)


def load(modules: Iterable[str]) -> None:
    """Import what programs name. What fails here, or leaves, does so in them, with their own traceback."""
    for name in modules:
        if name in sys.modules:
            continue
        if (
            name == "numpy.random" and "numpy" not in sys.modules
        ):  # it was left to samples, as it bears no fork
            continue
        with suppress(BaseException):
            importlib.import_module(name)
    if "tempfile" in sys.modules:
        vars(sys.modules["tempfile"])["tempdir"] = None  # where it was now is not where samples may write
    gc.collect()
    gc.freeze()


def warm() -> None:
    """Run what every sample runs, so that it need not be looked up, linked and specialised in each."""
    code = compile("def grade(sample, item):\n    return 1.0\n", "<grader>", "exec")
    row = b'{"sample": "", "item": {}}'
    for _ in range(20):
        sample._frame(code, row, 0, None)
        del sys.modules[sample.NAME]
    if "re" in sys.modules:
        import re

        for _ in range(10):
            re.compile(r"a\d+(b|c)*[d-f]").search("xa12")
            re.purge()


def fill_holes() -> None:
    """Use up what Python's allocator has free between objects, so that what a sample makes lies together, on fewer pages."""
    for size in range(_HEAD, 513, 16):  # it serves up to 512 bytes, in steps of 16
        at = [0] * _IN_ROW
        while at[-1] - at[-_IN_ROW] != (_IN_ROW - 1) * size and len(at) < 1000:
            filler = bytes(size - sys.getsizeof(b""))
            _filling.append(filler)
            at.append(id(filler))


_HEAD, _IN_ROW = 48, 8
_filling: list[bytes] = []


def compiled(text: int) -> types.CodeType:
    """The program in a descriptor.

    Raises:
        SyntaxError, ValueError, MemoryError, RecursionError: it does not compile.
    """
    size = os.lseek(text, 0, os.SEEK_END)
    return compile(os.pread(text, size, 0), "<grader>", "exec", dont_inherit=True)


def compile_patterns(patterns: Iterable[tuple[str, int]]) -> None:
    """Have regular expressions in the cache of `re`. One that does not compile fails in the program, when it gets there."""
    if (re := sys.modules.get("re")) is not None:
        for pattern, flags in patterns:
            with suppress(Exception):
                re.compile(pattern, flags)


def _raised(channel: int, rules: Sequence[int]) -> tuple[_socket.socket, Sequence[int]]:
    """Both moved out of the way of what comes, in order, and everything else closed."""
    for at, descriptor in enumerate((channel, *rules), _HIGH):
        os.dup2(descriptor, at, inheritable=False)
    end = _HIGH + 1 + len(rules)
    os.closerange(3, _HIGH)
    os.closerange(end, 65536)
    return _socket.socket(fileno=_HIGH), range(_HIGH + 1, end)
