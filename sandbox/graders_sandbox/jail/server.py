"""The server: jailed once, with the templates that fork a process for each sample. It keeps records, enforces deadlines
and empties folders. It never runs untrusted code and never reads a payload.

The host starts it (host/start.py) with FD PARENT and a clean environment. It ends with the control socket, as the host does.
"""

from __future__ import annotations

# All modules for the server and its samples are loaded now, since afterwards their files may be out of reach.
import _sitebuiltins
import _socket
import builtins
import json
import linecache  # noqa: F401  # traceback's, in samples
import os
import signal
import sys
import time
from contextlib import suppress

from graders_sandbox import modules, protocol
from graders_sandbox.linux import sys as kernel

from . import hugepages, loading, template
from .confinement import FAILED, Confinement
from .records import NEVER, Source, Work
from .samples import Samples
from .slots import Slots
from .templates import UNTRUSTED, answer

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_BUFFER = bytearray(65536)
_POLLIN = 1  # select's


class Server:
    """The server's event loop over messages of host, templates, samples and watcher, and over ended processes."""

    def __init__(
        self,
        control: _socket.socket,
        jail: Confinement,
        settings: dict[str, Any],
        first_template: tuple[_socket.socket, int],
    ) -> None:
        self.control = control
        self.jail = jail
        self.slots = Slots(jail.slots, settings["slots_count"], own_file_systems=jail.namespaced)
        import select  # not before the template was forked, which does without

        self.poll = select.poll()
        self.samples = Samples(
            control,
            jail,
            self.slots,
            self.poll,
            first_template,
            at_once=settings["at_once"],
            idle=settings["idle"],
        )
        self.templates = self.samples.templates

    def serve(self) -> None:
        """Serve until the host ends."""
        control, ends, watcher = self.control.fileno(), self.jail.ends, self.jail.watcher
        found = -1 if watcher is None else watcher.found
        for descriptor in (control, ends, *([found] if watcher is not None else ())):
            self.poll.register(descriptor, _POLLIN)
        while True:
            lacking = self.idle_wanted()
            ready = self.poll.poll(0 if lacking else self.timeout_ms())
            if not ready and lacking:
                self.samples.idle.start(lacking)
                continue
            for descriptor, _ in ready:
                if descriptor == ends:
                    os.read(ends, 1024)
                    self.reap()
                elif descriptor == control:
                    if not self.message():
                        return
                elif descriptor == found:
                    self.on_disk_limit()
                elif descriptor in self.templates.unready:
                    source = self.templates.unready[descriptor]
                    if self.templates.settle(source):
                        self.samples.begin(source)
                else:
                    self.samples.children.on_request(descriptor)
            if time.monotonic() >= self.samples.alarm:
                self.enforce()

    def timeout_ms(self) -> float | None:
        if self.samples.alarm == NEVER:
            return None
        return max(0.0, self.samples.alarm - time.monotonic()) * 1000 + 1

    def idle_wanted(self) -> Source | None:
        """The source for a new idle child; only when there is nothing else to do, since under load it gains nothing."""
        if self.samples.queue or self.samples.running or self.templates.ordered or self.templates.unready:
            return None
        return self.samples.idle.missing()

    def message(self) -> bool:
        """Handle one message; returns False when the host has ended."""
        try:
            data, descriptors = protocol.receive_into(_BUFFER, self.control)
        except OSError:
            return False
        kind = bytes(data[:1])
        if kind == b"J":
            _, run, number, count, wall_s, may_ask = protocol.JOB.unpack(data)
            payload, result = descriptors
            work = Work(
                run=run, source=number, count=count, wall_s=wall_s, payload=payload, result=result, may_ask=may_ask
            )  # fmt: skip
            if may_ask and UNTRUSTED not in self.templates.sources:
                ahead = modules.MODULES if self.samples.child_files else modules.MODULES_WITHOUT_FILES
                self.add_source(UNTRUSTED, {"modules": ahead, "patterns": []})
            source = self.templates.sources[number]
            if source.ready or source.error:
                self.samples.start(source, work)
            else:
                source.waiting.append(work)
        elif kind == b"S":
            number = protocol.NUMBER.unpack_from(data)[1]
            self.add_source(number, json.loads(bytes(data[protocol.NUMBER.size :])), *descriptors)
        elif kind == b"D":
            number = protocol.NUMBER.unpack(data)[1]
            self.templates.forget(number)
            self.samples.idle.forget(number)
        elif kind == b"K":
            self.samples.stop(protocol.NUMBER.unpack(data)[1])
        return bool(data)

    def add_source(self, number: int, ahead: dict[str, Any], *text: int) -> None:
        source = self.templates.add(number, ahead, text)
        self.samples.alarm = min(self.samples.alarm, source.deadline)
        for descriptor in text:
            os.close(descriptor)

    def reap(self) -> None:
        """Handle all children that have ended."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            while self.templates.ordered and not self.is_known_child(pid):
                self.templates.receive_pid()
            if pid in self.samples.running:
                self.samples.on_exit(pid, status, used)
                self.end_without_slots()
            elif pid in self.slots.janitors:
                if self.slots.on_janitor_end(pid, status):
                    self.samples.on_free_slot()
                else:
                    self.end_without_slots()
            elif pid in self.templates:
                if (source := self.templates.on_end(pid, status)) is not None:
                    self.samples.begin(source)
            elif pid in self.samples.idle:
                self.samples.idle.on_end(pid)
                self.samples.on_free_slot()

    def is_known_child(self, pid: int) -> bool:
        """Whether an ended child's pid is known, and not one that a template has yet to report."""
        return (
            pid in self.samples.running
            or pid in self.templates
            or pid in self.slots.janitors
            or pid in self.samples.idle
        )

    def end_without_slots(self) -> None:
        """End the server when no usable folder is left; the host starts another one."""
        if self.slots.free or self.slots.janitors or not self.jail.slots:
            return
        if self.samples.idle.pids:
            if self.samples.queue:
                self.samples.idle.make_room()
        elif not self.samples.running and not self.templates.ordered:
            os._exit(FAILED)

    def enforce(self) -> None:
        """Enforce deadlines; a silent watcher ends the server."""
        self.templates.receive_pids()
        now = time.monotonic()
        ends = [self.samples.kill_late(now), self.templates.end_late(now)]
        if (watcher := self.jail.watcher) is not None:
            if now >= watcher.deadline:
                os._exit(FAILED)  # it was stopped: nothing bounds what samples write
            ends.append(watcher.deadline)
        self.samples.alarm = min(ends)

    def on_disk_limit(self) -> None:
        """Kill the samples that the watcher reports for their disk use."""
        watcher = self.jail.watcher
        if watcher is None or (over := watcher.over_limit()) is None:
            os._exit(FAILED)  # without a watcher there is no bound
        for slot, pid in over:
            running = self.samples.running.get(pid)
            if running is not None and running.slot == slot:
                self.samples.kill(pid, running, protocol.BY_DISK)

    def end_all(self) -> None:
        for pid in (
            *self.templates.pids,
            *self.samples.running,
            *self.slots.janitors,
            *self.samples.idle.pids,
        ):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _first_template(jail: Confinement, settings: dict[str, Any]) -> tuple[_socket.socket, int]:
    """Fork the first template, with the packages; returns its channel and pid."""
    channel, theirs = jail.template_ends
    memory = jail.accounts.own_memory()
    processes = (settings["slots_count"] + 4) * (jail.limits["threads"] + 1)
    samples_jail = template.prepare(
        tier=jail.tier,
        slots=settings["slots_count"],
        rules=len(jail.rules),
        template_bytes=jail.accounts.size(),
        limits=jail.limits,
        processes=processes if jail.alone else 0,
    )
    # without packages it is so little that huge pages gain nothing
    if settings["modules"]:
        hugepages.use(memory)
    server = os.getpid()
    pid = kernel.fork()
    if not pid:
        template.start(theirs, jail.rules, samples_jail, jail.slots, server)
    theirs.close()
    answer(channel)
    return channel, pid


