"""The pool, the thread of a sandbox: it sends samples to servers, reads their messages, and ends hung ones."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graders_sandbox import protocol
from graders_sandbox.limits import WASM, Limits, Outcome, SandboxUnavailable

from . import descriptors
from .answers import AnswerHandler
from .choice import TierChoice
from .memory import ConcurrencyBound
from .pending_sources import PendingSource, PendingSources
from .servers import Server, ServerSet
from .start import start
from .tasks import SampleRun, Task, TaskQueue

if TYPE_CHECKING:
    from .wasm_pool import WasmPool

START_S = 60.0  # for a server with the largest packages on a busy machine
COMPILE_S = 25.0  # for a source that its server has not seen: more than it takes before it says no
GRACE_S = 5.0  # beyond a sample's wall time, before its server counts as hung


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The settings of a pool; see `Sandbox`."""

    limits: Limits
    in_flight: ConcurrencyBound
    hash_seed: int
    max_servers: int
    samples_per_process: int


class Pool:
    """The thread, with the state that only this thread uses.

    `add`, `cancel`, `wake_up` and `close` may be called from any thread.
    """

    def __init__(self, settings: PoolSettings, choice: TierChoice) -> None:
        self._settings = settings
        self._choice = choice
        self._queue = TaskQueue()
        self._selector = selectors.DefaultSelector()
        self.servers = ServerSet(self._selector, settings.max_servers)
        self._answers = AnswerHandler(self._queue, self.servers, choice, settings.limits, self._close_run)
        self._pending = PendingSources(self._selector, self._queue, self._retry)
        self._fallback: WasmPool | None = None
        self._number = 0
        self._wake, self._inside = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._inside, selectors.EVENT_READ)
        self._awake = False
        self.accepting = True
        self._why = "the sandbox was closed"  # it accepts nothing any more
        self._thread = threading.Thread(target=self._loop, name="graders-sandbox", daemon=True)
        self._thread.start()

    def add(self, task: Task, *, wake: bool) -> None:
        self._queue.add(task)
        if wake:
            self.wake_up()
        if not self.accepting:  # it failed just now, and has finished what it knew of
            self._queue.finish_all(self._over())

    def cancel(self, task: Task) -> None:
        if self._queue.cancel(task):
            self.wake_up()
        elif self._fallback is not None:
            self._fallback.cancel(task)

    def wake_up(self) -> None:
        if not self._awake:
            self._awake = True
            with suppress(OSError):  # full, or closed: then nobody sleeps
                self._wake.send(b"w")

    def close(self) -> None:
        self.accepting = False
        self._awake = False
        self.wake_up()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def forget(self) -> None:
        """Release everything without ending it, in a forked child."""
        self._wake.close()
        self._inside.close()
        self._selector.close()
        self.servers.forget()
        if self._fallback is not None:
            self._fallback.forget()
        self._pending.forget()

    def _loop(self) -> None:
        try:
            while self.accepting:
                for key, _ in self._ready():
                    if key.fileobj is self._inside:
                        self._inside.recv(4096)
                        self._awake = False  # before looking at the queue: who comes later wakes us again
                    elif isinstance(key.data, SampleRun):
                        if key.data.result >= 0:  # not closed by what came before
                            self._answers.read(key.data)
                    elif isinstance(key.data, PendingSource):
                        self._pending.read(key.data)
                    elif key.data in self.servers:  # it may have been ended by what came before
                        self._answers.messages(key.data)
                        self._send_waiting(key.data)
                self._stop_cancelled()
                self._dispatch()
                self._watch()
                self._queue.return_outcomes()
        except BaseException:
            self._why = f"the sandbox's thread failed: {traceback.format_exc(limit=-3)}"
            raise
        finally:
            self.accepting = False
            self._end()

    def _end(self) -> None:
        self.servers.close()
        if self._fallback is not None:
            self._fallback.close()
        self._pending.close()
        self._selector.close()
        self._wake.close()
        self._inside.close()
        self._queue.finish_all(self._over())

    def _over(self) -> Outcome:
        return Outcome("infrastructure", tier=self._choice.tier, text=self._why)

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for something to read. While samples wait, since servers have enough, gather: each waking costs."""
        samples_wait = self._queue.head is not None
        ready = self._selector.select(self._timeout())
        if samples_wait:
            time.sleep(self._answers.gather_s)
            ready = self._selector.select(0)
        return ready

    def _timeout(self) -> float | None:
        """Seconds until the next deadline."""
        now = time.monotonic()
        ends = [server.watchdog for server in self.servers if server.running]
        ends += [server.started + START_S for server in self.servers if not server.ready]
        if self.servers.ending:
            ends.append(now + 0.02)
        if self._queue.head is not None and (self._queue.paused_until > now or not self.servers.busy):
            # no message may wake this thread, since the last server may have ended just now
            ends.append(self._queue.paused_until)
        return max(0.0, min(ends) - now) + 0.001 if ends else None

    def _dispatch(self) -> None:
        if time.monotonic() < self._queue.paused_until:
            return
        bound = self._settings.in_flight.allowed(self._choice.tier)
        while (task := self._queue.head) is not None:
            if self._choice.refusal:
                self._queue.finish_queued(Outcome("infrastructure", text=self._choice.refusal))
                return
            if self._choice.next == WASM:
                self._fall_back(self._queue.pop())
                continue
            try:
                if task.facts is None:
                    self._pending.add(self._queue.pop())
                    continue
                server = self._server(task.facts.to_load.packages, bound)
            except SandboxUnavailable as error:
                self._choice.refusal = str(error)
                self._queue.requeue([task] if self._queue.head is not task else [])
                continue
            except OSError as error:  # no descriptors, no memory, no processes left in the host
                if self._queue.head is task:
                    self._queue.pop()
                self._retry([task], f"a sandbox process could not be started: {error}")
                return
            if server is None:
                return
            self._queue.pop()
            self._number = (self._number + 1) & 0xFFFFFFFF
            others = self._queue.companions(task, self._settings.samples_per_process - 1)
            run = SampleRun(self._number, [task, *others], task.facts)
            server.waiting.append(run)
            self._send_waiting(server)

    def _fall_back(self, task: Task) -> None:
        """Pass a task to the wasm pool, where no Linux tier works."""
        if self._fallback is None:
            from .wasm_pool import WasmPool

            self._fallback = WasmPool(self._settings.limits, self._choice)
        self._queue.release(task)
        self._fallback.add(task)

    def _retry(self, tasks: list[Task], reason: str) -> None:
        self._queue.retry(tasks, reason, self._choice.tier)
        self._queue.pause(max((task.attempts for task in tasks), default=1))

    def _server(self, packages: frozenset[str], bound: int) -> Server | None:
        """A server with room for a sample, started if necessary; None while the bound is reached."""
        server = self.servers.least_busy(packages)
        if self.servers.running >= bound:
            # the next sample may be queued at its server, so that servers need not wait for us; not where memory is
            # short
            full = self.servers.with_queue_room(packages)
            return full if bound >= self._settings.in_flight.most else None
        if server is not None and server.load < server.capacity:
            self.servers.use(server)
            return server

        def started() -> Server:
            return start(
                self._choice,
                self._settings.limits,
                packages,
                self._settings.in_flight.most,
                bare=packages in self.servers.unpreloadable,
                hash_seed=self._settings.hash_seed,
            )

        return self.servers.add(started, packages)

    def _send_waiting(self, server: Server) -> None:
        while server.ready and server.waiting:
            self._send(server, server.waiting.popleft())

    def _send(self, server: Server, run: SampleRun) -> None:
        """Send a run to a ready server: its source once, then the payload and the result pipe."""
        run.tasks = [task for task in run.tasks if self._queue.is_open(task)]
        if not run.tasks:
            return
        opened: list[int] = []
        server.running[run.number] = run
        source = run.tasks[0].source
        run.allowed_s = run.tasks[0].wall_s + GRACE_S + (0.0 if source in server.sources else COMPILE_S)
        try:
            number = server.send_source(source, run.facts)
            rows = [protocol.ROW.pack(task.seed, len(task.payload)) + task.payload for task in run.tasks]
            payload = descriptors.readable(b"".join(rows))
            opened.append(payload)
            # one frame fits into the pipe; a sample that writes more is not waited for
            run.result, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            opened.append(write)
            if len(rows) > 1:
                os.set_blocking(write, True)
                self._selector.register(run.result, selectors.EVENT_READ, run)
            wall_s, untrusted = run.tasks[0].wall_s, run.facts.to_load.untrusted
            job = protocol.JOB.pack(b"J", run.number, number, len(rows), wall_s, untrusted)
            protocol.send(server.control, job, [payload, write])
            server.reset_watchdog()
        except (BrokenPipeError, ConnectionError):
            self._answers.on_server_death(server, "the sandbox server ended unexpectedly")
        except OSError as error:  # of the host: the server is fine
            del server.running[run.number]
            self._close_run(run)
            self._retry(run.tasks, f"a sample could not be sent: {error}")
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _close_run(self, run: SampleRun) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(run.result)
        run.close()

    def _stop_cancelled(self) -> None:
        for task in self._queue.cancelled():
            for server in self.servers:
                for run in server.running.values():
                    if task in run.tasks and all(other.future.cancelled() for other in run.tasks):
                        with suppress(OSError):
                            server.control.send(protocol.NUMBER.pack(b"K", run.number))

    def _watch(self) -> None:
        """End servers that do not end their samples in time."""
        now = time.monotonic()
        for server in self.servers:
            if server.running and now > server.watchdog:
                server.process.kill()
                self._answers.on_server_death(server, "the sandbox server did not answer in time")
            elif not server.ready and now > server.started + START_S:
                server.process.kill()
                self._answers.not_ready(server, START_S)
        self.servers.reap()
