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
from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace

from graders_sandbox import folders, modules, protocol
from graders_sandbox.linux import sys as kernel

from . import sample, template
from .confinement import FAILED, Confinement

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import Any, NoReturn

COMPILE_S = 20.0  # for a source of any allowed size; more is an attack on the compiler
NEAR_LIMIT = 0.9  # of its memory: a process that is killed there was killed for what it used
IDLE = 2  # children that wait for a sample, jailed already
_BUFFER = bytearray(65536)
_POLLIN = 1  # select's
_NEVER = float("inf")  # a deadline
CLEANING = 1  # folders of one sample's children that may be emptied at once, before it gets another child


class Unfit(Exception):
    """A module was loaded with which a server must not fork."""


# Plain namespaces: dataclasses would bring a megabyte and a half into what every sample is a fork of.
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


class Janitor(SimpleNamespace):
    """A child that empties a folder, and the asker whose child has left it."""

    slot: int
    asker: Asker | None


class Server:
    """The loop. `settings` is the host's first message (see host/start.py)."""

    def __init__(self, control: _socket.socket, parent: int, settings: dict[str, Any]) -> None:
        self.control = control
        self.parent = parent
        self.limits: dict[str, Any] = settings["limits"]
        self.slots: list[str] = settings["slots"]
        self.modules: list[str] = settings["modules"]
        self.paths: list[str] = settings["paths"]
        self.jail = Confinement(settings["tier"], self.limits, self.slots, settings["shown"], self.paths)
        self.idle_kept: int = settings["idle"]
        # Children of samples. Without Landlock their neighbours' folders would be in reach: then they need no slot either.
        self.child_files = bool(self.slots) and (self.jail.landlocked or not self.jail.jailed)
        self.at_once: int = settings["at_once"]
        self.under_way = 0  # samples, without the children of samples
        self.free = list(range(settings["slots_count"]))
        self.sources: dict[int, Source] = {}
        self.running: dict[int, Running] = {}
        self.ordered: deque[Running] = deque()  # from the template, which has still to tell their pids
        self.alarm = _NEVER  # not later than the next deadline
        self.queue: deque[tuple[Source, Work]] = deque()  # until there are fewer under way
        self.idle: list[Idle] = []
        self.recent: deque[int] = deque(maxlen=self.idle_kept or 1)  # sources of the latest samples
        self.janitors: dict[int, Janitor] = {}
        self.discarded: dict[int, int] = {}  # idle children on their way out
        self.templates: dict[int, Source] = {}  # by pid
        self.unready: dict[int, Source] = {}  # by their channel's descriptor
        self.untrusted: Source | None = None
        self.askers: dict[int, Asker] = {}
        self.asking: deque[Asker] = deque()  # who waits for a child
        self.template_pid = 0  # of the one that the others are forked from

    # --- the start ---

    def enter(self) -> None:
        """Go into the jail of this tier. What cannot be set up raises: there is no weaker way on."""
        self.jail.enter(self.parent, self.control)
        # Behind the filter there are no such pairs; and nobody else may hold the template's end, which tells when it is gone.
        self.template, self.template_end = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        # Nor is there a way to make this one. A descriptor, since a handler would run for each child that ends.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        self.ends = kernel.signal_descriptor(signal.SIGCHLD)
        sys.path[:] = self.paths
        self.jail.lock()

    def load(self) -> None:
        """Import the packages, which sources chose, behind the filter, and start the template.

        Raises:
            Unfit: a server must not fork with what was imported.
        """
        # Some packages try out a temporary file while they are imported, so there is a folder for it.
        if self.slots:
            os.environ["TMPDIR"] = self.slots[0]
        template.load(self.modules)
        if self.slots:
            folders.empty(self.slots[0])
        if self.jail.has_threads():
            raise Unfit(
                f"one of {', '.join(self.modules)} started a thread; a server with threads must not fork"
            )
        self.start_template(self.template_end, self.jail.size())

    def give_up(self, kind: bytes, error: BaseException) -> NoReturn:
        """Tell the host why there is no server, and end."""
        reason = str(error) or type(error).__name__
        self.control.send(kind + reason.encode("utf-8", "backslashreplace")[:4000])
        os._exit(FAILED)

    def start_template(self, channel: _socket.socket, size: int) -> None:
        server = os.getpid()
        self.template_pid = os.fork()
        if not self.template_pid:
            processes = (len(self.free) + 4) * (self.limits["threads"] + 1)
            template.start(
                channel, self.jail.rules, server=server, slots=len(self.free), folders=self.slots, template_bytes=size,
                limits=self.limits, processes=processes if self.jail.alone else 0, tier=self.jail.tier,
            )  # fmt: skip
        channel.close()
        self.answer(self.template)

    def answer(self, source: _socket.socket) -> int:
        """What a template says; without it there is no server."""
        data = source.recv(template.PID.size)
        if not data:
            os._exit(FAILED)  # the host starts another server
        number: int = template.PID.unpack(data)[0]
        return max(0, number)

    # --- the loop ---

    def serve(self) -> None:
        import select  # not before the template was forked, which does without

        self.poll = select.poll()
        control, ends = self.control.fileno(), self.ends
        watcher = self.jail.watcher
        found = -1 if watcher is None else watcher.found
        for descriptor in (control, ends, *([found] if watcher is not None else ())):
            self.poll.register(descriptor, _POLLIN)
        while True:
            lacking = self.idle_wanted()
            ready = self.poll.poll(0 if lacking else self.timeout_ms())
            if not ready and lacking:
                self.start_idle(lacking)
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
                elif descriptor in self.unready:
                    self.settle(self.unready[descriptor])
                else:
                    self.asked(descriptor)
            if time.monotonic() >= self.alarm:
                self.enforce()

    def timeout_ms(self) -> float | None:
        if self.alarm == _NEVER:
            return None
        return max(0.0, self.alarm - time.monotonic()) * 1000 + 1

    def message(self) -> bool:
        """Act on one message; False when the host is gone."""
        try:
            data, descriptors = protocol.receive_into(_BUFFER, self.control)
        except OSError:
            return False
        kind = bytes(data[:1])
        if kind == b"J":
            _, run, number, count, wall_s, may_ask = protocol.JOB.unpack(data)
            source = self.sources[number]
            payload, result = descriptors
            work = Work(
                run=run,
                source=number,
                count=count,
                wall_s=wall_s,
                payload=payload,
                result=result,
                may_ask=may_ask,
            )
            if may_ask and self.untrusted is None:
                ahead = modules.MODULES if self.child_files else modules.MODULES_WITHOUT_FILES
                self.untrusted = self.new_template(-1, {"modules": ahead, "patterns": []})
            if source.ready or source.error:
                self.start(source, work)
            else:
                source.waiting.append(work)
        elif kind == b"S":
            number = protocol.NUMBER.unpack_from(data)[1]
            ahead = json.loads(bytes(data[protocol.NUMBER.size :]))
            self.sources[number] = self.new_template(number, ahead, descriptors)
            os.close(descriptors[0])
        elif kind == b"D":
            source = self.sources.pop(protocol.NUMBER.unpack(data)[1])
            self.expect_no_more(source)
            source.channel.close()  # its template's end
            while source.number in self.recent:
                self.recent.remove(source.number)
        elif kind == b"K":
            self.stop(protocol.NUMBER.unpack(data)[1])
        return bool(data)

    def stop(self, run: int) -> None:
        self.learn_all()
        for pid, running in self.running.items():
            if running.run == run:
                return self.kill(pid, running, protocol.BY_HOST)
        waiting = [work for source in self.sources.values() for work in source.waiting]
        for work in (*waiting, *(work for _, work in self.queue)):
            work.dropped = work.dropped or work.run == run
        return None

    def drop(self, work: Work) -> None:
        os.close(work.payload)
        os.close(work.result)

    # --- templates ---

    def new_template(self, number: int, ahead: dict[str, Any], text: Sequence[int] = ()) -> Source:
        """Have a template forked that loads modules and compiles a source. Hostile text may crash it or keep it busy."""
        ours, theirs = _socket.socketpair()
        protocol.send(self.template, b"T", [theirs.fileno()])
        theirs.close()
        pid = self.answer(self.template)
        if not pid:
            os._exit(FAILED)  # the kernel starts no process: another server may find better times
        protocol.send(ours, json.dumps(ahead).encode() + b"\n", text)
        source = Source(
            number=number, channel=ours, pid=pid, deadline=time.monotonic() + COMPILE_S, waiting=[]
        )
        self.templates[pid] = self.unready[ours.fileno()] = source
        self.poll.register(ours, _POLLIN)
        self.alarm = min(self.alarm, source.deadline)
        return source

    def expect_no_more(self, source: Source) -> None:
        """Wait no longer for what a template says of itself."""
        if self.unready.pop(source.channel.fileno(), None) is not None:
            self.poll.unregister(source.channel)

    def settle(self, source: Source) -> None:
        """A template says that it is ready, or why not. One that says nothing has ended: how is heard when it is reaped."""
        said = source.channel.recv(8192)
        if said == template.READY:
            source.ready = True
        elif said:
            source.error = said.decode("utf-8", "replace")
        self.expect_no_more(source)
        if said:
            self.begin(source)

    def begin(self, source: Source) -> None:
        """Do what has waited for a template, or tell why it cannot be done."""
        waiting, source.waiting = source.waiting, []
        for work in waiting:
            self.start(source, work)
        self.start_children()

    def template_ended(self, source: Source, status: int) -> None:
        """Hostile text may crash the compiler; any other end is ours to make good, by another server."""
        if source.channel.fileno() in self.unready:
            self.settle(source)  # it may have said why, and nobody has listened yet
        if source.error or (source.number >= 0 and source.number not in self.sources):
            return  # it is known, or it was told to end
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if source.ready or source.number < 0 or (killed and source.deadline < _NEVER):
            os._exit(FAILED)
        source.error = "the compiler crashed or took too long on this source"
        self.begin(source)

    def start(self, source: Source, work: Work) -> None:
        """Give the work to an idle child, or fork one, or keep it while enough are under way."""
        if work.dropped:
            self.drop(work)
            ended = protocol.EXIT.pack(b"X", work.run, signal.SIGKILL, protocol.BY_HOST, 0.0, 0.0)
            self.control.send(ended)
            return
        if not source.ready:
            self.drop(work)
            text = source.error.encode("utf-8", "backslashreplace")[:8000]
            self.control.send(protocol.NUMBER.pack(b"C", work.run) + text)
            return
        if self.under_way < self.at_once:
            for idle in [idle for idle in self.idle if idle.source == source.number]:
                self.idle.remove(idle)
                if self.hand_over(idle, source, work):
                    return
                self.discard(idle)
        if self.under_way >= self.at_once or not self.free:
            self.queue.append((source, work))
            if self.idle and not self.free:
                self.discard(self.idle.pop(0))
            return
        slot = self.free.pop()
        running, descriptors = self.begun(slot, source, work)
        self.order(source.channel, template.GRADE, slot, descriptors, count=work.count, may_ask=work.may_ask)
        self.ordered.append(running)
        for descriptor in descriptors:
            os.close(descriptor)
        if work.may_ask or self.jail.watcher is not None:  # its pid is wanted now
            self.learn_all()

    def begun(self, slot: int, source: Source, work: Work) -> tuple[Running, list[int]]:
        """The entry of a sample that starts now, and the descriptors to give to it."""
        started = time.monotonic()
        deadline = started + work.wall_s
        running = Running(
            run=work.run, slot=slot, started=started, deadline=deadline, template=source.channel
        )
        self.recent.append(source.number)
        self.alarm = min(self.alarm, running.deadline)
        self.under_way += 1
        descriptors = [work.result, work.payload]
        if work.may_ask:
            ours, theirs = _socket.socketpair()
            ours.setblocking(False)
            running.asker = Asker(channel=ours)
            descriptors.append(theirs.detach())
        return running, descriptors

    def order(
        self, to: _socket.socket, how: bytes, slot: int, descriptors: Sequence[int], *, count: int = 0,
        may_ask: bool = False, memory_bytes: int = 0,
    ) -> None:  # fmt: skip
        """Have a template fork a jailed child. Its answer is due."""
        protocol.send(to, template.FORK.pack(b"F", how, slot, count, may_ask, memory_bytes), descriptors)

    def learn_all(self) -> None:
        """Read the pids of the children that were ordered, waiting for the template where it is behind."""
        while self.ordered:
            self.learn()

    def learn(self) -> None:
        running = self.ordered.popleft()
        pid = self.answer(running.template)
        if pid:
            self.runs(pid, running)
            return
        if running.asker is not None:
            running.asker.channel.close()
        self.under_way -= 1
        self.control.send(protocol.NUMBER.pack(b"N", running.run) + b"the kernel started no process")
        self.give_back(running.slot)

    def runs(self, pid: int, running: Running) -> None:
        self.running[pid] = running
        if running.asker is not None and running.run >= 0:
            running.asker.sample = pid
            self.askers[running.asker.channel.fileno()] = running.asker
            self.poll.register(running.asker.channel, _POLLIN)
        self.note(running.slot, pid)

    # --- idle children ---

    def idle_wanted(self) -> Source | None:
        """Whose template the next idle child is forked from: one waits for each of the latest samples.

        Only when there is nothing else to do: under load a child that waited first is no gain.
        """
        if self.queue or self.running or self.ordered or self.unready or len(self.free) < 2:
            return None
        missing = [*self.recent]
        for idle in self.idle:
            if idle.source in missing:
                missing.remove(idle.source)
        return self.sources[missing[-1]] if missing and self.idle_kept else None

    def start_idle(self, source: Source) -> None:
        recent = [*self.recent]
        for idle in self.idle:
            if idle.source in recent:
                recent.remove(idle.source)
            elif len(self.idle) >= self.idle_kept:
                self.idle.remove(idle)
                self.discard(idle)
                break
        ours, theirs = _socket.socketpair()
        slot = self.free.pop()
        pid = self.fork(source.channel, template.AWAIT, slot, [theirs.fileno()])
        theirs.close()
        if pid:
            self.idle.append(Idle(pid=pid, slot=slot, channel=ours, source=source.number))
        else:
            ours.close()
            self.free.append(slot)
            self.idle_kept = 0  # where processes are short, none waits

    def fork(
        self, to: _socket.socket, how: bytes, slot: int, descriptors: Sequence[int], *, memory_bytes: int = 0
    ) -> int:
        """Order a child and wait for it; its pid, or 0 when there can be none."""
        self.learn_all()
        self.order(to, how, slot, descriptors, memory_bytes=memory_bytes)
        return self.answer(to)

    def hand_over(self, idle: Idle, source: Source, work: Work) -> bool:
        running, descriptors = self.begun(idle.slot, source, work)
        try:
            protocol.send(idle.channel, sample.WORK.pack(work.count), descriptors)
        except OSError:  # it did not get into its jail
            self.under_way -= 1
            if running.asker is not None:
                running.asker.channel.close()
                os.close(descriptors[-1])
            return False
        idle.channel.close()
        for descriptor in descriptors:
            os.close(descriptor)
        self.runs(idle.pid, running)
        return True

    def discard(self, idle: Idle) -> None:
        idle.channel.close()
        with suppress(ProcessLookupError):
            os.kill(idle.pid, signal.SIGKILL)
        self.discarded[idle.pid] = idle.slot

    # --- children of samples, for code of others ---

    def asked(self, descriptor: int) -> None:
        """A sample asks for a child, or to have it ended."""
        asker = self.askers.get(descriptor)
        if asker is None:
            return
        try:
            data = asker.channel.recv(protocol.ASK.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if len(data) != protocol.ASK.size:  # gone, or nonsense
            self.unask(asker)
        elif data[:1] == b"K":
            if (running := self.running.get(asker.child)) is not None:
                self.kill(asker.child, running, protocol.BY_HOST)
        elif asker.child or asker.wanted:  # one at a time
            self.unask(asker)
        else:
            _, wall_s, memory_bytes = protocol.ASK.unpack(data)
            asker.wanted = (wall_s, max(1, min(memory_bytes, self.limits["memory_bytes"])))
            self.asking.append(asker)
            self.start_children()

    def start_children(self) -> None:
        """Give a child to all who wait for one and can have it. Nobody is refused: what is not there yet is waited for."""
        if self.untrusted is None or not self.untrusted.ready:
            return
        for asker in [*self.asking]:
            if not self.child_files:
                self.start_untrusted(asker, template.NO_SLOT)
            elif asker.cleaning >= CLEANING:
                asker.since = asker.since or time.monotonic()
            elif self.free:
                self.start_untrusted(asker, self.free.pop())

    def start_untrusted(self, asker: Asker, slot: int) -> None:
        assert self.untrusted is not None
        assert asker.wanted is not None
        wall_s, memory_bytes = asker.wanted
        self.asking.remove(asker)
        asker.wanted = None
        parent = self.running[asker.sample]
        ours, theirs = _socket.socketpair()
        channel, started = self.untrusted.channel, time.monotonic()
        waited_s = started - asker.since if asker.since else 0.0
        asker.since = 0.0
        if wall_s <= waited_s:
            ours.close()
            theirs.close()
            if slot >= 0:
                self.free.append(slot)
            self.tell(asker, protocol.TOLD.pack(b"X", 0, protocol.BY_DEADLINE, waited_s))
            return
        pid = 0
        if started <= parent.deadline:  # else this server was late, and the sample did not have its time
            pid = self.fork(channel, template.UNTRUSTED, slot, [theirs.fileno()], memory_bytes=memory_bytes)
        theirs.close()
        if pid:
            asker.child = pid
            deadline = min(parent.deadline, started + wall_s - waited_s)
            self.alarm = min(self.alarm, deadline)
            running = Running(
                run=-1, slot=slot, started=started, deadline=deadline, template=channel, asker=asker
            )
            self.runs(pid, running)
            self.tell(asker, protocol.TOLD.pack(b"O", 0, 0, waited_s), [ours.fileno()])
        else:
            out_of_time = started > parent.deadline and waited_s
            self.kill(asker.sample, parent, protocol.BY_DEADLINE if out_of_time else protocol.BY_FAULT)
            if slot >= 0:
                self.free.append(slot)
        ours.close()

    def tell(self, asker: Asker, message: bytes, descriptors: list[int] | None = None) -> None:
        with suppress(OSError):  # a sample that does not read its answers gets none
            protocol.send(asker.channel, message, descriptors or ())

    def unask(self, asker: Asker) -> None:
        """The sample has ended or lost its right to ask: so does its child."""
        if self.askers.pop(asker.channel.fileno(), None) is None:
            return
        self.poll.unregister(asker.channel)
        asker.channel.close()
        if asker.wanted:
            self.asking.remove(asker)
        if (running := self.running.get(asker.child)) is not None:
            self.kill(asker.child, running, protocol.BY_HOST)

    # --- ends ---

    def reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            while self.ordered and not self.knows(pid):
                self.learn()
            if pid in self.running:
                self.over(pid, status, used)
            elif pid in self.janitors:
                janitor = self.janitors.pop(pid)
                if janitor.asker is not None:
                    janitor.asker.cleaning -= 1
                if status:
                    self.retire(janitor.slot)
                else:
                    self.give_back(janitor.slot)
            elif pid in self.discarded:
                self.give_back(self.discarded.pop(pid))
            elif pid == self.template_pid:
                os._exit(FAILED)
            elif pid in self.templates:
                self.template_ended(self.templates.pop(pid), status)
            else:
                self.idle_ended(pid)

    def knows(self, pid: int) -> bool:
        """Whether a child that has ended is none of those whose pids the template has still to tell."""
        return (
            pid in self.running or pid in self.templates or pid in self.janitors or pid in self.discarded
            or any(idle.pid == pid for idle in self.idle) or pid == self.template_pid
        )  # fmt: skip

    def over(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        running = self.running.pop(pid)
        wall_s = time.monotonic() - running.started
        cpu_s = used.ru_utime + used.ru_stime
        if status == signal.SIGKILL and not running.ended and self.jail.jailed:
            running.ended = self.killed_by(cpu_s, used.ru_maxrss * 1024)
        if not self.jail.jailed:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what it started
        self.note(running.slot, 0)
        if running.run >= 0:
            self.under_way -= 1
            self.start_queued()
            self.control.send(protocol.EXIT.pack(b"X", running.run, status, running.ended, wall_s, cpu_s))
            if running.asker is not None:
                self.unask(running.asker)
        elif (asker := running.asker) is not None:
            asker.child = 0
            parent = self.running.get(asker.sample)
            unjailed = self.jail.jailed and status == protocol.NOT_JAILED << 8
            if parent is not None and status == signal.SIGSYS and self.jail.jailed and not self.child_files:
                self.kill(asker.sample, parent, protocol.BY_REFUSAL)
            elif parent is not None and (unjailed or running.ended == protocol.BY_FAULT):
                self.kill(asker.sample, parent, protocol.BY_FAULT)
            self.tell(asker, protocol.TOLD.pack(b"X", status, running.ended, 0.0))
        self.clear(running.slot, running.asker if running.run < 0 else None)

    def killed_by(self, cpu_s: float, peak_bytes: int) -> int:
        """Whether a kill that nobody here sent is the program's doing, by the kernel's accounts of it.

        No program can send it: behind the filter the signal is refused, also to itself.
        """
        at_limit = cpu_s >= self.limits["cpu_s"] or peak_bytes >= NEAR_LIMIT * self.limits["memory_bytes"]
        return protocol.BY_ITSELF if at_limit else protocol.BY_FAULT

    def idle_ended(self, pid: int) -> None:
        for idle in self.idle:
            if idle.pid == pid:  # it could not enter its jail: the fork under a sample will say why
                self.idle.remove(idle)
                idle.channel.close()
                self.idle_kept = 0
                self.give_back(idle.slot)
                return

    def clear(self, slot: int, asker: Asker | None) -> None:
        """Give a slot back, empty. Deleting many files takes long, so a child does it."""
        if slot < 0:
            return
        if not self.slots:
            self.give_back(slot)
            return
        folder = self.slots[slot]
        try:
            os.chmod(folder, 0o700)  # its last owner may have closed it, and the next would not get in
            if self.is_empty(folder):
                self.give_back(slot)
                return
        except OSError:
            pass
        try:
            pid = os.fork()
        except OSError:
            self.retire(slot)
            return
        if not pid:
            try:
                kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
                os._exit(0 if folders.empty(folder) else 1)
            finally:
                os._exit(1)
        self.janitors[pid] = Janitor(slot=slot, asker=asker)
        if asker is not None:
            asker.cleaning += 1

    def is_empty(self, folder: str) -> bool:
        if self.jail.namespaced:  # it is a file system of its own, which counts for us
            counted = os.statvfs(folder)
            return counted.f_files - counted.f_ffree == 1
        return not os.listdir(folder)

    def give_back(self, slot: int) -> None:
        self.free.append(slot)
        self.start_children()
        self.start_queued()

    def start_queued(self) -> None:
        while self.queue and self.free and self.under_way < self.at_once:
            self.start(*self.queue.popleft())

    def retire(self, slot: int) -> None:
        """A folder that cannot be emptied is not given to anybody. Without any left the host starts another server."""
        self.slots[slot] = ""
        if not self.free and not self.running and not self.ordered and not self.janitors and not self.idle:
            os._exit(FAILED)

    def enforce(self) -> None:
        self.learn_all()
        now = time.monotonic()
        for pid, running in self.running.items():
            if not running.ended and now >= running.deadline:
                asker = running.asker
                # Who could not have a child for want of a slot has run out of our time, not of its own.
                starved = asker is not None and asker in self.asking and not asker.cleaning
                self.kill(pid, running, protocol.BY_FAULT if starved else protocol.BY_DEADLINE)
        for source in self.unready.values():
            if now >= source.deadline:
                os.kill(source.pid, signal.SIGKILL)
                source.deadline = _NEVER
        ends = [running.deadline for running in self.running.values() if not running.ended]
        if (watcher := self.jail.watcher) is not None:
            if now >= watcher.deadline:
                os._exit(FAILED)  # it was stopped: nothing bounds what samples write
            ends.append(watcher.deadline)
        self.alarm = min([*ends, *(source.deadline for source in self.unready.values())], default=_NEVER)

    def kill(self, pid: int, running: Running, why: int) -> None:
        if not running.ended:
            running.ended = why
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def note(self, slot: int, pid: int) -> None:
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


def main() -> None:
    # A caller that ignores the ends of its children, or holds signals back, hands that down to what it starts.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    control = _socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(control.recv(1 << 20))
    os.environ.pop("LD_BIND_NOW", None)  # has done its work
    # `site` does this, and more that takes longer than all the rest.
    sys.prefix, sys.exec_prefix = settings["prefixes"]
    builtins.exit = builtins.quit = _sitebuiltins.Quitter("exit", "exit()")
    server = Server(control, int(sys.argv[2]), settings)
    sys.argv[:] = [""]  # some modules read the command line when they are imported
    try:
        server.enter()
    except BaseException as error:
        server.give_up(b"F", error)
    control.send(b"L" + json.dumps({"tier": server.jail.tier, "notes": server.jail.notes}).encode())
    try:
        server.load()
    except BaseException as error:
        server.give_up(b"T", error)
    # Until now the host could read what went wrong.
    os.dup2(1, 2)
    control.send(b"R")
    try:
        server.serve()
    finally:
        for pid in (
            server.template_pid,
            *server.running,
            *server.templates,
            *server.janitors,
            *(idle.pid for idle in server.idle),
        ):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)
