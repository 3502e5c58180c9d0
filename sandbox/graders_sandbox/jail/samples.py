"""The life cycle of samples and their children."""

from __future__ import annotations

import _socket
import os
import resource
import signal
import time
from collections import deque
from contextlib import suppress

from graders_sandbox import protocol

from . import template
from .children import SampleChildren
from .confinement import Confinement
from .idle import IdleChildren
from .records import NEVER, Asker, RunningProcess, Source, Work
from .slots import Slots
from .templates import Templates

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from select import poll

NEAR_LIMIT = 0.9  # of its memory: a process that is killed there was killed for what it used


class Samples:
    """Starts requested samples, as many at once as allowed, and reports their ends.

    Args:
        control: The socket to the host.
        at_once: Largest number of samples at once, without their children.
        idle: Idle children.
        first_template: Channel and pid of the first template.
        listened: The poll object in which channels are registered.

    Attributes:
        running: Samples and their children, by pid.
        queue: Work that waits until fewer samples run.
        alarm: A time that is not later than the next deadline.
    """

    def __init__(
        self, control: _socket.socket, jail: Confinement, slots: Slots, listened: poll,
        first_template: tuple[_socket.socket, int], *, at_once: int, idle: int,
    ) -> None:  # fmt: skip
        self.control = control
        self.jail = jail
        self.limits = jail.limits
        self.slots = slots
        self.at_once = at_once
        self.under_way = 0  # samples, without the children of samples
        self.running: dict[int, RunningProcess] = {}
        self.queue: deque[tuple[Source, Work]] = deque()
        self.alarm = NEVER
        self.templates = Templates(*first_template, listened, self.on_fork)
        self.idle = IdleChildren(idle, self.templates, slots)
        # without Landlock a child could reach its neighbours' folders
        self.child_files = bool(jail.slots) and (jail.landlocked or not jail.jailed)
        self.children = SampleChildren(
            files=self.child_files,
            jailed=jail.jailed,
            memory_bytes=self.limits["memory_bytes"],
            slots=slots,
            templates=self.templates,
            listened=listened,
            running=self.running,
            started=self.register,
            kill=self.kill,
        )

    def begin(self, source: Source) -> None:
        """Start the work that waited for a template, or report why it cannot start."""
        waiting, source.waiting = source.waiting, []
        for work in waiting:
            self.start(source, work)
        self.children.start_waiting()

    def start(self, source: Source, work: Work) -> None:
        """Give work to an idle child or a new one, or queue it while enough samples run."""
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
            self.templates.receive_pids()

    def start_on_idle(self, source: Source, work: Work) -> bool:
        """Give work to an idle child; returns whether there was one."""
        idle = self.idle.take(source)
        if idle is None:
            return False
        running, descriptors = self.reserve(idle.slot, source, work)
        if not self.idle.assign(idle, work.count, descriptors):
            self.under_way -= 1
            if running.asker is not None:
                running.asker.channel.close()
                os.close(descriptors[-1])
            return False
        for descriptor in descriptors:
            os.close(descriptor)
        self.register(idle.pid, running)
        return True

    def reserve(self, slot: int, source: Source, work: Work) -> tuple[RunningProcess, list[int]]:
        """The record of a sample that starts now, and the descriptors to pass to it."""
        started = time.monotonic()
        running = RunningProcess(
            run=work.run, slot=slot, started=started, deadline=started + work.wall_s, template=source.channel
        )
        self.idle.record_start(source)
        self.alarm = min(self.alarm, running.deadline)
        self.under_way += 1
        descriptors = [work.result, work.payload]
        if work.may_ask:
            ours, theirs = _socket.socketpair()
            ours.setblocking(False)
            running.asker = Asker(channel=ours)
            descriptors.append(theirs.detach())
        return running, descriptors

    def on_fork(self, running: RunningProcess, pid: int) -> None:
        """Record the pid of a forked sample, or 0 when the kernel started no process."""
        if pid:
            self.register(pid, running)
            return
        if running.asker is not None:
            running.asker.channel.close()
        self.under_way -= 1
        reason = b"the kernel started no process: `ulimit -u`, or the container's limit of processes, may be too low"
        self.control.send(protocol.NUMBER.pack(b"N", running.run) + reason)
        self.slots.free.append(running.slot)
        self.on_free_slot()

    def register(self, pid: int, running: RunningProcess) -> None:
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

    def stop(self, run: int) -> None:
        """Kill a sample, or drop it before its start."""
        self.templates.receive_pids()
        for pid, running in self.running.items():
            if running.run == run:
                self.kill(pid, running, protocol.BY_HOST)
                return
        waiting = [work for source in self.templates.sources.values() for work in source.waiting]
        for work in (*waiting, *(work for _, work in self.queue)):
            work.dropped = work.dropped or work.run == run

    def on_exit(self, pid: int, status: int, used: resource.struct_rusage) -> None:
        """Handle the end of a sample or of its child."""
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
            self.children.on_end(running, status)
        if self.slots.clear(running.slot, None if is_sample else running.asker):
            self.on_free_slot()

    def killed_by(self, cpu_s: float, peak_bytes: int) -> int:
        """The cause of a SIGKILL that the server did not send, by the kernel's accounting.

        No program can send it: the filter refuses the signal, also to itself.
        """
        at_limit = cpu_s >= self.limits["cpu_s"] or peak_bytes >= NEAR_LIMIT * self.limits["memory_bytes"]
        return protocol.BY_ITSELF if at_limit else protocol.BY_FAULT

    def kill_late(self, now: float) -> float:
        """Kill processes beyond their deadline; returns the next deadline."""
        for pid, running in self.running.items():
            if not running.ended and now >= running.deadline:
                starved = self.children.is_starved(running.asker)
                self.kill(pid, running, protocol.BY_FAULT if starved else protocol.BY_DEADLINE)
        return min((r.deadline for r in self.running.values() if not r.ended), default=NEVER)

    def kill(self, pid: int, running: RunningProcess, why: int) -> None:
        if not running.ended:
            running.ended = why
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def note(self, slot: int, pid: int) -> None:
        """Tell the watcher, if there is one, which process has a slot."""
        if self.jail.watcher is not None and slot >= 0:
            self.jail.watcher.note(slot, pid)
            self.alarm = min(self.alarm, self.jail.watcher.deadline)


def _drop(work: Work) -> None:
    os.close(work.payload)
    os.close(work.result)
