"""Handles servers' messages, which lead to an outcome, a retry, or another tier."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from graders_sandbox import protocol
from graders_sandbox.limits import Limits, Outcome

from . import results
from .choice import TierChoice
from .servers import EXIT_S, Server, ServerSet
from .tasks import ATTEMPTS, SampleRun, TaskQueue

log = logging.getLogger("graders_sandbox")

#: At most, and half of what a sample takes, since servers have as many queued as they run.
GATHER_S = 0.002


class AnswerHandler:
    """Reads servers' messages and settles their tasks. Used by the pool's thread only.

    Args:
        close_run: Closes a run's result pipe and unregisters it.

    Attributes:
        gather_s: Seconds for which messages may be gathered while servers have samples queued.
    """

    def __init__(
        self,
        queue: TaskQueue,
        servers: ServerSet,
        choice: TierChoice,
        limits: Limits,
        close_run: Callable[[SampleRun], None],
    ) -> None:
        self._queue = queue
        self._servers = servers
        self._choice = choice
        self._limits = limits
        self._close_run = close_run
        # consecutive servers that ended without a reason
        self._failed_starts = 0
        self.gather_s = 0.0
        self._buffer = memoryview(bytearray(65536))

    def messages(self, server: Server) -> None:
        """Handle the messages that have arrived; an empty one means that the server has ended."""
        while server in self._servers:
            try:
                size = server.control.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            self._message(server, bytes(self._buffer[:size]))

    def _message(self, server: Server, data: bytes) -> None:
        kind = data[:1]
        if kind == b"X":
            _, number, status, ended, wall_s, cpu_s = protocol.EXIT.unpack(data)
            self.gather_s = min(GATHER_S, wall_s / 2)
            run = server.running.pop(number)
            server.reset_watchdog()
            self._on_exit(server, run, status, ended, wall_s, cpu_s)
        elif kind == b"C":
            self._on_compile_error(server, data)
        elif kind == b"N":
            run = server.running.pop(protocol.NUMBER.unpack_from(data)[1])
            self._close_run(run)
            self._queue.pause()
            self._queue.retry(run.tasks, data[protocol.NUMBER.size :].decode(), self._choice.tier)
        elif kind == b"L":
            server.jailed = True
            about = json.loads(data[1:])
            self._choice.works(about["tier"], about["notes"])
        elif kind == b"R":
            server.ready = True
            self._failed_starts = 0
        elif kind == b"T" and self._preloads(server):
            self._cannot_load(server, data[1:].decode("utf-8", "replace"))
        elif kind in (b"T", b"E"):
            self._not_started(server, data[1:].decode("utf-8", "replace"))
        elif kind == b"F":
            self._on_tier_failure(server, data[1:].decode("utf-8", "replace"))
        else:
            self._on_end(server)

    def on_server_death(self, server: Server, reason: str) -> None:
        """Handle a server that ended with samples, or has to be ended."""
        self._requeue(server, reason, counts=True)

    def not_ready(self, server: Server, after_s: float) -> None:
        """Handle a server that took too long to start."""
        if server.jailed and self._preloads(server):
            self._cannot_load(server, f"it took longer than {after_s:g} s")
        else:
            self._not_started(server, f"the sandbox server was not ready after {after_s:g} s")

    def _on_end(self, server: Server) -> None:
        """Handle a server that ended without a message. Only messages count against its tier."""
        if server.ready:
            self.on_server_death(server, "the sandbox server ended unexpectedly")
            return
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(EXIT_S)
        killed = server.process.returncode == -signal.SIGKILL
        if server.jailed and not killed and self._preloads(server):
            self._cannot_load(server, f"they ended the server: {server.last_words()}")
        else:
            self._not_started(server, f"the sandbox server did not start: {server.last_words()}")

    def _preloads(self, server: Server) -> bool:
        return bool(server.packages) and server.packages not in self._servers.unpreloadable

    def _not_started(self, server: Server, reason: str) -> None:
        """Retry a start that failed for no known reason. After several failures the waiting samples are given up."""
        self._failed_starts += 1
        self._queue.pause()
        self.on_server_death(server, reason)
        if self._failed_starts >= ATTEMPTS:
            text = f"{reason}, {self._failed_starts} times in a row"
            self._failed_starts = 0
            self._queue.finish_queued(Outcome("infrastructure", text=text, attempts=ATTEMPTS))

    def _cannot_load(self, server: Server, reason: str) -> None:
        """Handle packages that do not allow forking: samples import them themselves, in a server without packages."""
        log.warning(
            "%s are imported by every sample anew, which is slow: %s",
            ", ".join(sorted(server.packages)),
            reason,
        )
        self._servers.unpreloadable.add(server.packages)
        self._requeue(server, reason, counts=False)

    def _on_tier_failure(self, server: Server, reason: str) -> None:
        """Handle a tier that does not work here: try the next one, or refuse."""
        known = bool(self._choice.tier)
        self._choice.failed(server.tier, reason)
        self._requeue(server, reason, counts=known)
        if known:
            self._queue.pause()

    def _requeue(self, server: Server, reason: str, *, counts: bool) -> None:
        """End a server and retry its samples elsewhere."""
        runs = [*server.running.values(), *server.waiting]
        self._servers.end(server)
        for run in reversed(runs):
            self._close_run(run)
            self._queue.retry(run.tasks, reason, self._choice.tier, counts=counts)

    def read(self, run: SampleRun) -> None:
        """Read the output so far of samples that share a process."""
        with suppress(BlockingIOError):
            while data := os.read(run.result, 65536):
                run.written += data
                if len(run.written) > len(run.tasks) * results.WRITTEN_MAX:
                    # an unexpected frame; the run ends at its deadline, and then each sample runs alone
                    break
            self._close_run(run)

    def _on_compile_error(self, server: Server, data: bytes) -> None:
        run = server.running.pop(protocol.NUMBER.unpack_from(data)[1])
        self._close_run(run)
        text = data[protocol.NUMBER.size :].decode("utf-8", "replace")
        name = protocol.clean_name(text.strip().rpartition("\n")[2].partition(":")[0])
        outcome = Outcome(
            "grader_error", tier=server.tier, stage="compile", error_type=name, text=protocol.clean(text)
        )
        for task in run.tasks:
            self._queue.finish(task, outcome)

    def _on_exit(
        self, server: Server, run: SampleRun, status: int, ended: int, wall_s: float, cpu_s: float
    ) -> None:
        """Handle a run whose process has ended."""
        if ended == protocol.BY_FAULT:
            self._close_run(run)
            self._retry(
                run,
                "the sample's process was killed by something outside of the sandbox, or the child that it asked for could not "
                "be started (the machine or its container may be short of memory)",
            )
            return
        if len(run.tasks) > 1:
            self._on_shared_exit(run, status, ended, wall_s, cpu_s)
            return
        try:
            written = os.read(run.result, results.WRITTEN_MAX + 1)
        except OSError:
            written = b""
        run.close()
        task = run.tasks[0]
        # a jailed program cannot exit with this code
        jailed = self._choice.tier != "unsandboxed"
        if jailed and ended == protocol.BY_ITSELF and status == protocol.NOT_JAILED << 8:
            self._retry(run, "the jail of this sample could not be entered")
            return
        outcome = results.outcome(written, status, ended, task.wall_s, cpu_s, self._limits)
        if outcome.status == "disk" and outcome.stage and (why := self._no_room(server)):
            self._retry(run, why)
            return
        self._queue.finish(
            task,
            replace(outcome, tier=self._choice.tier, wall_s=wall_s, cpu_s=cpu_s, attempts=task.attempts + 1),
        )

    def _retry(self, run: SampleRun, reason: str) -> None:
        self._queue.retry(run.tasks, reason, self._choice.tier)

    def _no_room(self, server: Server) -> str:
        """The reason to think that the host's disk is full, and not the sample's limit reached; "" without one."""
        # each sample has its own file system
        if server.scratch is None:
            return ""
        free = os.statvfs(server.scratch.path)
        room = free.f_bavail * free.f_frsize
        # some file systems do not count files, and report 0
        if room >= self._limits.disk_bytes and (not free.f_files or free.f_favail >= self._limits.inodes):
            return ""
        return (
            f"the disk of {server.scratch.path} has room for {room >> 20} MB and {free.f_favail} files, less than one sample "
            "may use: set TMPDIR to a folder with more room"
        )

    def _on_shared_exit(self, run: SampleRun, status: int, ended: int, wall_s: float, cpu_s: float) -> None:
        if run.result >= 0:
            self.read(run)
        self._close_run(run)
        count = len(run.tasks)
        outcomes = results.read_results(bytes(run.written), count) if not status and not ended else None
        if outcomes is None:
            for task in run.tasks:
                task.alone = True
            self._queue.retry(run.tasks, "", self._choice.tier, counts=False)
            return
        for task, outcome in zip(run.tasks, outcomes, strict=True):
            self._queue.finish(
                task,
                replace(
                    outcome,
                    tier=self._choice.tier,
                    wall_s=wall_s / count,
                    cpu_s=cpu_s / count,
                    attempts=task.attempts + 1,
                    samples_per_process=count,
                ),
            )
