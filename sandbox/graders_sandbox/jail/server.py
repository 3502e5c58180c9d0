"""The server: jailed once together with its templates, which it tells to fork for each sample. It keeps the books, ends
what has run too long and empties folders. It never runs untrusted code and never reads a payload.

Started by the host (host/start.py) with FD PARENT as arguments and nothing of the host in its environment. Its lifetime is the
control socket's: when the host is gone, the socket ends and so do the server and everything below it.
"""

from __future__ import annotations

# Everything the server and its samples need is loaded now: afterwards there may be no file to load it from.
import _sitebuiltins
import _socket
import builtins
import json
import linecache  # noqa: F401  # traceback's, in samples
import os
import resource
import signal
import sys
import time
from collections import deque
from contextlib import suppress

from graders_sandbox import folders, modules, protocol

from . import template
from .children import SampleChildren
from .confinement import FAILED, Confinement
from .idle import IdleChildren
from .records import NEVER, Asker, Running, Source, Work
from .slots import Slots
from .templates import UNTRUSTED, Templates, answer

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import Any, NoReturn

NEAR_LIMIT = 0.9  # of its memory: a process that is killed there was killed for what it used
_BUFFER = bytearray(65536)
_POLLIN = 1  # select's


class ForkUnsafe(Exception):
    """A module was loaded with which a server must not fork."""


