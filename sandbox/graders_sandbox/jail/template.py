"""Templates, the processes that samples are forked from: jailed together with their server, they do little but fork.

The first one has the packages and forks the others, each of which loads one program's imports and compiles that
program, so that no sample contains another grader's program. The children of `run_untrusted` are forked from a
template without a program.

They are separate from the server because after a fork every page that the parent writes is copied, and a server, which
keeps records of its samples, writes many. Their children are the server's (CLONE_PARENT), which waits for them and ends
them. A template never runs untrusted code and never reads a payload.
"""

from __future__ import annotations

import _socket
import ctypes
import json
import os
import signal
import struct
import sys
import time
import traceback
import types
from collections.abc import Mapping, Sequence

from graders_sandbox import frames, protocol, seeding
from graders_sandbox.linux import sys as kernel
from graders_sandbox.linux.seccomp import SampleFilter

from . import loading, output, sample, untrusted
from .packing import fill_holes, forget_lookups, freeze
from .untrusted import program

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, NoReturn

#: Messages from the server. Each is answered with the child's pid, 0 when there is none.
#:     F how slot count may_ask memory_bytes   + the child's descriptors: start one
#:     T                                       + descriptor of a channel: fork a template that listens there. The first
#:                                             template forgets the program, so that the next fork does not contain it
#: A new template reads a line of JSON, {"modules": [to load], "patterns": [[to compile, flags]]} + a descriptor of the
#: program's text, if it has one, and reports once that it is READY, or why there will be none.
FORK = struct.Struct("<cciI?Q")
PID = struct.Struct("<i")
READY = PID.pack(0)
_FORK = b"F"[0]
GRADE, AWAIT, UNTRUSTED = b"G", b"A", b"U"  # what a child is for
NO_SLOT = -1  # of a child without files

_BUFFER = bytearray(65536)
_HIGH = 64  # descriptors of the template's own are from here on, so that those of children arrive where they belong