def _fail(control: _socket.socket, kind: bytes, error: BaseException) -> NoReturn:
    """Tell the host why the server cannot start, and exit."""
    reason = str(error) or type(error).__name__
    control.send(kind + reason.encode("utf-8", "backslashreplace")[:4000])
    os._exit(FAILED)


def main() -> None:
    """Run a server with the settings in the host's first message."""
    # the caller's ignored or blocked signals are inherited, so they are reset
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    control = _socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(control.recv(1 << 20))
    os.environ.pop("LD_BIND_NOW", None)  # has done its work
    # as `site` does, whose other work takes longer than the rest of the start
    sys.prefix, sys.exec_prefix = settings["prefixes"]
    builtins.exit = builtins.quit = _sitebuiltins.Quitter("exit", "exit()")
    parent = int(sys.argv[2])
    sys.argv[:] = [""]  # some modules read the command line when they are imported
    jail = Confinement(
        tier=settings["tier"],
        limits=settings["limits"],
        slots=settings["slots"],
        shown=settings["shown"],
        paths=settings["paths"],
    )
    try:
        jail.enter(parent, control)
        sys.path[:] = settings["paths"]
        jail.lock()
    except BaseException as error:
        _fail(control, b"F", error)
    control.send(b"L" + json.dumps({"tier": jail.tier, "notes": jail.notes}).encode())
    kind = b"T"
    try:
        loading.preload(settings["modules"], jail)
        # from here on it is not the packages' fault
        kind = b"E"
        server = Server(control, jail, settings, _first_template(jail, settings))
    except BaseException as error:
        _fail(control, kind, error)
    # until here errors go to the host
    os.dup2(1, 2)
    control.send(b"R")
    try:
        server.serve()
    finally:
        server.end_all()
        os._exit(0)
