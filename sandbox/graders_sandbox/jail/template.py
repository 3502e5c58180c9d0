"""The images that samples are forks of: jailed together with their server, and from then on they do little but fork.

The first one holds the packages and forks the others, each of which loads what one program imports and compiles that
program: what one grader's template holds is in no other grader's sample. One more, without any program, is what the code
that `run_untrusted` runs is forked from.

They are processes of their own because of what a fork costs: afterwards every page that the parent writes is copied, and a
server that keeps books of its samples writes many. Their children are the server's (CLONE_PARENT), which waits for them and
ends them. A template never runs untrusted code and never reads a payload.
"""

from __future__ import annotations

import _socket
import ctypes
import gc
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
from .packing import fill_holes
from .untrusted import program

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import Any, Literal, NoReturn

#: From the server. Each is answered with the child's pid, 0 when there is none.
#:     F how slot count may_ask memory_bytes   + the child's descriptors: start one
#:     T                                       + descriptor of a channel: fork a template that listens there. The first
#:                                             template knows no more of a program, so that the next fork holds none of it
#: A new template reads a line of JSON, {"modules": [to load], "patterns": [[to compile, flags]]} + descriptor of a program's
#: text if it is to hold one, and says once that it is READY, or why there will be none.
FORK = struct.Struct("<cciI?Q")
PID = struct.Struct("<i")
READY = PID.pack(0)
_FORK = b"F"[0]
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
        server: Its pid.
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
        # The kernel itself writes a child's pid into its filter.
        own = [ctypes.addressof(filter.pid) for filter in jail.filters] if jail.filters else [0, 0]
        self.with_slot, self.without, self.fork = map(kernel.fork_for_parent, [*own, 0])

    def serve(self) -> NoReturn:
        """Do what the server says until it is gone. One loop, all that it needs in locals: see above about pages."""
        receive, answer = self.channel.recvmsg_into, self.channel.send
        # A stream gives one message at a time, since each brings descriptors.
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
                # Python's own work after a fork (new locks, a new seed) is left out: it serves callers with threads.
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
        """As a fork of the first template: be that of one program."""
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
                # Here, since what a sample writes is a copied page.
                output.raw.begin(sample.RESULT, shared=False)
            freeze()
            fill_holes()
            self.channel.send(READY)
            self.serve()
        except BaseException as error:
            said = "".join(traceback.format_exception_only(type(error), error))
            said = protocol.cut(said, protocol.TEXT_MAX // 2)  # its last line names the error
            self.channel.send(said.encode("utf-8", "backslashreplace")[:8000])
        finally:
            os._exit(1)

    def move(self, slot: int) -> None:
        """Into the folder of the next child's slot."""
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
        _tie(server)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as programs expect it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        channel, rules = _raised(channel.detach(), rules)

        own_root = tier in ("linux-full", "linux-ns")
        fill_holes()

        def filter(paths: Literal["allowed", "refused", "fatal"]) -> SampleFilter:
            return SampleFilter(paths=paths, own_root=own_root, reserved_exit=protocol.NOT_JAILED)

        # Code without a folder ends where it asks for a file: what it would do without might be scored differently elsewhere.
        filters = (filter("refused" if tier == "linux-strict" else "allowed"), filter("fatal"))
        jail = sample.Jail(
            slots=slots, rules=rules, filters=None if tier == "unsandboxed" else filters, template_bytes=template_bytes, limits=limits, processes=processes,
            parent=0 if own_root else server,
        )  # fmt: skip
        template = Template(channel, jail, folders, server)
        seeding.install()
        output.install()
        warm()
        freeze()
        os.dup2(1, 2)  # until now the host could read what went wrong
        channel.send(PID.pack(0))
        template.serve()
    except BaseException as error:
        os.write(
            2, f"the template failed: {type(error).__name__}: {error}".encode("utf-8", "backslashreplace")
        )
    finally:
        os._exit(1)


def _tie(server: int) -> None:
    """End when the server does."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(0)


def warm() -> None:
    """Run what every sample runs, so that it need not be looked up, linked and specialised in each."""
    time.localtime()  # the zone's file is read once, where it can be
    code = compile("def grade(sample, item):\n    return 1.0\n", "<grader>", "exec")
    row = b'{"sample": "", "item": {}}'
    for _ in range(20):
        frames.frame_of(code, row, 0, None)
        del sys.modules[frames.NAME]
    if "re" in sys.modules:
        import re

        for _ in range(10):
            re.compile(r"a\d+(b|c)*[d-f]").search("xa12")
            re.purge()
    untrusted.rehearse()


def freeze() -> None:
    """Before a fork: what is here stays here."""
    gc.collect()  # it also empties the lists of freed objects that Python keeps, which lie on many pages
    gc.freeze()


def _raised(channel: int, rules: Sequence[int]) -> tuple[_socket.socket, Sequence[int]]:
    """Both moved out of the way of what comes, in order, and everything else closed."""
    for at, descriptor in enumerate((channel, *rules), _HIGH):
        os.dup2(descriptor, at, inheritable=False)
    end = _HIGH + 1 + len(rules)
    os.closerange(3, _HIGH)
    os.closerange(end, 65536)
    return _socket.socket(fileno=_HIGH), range(_HIGH + 1, end)