class Template:
    """The template's loop.

    Args:
        channel: The channel to the server.
        jail: The jail of children.
        folders: Each slot's folder; () without folders.
        server: The server's pid.
    """

    def __init__(
        self, channel: _socket.socket, jail: sample.Jail, folders: Sequence[str], server: int
    ) -> None:
        self.channel = channel
        self.server = server
        self.jail = jail
        self.folders = [os.fsencode(folder) for folder in folders]
        self.slot = NO_SLOT  # whose folder this process is in: children are forked there
        self.code: types.CodeType | None = None
        # the kernel itself writes a child's pid into its filter
        own = [ctypes.addressof(filter.pid) for filter in jail.filters] if jail.filters else [0, 0]
        self.with_slot, self.without, self.fork = map(kernel.fork_for_parent, [*own, 0])

    def serve(self) -> NoReturn:
        """Execute the server's orders until it ends. One loop with local variables only: see above about pages."""
        receive, answer = self.channel.recvmsg_into, self.channel.send
        # the stream returns one message at a time, since each has descriptors
        buffers, space, flags = [_BUFFER], protocol.SPACE, protocol.CLOEXEC
        read_order, read_descriptors, write_pid = FORK.unpack_from, protocol.descriptors, PID.pack
        fork_with_slot, fork_without, close = self.with_slot, self.without, os.close
        while True:
            size, ancillary, _, _ = receive(buffers, space, flags)
            descriptors = read_descriptors(ancillary)
            if not size:
                os._exit(0)
            if _BUFFER[0] == _FORK:
                _, how, slot, count, may_ask, memory_bytes = read_order(_BUFFER)
                if slot != self.slot and slot >= 0 and self.folders:
                    self.move(slot)
                # Python's own work after a fork (new locks, a new seed) is omitted, since it is for processes with
                # threads
                pid = fork_with_slot() if slot >= 0 else fork_without()
                if not pid:
                    self.child(how, slot, count, may_ask, memory_bytes, descriptors)
            else:
                pid = self.fork()
                if not pid:
                    self.specialise(*descriptors)
            answer(write_pid(pid))
            for descriptor in descriptors:
                close(descriptor)

    def specialise(self, channel: int) -> NoReturn:
        """Become the template of one program, in a fork of the first template."""
        os.dup2(channel, _HIGH, inheritable=False)  # in place of the first template's
        try:
            _tie(self.server)
            os.close(channel)
            self.jail.prepare()
            line, descriptors = protocol.receive(self.channel, len(_BUFFER))
            while not line.endswith(b"\n"):
                line += self.channel.recv(len(_BUFFER)) or b"\n"
            ahead = json.loads(line)
            for text in descriptors:
                self.code = loading.compiled(text)
                os.close(text)
            loading.load(ahead["modules"])
            loading.compile_patterns(ahead["patterns"])
            del line, ahead
            if self.code is None:
                program.prepare()
            else:
                # here and not in the sample, where each written page is copied
                output.raw.begin(sample.RESULT, shared=False)
            freeze()
            fill_holes()
            self.channel.send(READY)
            self.serve()
        except BaseException as error:
            reason = "".join(traceback.format_exception_only(type(error), error))
            reason = protocol.cut(reason, protocol.TEXT_MAX // 2)  # its last line names the error
            self.channel.send(reason.encode("utf-8", "backslashreplace")[:8000])
        finally:
            os._exit(1)

    def move(self, slot: int) -> None:
        """Change to the folder of the next child's slot."""
        self.slot, folder = slot, self.folders[slot]
        os.chdir(folder)
        os.environ._data[b"TMPDIR"] = folder  # type: ignore[attr-defined]  # encoded once, not for each child
        os.putenv(b"TMPDIR", folder)

    def child(
        self, how: bytes, slot: int, count: int, may_ask: bool, memory_bytes: int, descriptors: Sequence[int]
    ) -> NoReturn:
        try:
            self.jail.enter(slot, descriptors, memory_bytes)
        except BaseException:
            os._exit(protocol.NOT_JAILED)
        try:
            if how == UNTRUSTED:
                program.serve()
            assert self.code is not None
            if how == GRADE:
                sample.grade(self.code, count, may_ask)
            sample.await_work(self.code)
        finally:
            os._exit(1)


def start(
    channel: _socket.socket, rules: Sequence[int], jail: sample.Jail, folders: Sequence[str], server: int
) -> NoReturn:
    """Run the first template, in the server's child.

    Args:
        channel: To the server.
        rules: A descriptor of Landlock rules for each slot; () without Landlock.
        jail: The jail that `prepare` made.
        folders: As for `Template`.
        server: The server's pid.
    """
    try:
        _tie(server)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as programs expect it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        template = Template(_at_high_numbers(channel.detach(), rules), jail, folders, server)
        freeze()
        os.dup2(1, 2)  # until now the host could read what went wrong
        template.channel.send(PID.pack(0))
        template.serve()
    except BaseException as error:
        os.write(
            2, f"the template failed: {type(error).__name__}: {error}".encode("utf-8", "backslashreplace")
        )
    finally:
        os._exit(1)


def _tie(server: int) -> None:
    """Let the kernel kill this process when the server ends."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(0)


def prepare(
    *, tier: str, slots: int, rules: int, template_bytes: int, limits: Mapping[str, Any], processes: int
) -> sample.Jail:
    """Do what every sample would do first, in the server, before it forks the first template.

    Args:
        tier: The server's tier.
        rules: Number of descriptors of Landlock rules; 0 without Landlock.
        slots, template_bytes, limits, processes: As for `sample.Jail`.

    Returns:
        The jail of samples.
    """
    seeding.install()
    output.install()
    fill_holes()
    own_root = tier in ("linux-full", "linux-ns")

    def filter(paths: Literal["allowed", "refused", "fatal"]) -> SampleFilter:
        return SampleFilter(paths=paths, own_root=own_root, reserved_exit=protocol.NOT_JAILED)

    # code without a folder ends when it requests a file, since without the file its result might differ from other
    # tiers
    filters = (filter("refused" if tier == "linux-strict" else "allowed"), filter("fatal"))
    jail = sample.Jail(
        slots=slots,
        rules=range(_HIGH + 1, _HIGH + 1 + rules),
        filters=None if tier == "unsandboxed" else filters,
        template_bytes=template_bytes,
        limits=limits,
        processes=processes,
        parent=0 if own_root else os.getpid(),
    )
    forget_lookups()
    warm_up()
    freeze()
    fill_holes()
    return jail


def warm_up() -> None:
    """Run the code of every sample once, so that it is looked up, linked and specialised before the fork."""
    time.localtime()  # the zone's file is read once, where it can be
    code = compile("def grade(sample, item):\n    return 1.0\n", "<grader>", "exec")
    row = b'{"sample": "", "item": {}}'
    for _ in range(20):
        frames.frame_of(code, row, 0, None)
        del sys.modules[frames.NAME]
    if "re" in sys.modules:
        import re

        # each is new, and none of a package's is forgotten
        for count in range(10):
            re.compile(rf"a\d{{{count}}}(b|c)*[d-f]").search("xa12")
    untrusted.rehearse()


def _at_high_numbers(channel: int, rules: Sequence[int]) -> _socket.socket:
    """The channel. It and the rules move to high descriptors, in order, and all others are closed."""
    for at, descriptor in enumerate((channel, *rules), _HIGH):
        os.dup2(descriptor, at, inheritable=False)
    os.closerange(3, _HIGH)
    os.closerange(_HIGH + 1 + len(rules), 65536)
    return _socket.socket(fileno=_HIGH)