class Server:
    """Samples that the host asked for, from their coming to their end."""

    def __init__(
        self, control: _socket.socket, jail: Confinement, slots: Slots, settings: dict[str, Any]
    ) -> None:
        self.control = control
        self.jail = jail
        self.limits = jail.limits
        self.slots = slots
        self.at_once: int = settings["at_once"]
        self.under_way = 0  # samples, without the children of samples
        self.running: dict[int, Running] = {}
        self.queue: deque[tuple[Source, Work]] = deque()  # until there are fewer under way
        self.alarm = NEVER  # not later than the next deadline
        template_channel, pid = _first_template(jail, slots)
        import select  # not before the template was forked, which does without

        self.poll = select.poll()
        self.templates = Templates(template_channel, pid, self.poll, self.on_fork)
        self.idle = IdleChildren(settings["idle"], self.templates, slots)
        # Without Landlock a child's neighbours' folders would be in reach.
        self.child_files = bool(jail.slots) and (jail.landlocked or not jail.jailed)
        self.children = SampleChildren(
            files=self.child_files, jailed=jail.jailed, memory_bytes=self.limits["memory_bytes"], slots=slots,
            templates=self.templates, listened=self.poll, running=self.running, started=self.register, kill=self.kill,
        )  # fmt: skip

    # --- the loop ---

    def serve(self) -> None:
        """Until the host is gone."""
        control, ends, watcher = self.control.fileno(), self.jail.ends, self.jail.watcher
        found = -1 if watcher is None else watcher.found
        for descriptor in (control, ends, *([found] if watcher is not None else ())):
            self.poll.register(descriptor, _POLLIN)
        while True:
            lacking = self.idle_wanted()
            ready = self.poll.poll(0 if lacking else self.timeout_ms())
            if not ready and lacking:
                self.idle.start(lacking)
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
                        self.begin(source)
                else:
                    self.children.on_request(descriptor)
            if time.monotonic() >= self.alarm:
                self.enforce()

    def timeout_ms(self) -> float | None:
        if self.alarm == NEVER:
            return None
        return max(0.0, self.alarm - time.monotonic()) * 1000 + 1

    def idle_wanted(self) -> Source | None:
        """Only when there is nothing else to do: under load a child that waited first is no gain."""
        if self.queue or self.running or self.templates.ordered or self.templates.unready:
            return None
        return self.idle.missing()

    def message(self) -> bool:
        """Act on one message; False when the host is gone."""
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
                ahead = modules.MODULES if self.child_files else modules.MODULES_WITHOUT_FILES
                self.add_source(UNTRUSTED, {"modules": ahead, "patterns": []})
            source = self.templates.sources[number]
            if source.ready or source.error:
                self.start(source, work)
            else:
                source.waiting.append(work)
        elif kind == b"S":
            number = protocol.NUMBER.unpack_from(data)[1]
            self.add_source(number, json.loads(bytes(data[protocol.NUMBER.size :])), *descriptors)
        elif kind == b"D":
            number = protocol.NUMBER.unpack(data)[1]
            self.templates.forget(number)
            self.idle.forget(number)
        elif kind == b"K":
            self.stop(protocol.NUMBER.unpack(data)[1])
        return bool(data)

    def add_source(self, number: int, ahead: dict[str, Any], *text: int) -> None:
        source = self.templates.add(number, ahead, text)
        self.alarm = min(self.alarm, source.deadline)
        for descriptor in text:
            os.close(descriptor)

    def stop(self, run: int) -> None:
        """End a sample, or drop it before its start."""
        self.templates.hear_all()
        for pid, running in self.running.items():
            if running.run == run:
                self.kill(pid, running, protocol.BY_HOST)
                return
        waiting = [work for source in self.templates.sources.values() for work in source.waiting]
        for work in (*waiting, *(work for _, work in self.queue)):
            work.dropped = work.dropped or work.run == run

    # --- starts ---

    def begin(self, source: Source) -> None:
        """Do what has waited for a template, or tell why it cannot be done."""
        waiting, source.waiting = source.waiting, []
        for work in waiting:
            self.start(source, work)
        self.children.start_waiting()

    def start(self, source: Source, work: Work) -> None:
        """Give the work to an idle child, or fork one, or keep it while enough are under way."""
        if work.dropped:
            _drop(work)
            ended = protocol.EXIT.pack(b"X", work.run, signal.SIGKILL, protocol.BY_HOST, 0.0, 0.0)
            self.control.send(ended)
            return
        if not source.ready:
            _drop(work)
            text = source.error.encode("utf-8", "backslashreplace")[:8000]
            self.control.send(protocol.NUMBER.pack(b"C", work.run) + text)
            return
        if self.under_way < self.at_once and self.start_on_idle(source, work):
            return
        if self.under_way >= self.at_once or not self.slots.free:
            self.queue.append((source, work))
            if not self.slots.free:
                self.idle.make_room()
            return
        running, descriptors = self.reserve(self.slots.free.pop(), source, work)
        self.templates.order(running, template.GRADE, descriptors, count=work.count, may_ask=work.may_ask)
        for descriptor in descriptors:
            os.close(descriptor)
        if work.may_ask or self.jail.watcher is not None:  # its pid is wanted now
            self.templates.hear_all()

    def start_on_idle(self, source: Source, work: Work) -> bool:
        """Whether a child that waited has got the work."""
        idle = self.idle.take(source)
        if idle is None:
            return False
        running, descriptors = self.reserve(idle.slot, source, work)
        if not self.idle.hand_over(idle, work.count, descriptors):
            self.under_way -= 1
            if running.asker is not None:
                running.asker.channel.close()
                os.close(descriptors[-1])
            return False
        for descriptor in descriptors:
            os.close(descriptor)
        self.register(idle.pid, running)
        return True

    def reserve(self, slot: int, source: Source, work: Work) -> tuple[Running, list[int]]:
        """The entry of a sample that starts now, and the descriptors to give to it."""
        started = time.monotonic()
        running = Running(
            run=work.run, slot=slot, started=started, deadline=started + work.wall_s, template=source.channel
        )
        self.idle.ran(source)
        self.alarm = min(self.alarm, running.deadline)
        self.under_way += 1
        descriptors = [work.result, work.payload]
        if work.may_ask:
            ours, theirs = _socket.socketpair()
            ours.setblocking(False)
            running.asker = Asker(channel=ours)
            descriptors.append(theirs.detach())
        return running, descriptors

    def on_fork(self, running: Running, pid: int) -> None:
        """A template says the pid of a sample, or 0 when the kernel started no process."""
        if pid:
            self.register(pid, running)
            return
        if running.asker is not None:
            running.asker.channel.close()
        self.under_way -= 1
        said = b"the kernel started no process: `ulimit -u`, or the container's limit of processes, may be too low"
        self.control.send(protocol.NUMBER.pack(b"N", running.run) + said)
        self.slots.free.append(running.slot)
        self.on_free_slot()

    def register(self, pid: int, running: Running) -> None:
        self.running[pid] = running
        self.alarm = min(self.alarm, running.deadline)
        if running.asker is not None and running.run >= 0:
            self.children.allow(running.asker, pid)
        self.note(running.slot, pid)

    def on_free_slot(self) -> None:
        self.children.start_waiting()
        self.start_queued()

    def start_queued(self) -> None:
        while self.queue and self.slots.free and self.under_way < self.at_once:
            self.start(*self.queue.popleft())

    # --- ends ---

    def reap(self) -> None:
        """Children that have ended."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            while self.templates.ordered and not self.is_known_child(pid):
                self.templates.hear()
            if pid in self.running:
                self.on_exit(pid, status, used)
            elif pid in self.slots.janitors:
                if self.slots.janitor_ended(pid, status):
                    self.on_free_slot()
                else:
                    self.end_without_slots()
            elif pid in self.templates:
                if (source := self.templates.ended(pid, status)) is not None:
                    self.begin(source)
            elif pid in self.idle:
                self.idle.ended(pid)
                self.on_free_slot()

    def is_known_child(self, pid: int) -> bool:
        """Whether a child that has ended is none of those whose pids a template has still to tell."""
        return pid in self.running or pid in self.templates or pid in self.slots.janitors or pid in self.idle

    def on_exit(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        """A sample, or a child of one, has ended."""
        running = self.running.pop(pid)
        wall_s = time.monotonic() - running.started
        cpu_s = used.ru_utime + used.ru_stime
        if status == signal.SIGKILL and not running.ended and self.jail.jailed:
            running.ended = self.killed_by(cpu_s, used.ru_maxrss * 1024)
        if not self.jail.jailed:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what it started
        self.note(running.slot, 0)
        is_sample = running.run >= 0
        if is_sample:
            self.under_way -= 1
            self.start_queued()
            self.control.send(protocol.EXIT.pack(b"X", running.run, status, running.ended, wall_s, cpu_s))
            if running.asker is not None:
                self.children.revoke(running.asker)
        else:
            self.children.ended(running, status)
        if self.slots.clear(running.slot, None if is_sample else running.asker):
            self.on_free_slot()
        else:
            self.end_without_slots()

    def killed_by(self, cpu_s: float, peak_bytes: int) -> int:
        """Whether a kill that nobody here sent is the program's doing, by the kernel's accounts of it.

        No program can send it: behind the filter the signal is refused, also to itself.
        """
        at_limit = cpu_s >= self.limits["cpu_s"] or peak_bytes >= NEAR_LIMIT * self.limits["memory_bytes"]
        return protocol.BY_ITSELF if at_limit else protocol.BY_FAULT

    def end_without_slots(self) -> None:
        """Where no folder is left that could be emptied, the host starts another server."""
        waiting = self.slots.free or self.slots.janitors or self.idle.pids
        if self.jail.slots and not waiting and not self.running and not self.templates.ordered:
            os._exit(FAILED)

    def enforce(self) -> None:
        """End what has run too long; a watcher that says nothing ends the server."""
        self.templates.hear_all()
        now = time.monotonic()
        for pid, running in self.running.items():
            if not running.ended and now >= running.deadline:
                starved = self.children.is_starved(running.asker)
                self.kill(pid, running, protocol.BY_FAULT if starved else protocol.BY_DEADLINE)
        ends = [running.deadline for running in self.running.values() if not running.ended]
        ends.append(self.templates.end_late(now))
        if (watcher := self.jail.watcher) is not None:
            if now >= watcher.deadline:
                os._exit(FAILED)  # it was stopped: nothing bounds what samples write
            ends.append(watcher.deadline)
        self.alarm = min(ends)

    def kill(self, pid: int, running: Running, why: int) -> None:
        if not running.ended:
            running.ended = why
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def note(self, slot: int, pid: int) -> None:
        """Tell the watcher, if there is one, whose slot it is."""
        if self.jail.watcher is not None and slot >= 0:
            self.jail.watcher.note(slot, pid)
            self.alarm = min(self.alarm, self.jail.watcher.deadline)

    def on_disk_limit(self) -> None:
        """The watcher says that samples have too much on disk."""
        watcher = self.jail.watcher
        if watcher is None or (over := watcher.over_limit()) is None:
            os._exit(FAILED)  # without a watcher there is no bound
        for slot, pid in over:
            running = self.running.get(pid)
            if running is not None and running.slot == slot:
                self.kill(pid, running, protocol.BY_DISK)

    def end_all(self) -> None:
        for pid in (*self.templates.pids, *self.running, *self.slots.janitors, *self.idle.pids):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _drop(work: Work) -> None:
    os.close(work.payload)
    os.close(work.result)


def _load(jail: Confinement, packages: list[str]) -> None:
    """Import the packages, which sources chose, behind the filter.

    Raises:
        ForkUnsafe: a server must not fork with what was imported.
    """
    # Some packages try out a temporary file while they are imported, so there is a folder for it.
    if jail.slots:
        os.environ["TMPDIR"] = jail.slots[0]
    template.load(packages)
    if jail.slots:
        folders.empty(jail.slots[0])
    if jail.has_threads():
        raise ForkUnsafe(
            f"one of {', '.join(packages)} started a thread; a server with threads must not fork"
        )


def _first_template(jail: Confinement, slots: Slots) -> tuple[_socket.socket, int]:
    """Fork the template that knows the packages; the channel to it, and its pid."""
    channel, theirs = jail.template_ends
    server, count, size = os.getpid(), len(slots.free), jail.size()
    pid = os.fork()
    if not pid:
        processes = (count + 4) * (jail.limits["threads"] + 1)
        template.start(
            theirs, jail.rules, server=server, slots=count, folders=jail.slots, template_bytes=size,
            limits=jail.limits, processes=processes if jail.alone else 0, tier=jail.tier,
        )  # fmt: skip
    theirs.close()
    answer(channel)
    return channel, pid


def _give_up(control: _socket.socket, kind: bytes, error: BaseException) -> NoReturn:
    """Tell the host why there is no server, and end."""
    reason = str(error) or type(error).__name__
    control.send(kind + reason.encode("utf-8", "backslashreplace")[:4000])
    os._exit(FAILED)


def main() -> None:
    """Be a server, as the host's first message says."""
    # A caller that ignores the ends of its children, or holds signals back, hands that down to what it starts.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    control = _socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(control.recv(1 << 20))
    os.environ.pop("LD_BIND_NOW", None)  # has done its work
    # `site` does this, and more that takes longer than all the rest.
    sys.prefix, sys.exec_prefix = settings["prefixes"]
    builtins.exit = builtins.quit = _sitebuiltins.Quitter("exit", "exit()")
    parent = int(sys.argv[2])
    sys.argv[:] = [""]  # some modules read the command line when they are imported
    jail = Confinement(
        settings["tier"], settings["limits"], settings["slots"], settings["shown"], settings["paths"]
    )
    try:
        jail.enter(parent, control)
        sys.path[:] = settings["paths"]
        jail.lock()
    except BaseException as error:
        _give_up(control, b"F", error)
    control.send(b"L" + json.dumps({"tier": jail.tier, "notes": jail.notes}).encode())
    try:
        _load(jail, settings["modules"])
        slots = Slots(jail.slots, settings["slots_count"], own_file_systems=jail.namespaced)
        server = Server(control, jail, slots, settings)
    except BaseException as error:
        _give_up(control, b"T", error)
    # Until now the host could read what went wrong.
    os.dup2(1, 2)
    control.send(b"R")
    try:
        server.serve()
    finally:
        server.end_all()
        os._exit(0)
