"""The host's side: samples in, outcomes out; servers by import set, deadlines, retries.

One thread for each Sandbox in use talks to its servers. Callers on any thread hand it tasks and wait for futures.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from graders_sandbox import protocol
from graders_sandbox.limits import Job, Limits, Outcome, SandboxUnavailable

from . import imports, processes, results
from .processes import Choice, Run, Server, Task

ATTEMPTS = 5  # servers that may die under a sample before it is given up as infrastructure
START_S = 60.0  # for a server with the largest packages on a busy machine
COMPILE_S = 25.0  # for a source that its server has not seen: more than it takes before it says no
GRACE_S = 5.0  # beyond a sample's wall time, before its server counts as hung
EXIT_S = 2.0  # for a server to leave by itself when closed
MEMORY_S = 1.0  # between looks at how much memory is free
_PIPE_BYTES = 16 * 1024  # of a payload that goes through a pipe, at a third of the cost of a memory file
_AHEAD = 8  # times what is in flight: how far run_many reads on


class Sandbox:
    """Runs python graders in a jail. Cheap to make; nothing is started or probed before the first sample.

    Safe to use from any thread and after a fork of the caller. A context manager.

    Args:
        limits: What one sample may use; None: the hosted service's.
        require: The weakest tier that will do, of TIERS; None: any of them.
        tier: Exactly this tier (for tests and diagnosis).
        unsandboxed: No jail at all. Only for programs that you wrote; every outcome says so.
        seed: The run's seed; with a sample's key it seeds random and numpy.
        hash_seed: Of the programs' str hashes, and so of the order of their sets: the same in every run unless changed.
        in_flight: Samples at once; None: twice the cores, fewer where memory is short.
        servers: Import sets kept ready; the least recently used are closed.
        samples_per_process: How many samples of one source may share a process, for speed. More than 1 gives up what
            keeps them apart: modules, globals and files of one are seen by the next, and a crash or time-out costs a
            second run of all that shared it. Every outcome says so.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        require: str | None = None,
        tier: str | None = None,
        unsandboxed: bool = False,
        seed: int = 0,
        hash_seed: int = 0,
        in_flight: int | None = None,
        servers: int = 8,
        samples_per_process: int = 1,
    ) -> None:
        for name, number in (
            ("in_flight", in_flight),
            ("servers", servers),
            ("samples_per_process", samples_per_process),
        ):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")
        self.limits = limits or Limits()
        self.seed = seed
        self.hash_seed = hash_seed
        self.in_flight = in_flight or _fitting(self.limits)
        self.samples_per_process = samples_per_process
        self._grows = in_flight is None
        self._gathering = 0  # callers that will wake the sandbox's thread when they have submitted all
        self._kept = servers
        self._choice = Choice(require=require, tier=tier, unsandboxed=unsandboxed)
        self._lock = threading.Lock()
        self._pool: _Pool | None = None
        _ALL.add(self)

    def sibling(self, *, hash_seed: int) -> Sandbox:
        """A sandbox of its own with the same limits and the same jail, whose programs hash by another seed."""
        other = Sandbox(
            limits=self.limits,
            seed=self.seed,
            hash_seed=hash_seed,
            in_flight=self.in_flight,
            servers=self._kept,
        )
        other._choice = self._choice
        return other

    @property
    def tier(self) -> str:
        """What holds samples here. Probes by running one.

        Raises:
            SandboxUnavailable: no tier works, or none as strong as required.
        """
        if not self._choice.tier:
            outcome = self.run("def grade(sample, item):\n    return 1.0\n", None, None)
            if not self._choice.tier:
                raise SandboxUnavailable(self._choice.refusal or outcome.text)
        return self._choice.tier

    @property
    def notes(self) -> tuple[str, ...]:
        """What is thinner here than the tier's name says; () before the first sample."""
        return self._choice.notes

    def run(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Outcome:
        """Grade one sample and wait. Never raises for the sample or for a broken jail: see Outcome.status.

        Raises:
            TypeError, ValueError, RecursionError: sample or item has no JSON form.
        """
        future = self.submit(source, sample, item, key=key, timeout_s=timeout_s)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def arun(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Outcome:
        """As run, for async callers. Cancelling it stops the sample."""
        return await asyncio.wrap_future(self.submit(source, sample, item, key=key, timeout_s=timeout_s))

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Grade many, lazily and in order, with a bounded number under way. Closing it stops what is under way.

        Raises:
            TypeError, ValueError, RecursionError: as run, when the job is read.
        """
        waiting: deque[Future[Outcome]] = deque()
        source = iter(jobs)
        try:
            while True:
                self._read_on(source, waiting)
                if not waiting:
                    return
                yield waiting[0].result()
                waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()

    async def arun_many(self, jobs: Iterable[Job]) -> AsyncIterator[Outcome]:
        """As run_many, for async callers."""
        waiting: deque[Future[Outcome]] = deque()
        source = iter(jobs)
        try:
            while True:
                self._read_on(source, waiting)
                if not waiting:
                    return
                yield await asyncio.wrap_future(waiting[0])
                waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()

    def _read_on(self, source: Iterator[Job], waiting: deque[Future[Outcome]]) -> None:
        """Submit more jobs, many at once: each time wakes the sandbox's thread. One by one, since reading may take long."""
        ahead = _AHEAD * self.in_flight * self.samples_per_process
        if len(waiting) <= ahead // 2:
            waiting.extend(map(self._submit, islice(source, ahead - len(waiting))))

    def _submit(self, job: Job) -> Future[Outcome]:
        return self.submit(job.source, job.sample, job.item, key=job.key, timeout_s=job.timeout_s)

    def submit(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Future[Outcome]:
        """Grade one sample without waiting. Cancelling the future drops or stops it.

        Raises:
            TypeError, ValueError, RecursionError: sample or item has no JSON form.
        """
        payload = json.dumps({"sample": sample, "item": item}).encode()
        future: Future[Outcome] = Future()
        limits = self.limits
        size = len(source) if source.isascii() else len(source.encode("utf-8", "surrogatepass"))
        if size > limits.source_bytes:
            text = f"the source has {size} bytes; the limit is {limits.source_bytes}"
            future.set_result(
                Outcome("grader_error", stage="compile", error_type="SourceTooLarge", text=text)
            )
            return future
        if len(payload) > limits.payload_bytes:
            text = f"sample and item have {len(payload)} bytes as JSON; the limit is {limits.payload_bytes}"
            future.set_result(
                Outcome("grader_error", stage="payload", error_type="PayloadTooLarge", text=text)
            )
            return future
        digest = hashlib.blake2b(
            f"{self.seed}:{key}".encode("utf-8", "surrogatepass"), digest_size=8
        ).digest()
        wall_s = limits.wall_s if timeout_s is None else min(limits.wall_s, timeout_s)
        seed = int.from_bytes(digest, "little")
        task = Task(source, payload, seed, wall_s, imports.named(source), future)
        with self._lock:
            if self._choice.refusal:
                future.set_result(Outcome("infrastructure", text=self._choice.refusal))
                return future
            if self._pool is None or not self._pool.takes:
                self._pool = _Pool(self)
            pool = self._pool
            pool.add(task, wake=not self._gathering)
        future.add_done_callback(lambda done: pool.cancelled(task) if done.cancelled() else None)
        return future

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is submitted inside goes off in one go at the end, which should be soon: other callers wait for it too.

        Each hand-over wakes the sandbox's thread, which takes the interpreter from the caller.
        """
        with self._lock:
            self._gathering += 1
        try:
            yield
        finally:
            with self._lock:
                self._gathering = max(0, self._gathering - 1)  # a fork in between has forgotten it
                pool = self._pool
            if pool is not None:
                pool.wake_up()

    def close(self) -> None:
        """End all servers and what runs in them. The sandbox may be used again after."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _after_fork_in_child(self) -> None:
        """A forked caller has no thread of ours, and must not keep our servers alive."""
        self._lock = threading.Lock()
        self._gathering = 0
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.forget()


class _Pool:
    """The thread of a sandbox in use, and all that only this thread touches."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._choice = sandbox._choice
        self._limits = sandbox.limits
        self._in_flight = sandbox.in_flight
        self._hash_seed = sandbox.hash_seed
        self._grows = sandbox._grows
        self._kept = sandbox._kept
        self._per_process = sandbox.samples_per_process
        self._open: set[Task] = set()  # tasks that have no outcome yet, wherever they are
        self._queue: deque[Task] = deque()
        self._cancelled: deque[Task] = deque()
        self._finished: deque[tuple[Future[Outcome], Outcome]] = deque()
        self._servers: list[Server] = []  # the least recently used first
        self._ending: list[Server] = []
        self._bare: set[frozenset[str]] = set()  # packages that no server can load before the fork
        self._number = 0
        self._failed_starts = 0  # of servers in a row, for no reason that was said
        self._allowed = self._in_flight
        self._looked = 0.0  # when at free memory
        self._paused = 0.0  # until when nothing is started, since the kernel could not
        self._selector = selectors.DefaultSelector()
        self._wake, self._inside = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._inside, selectors.EVENT_READ)
        self._awake = False
        self._buffer = memoryview(bytearray(65536))  # of what a server says
        self.takes = True  # tasks
        self._why = "the sandbox was closed"  # it takes none any more
        self._thread = threading.Thread(target=self._loop, name="graders-sandbox", daemon=True)
        self._thread.start()

    # --- from other threads ---

    def add(self, task: Task, *, wake: bool) -> None:
        self._open.add(task)
        self._queue.append(task)
        if wake:
            self.wake_up()
        if not self.takes:  # it failed just now, and has finished what it knew of
            self._finish_open(self._why)

    def cancelled(self, task: Task) -> None:
        try:
            self._open.remove(task)
        except KeyError:  # it has just been finished
            return
        task.future.set_running_or_notify_cancel()  # for those who wait for several
        self._cancelled.append(task)
        self.wake_up()

    def wake_up(self) -> None:
        if not self._awake:
            self._awake = True
            with suppress(OSError):  # full, or closed: then nobody sleeps
                self._wake.send(b"w")

    def close(self) -> None:
        self.takes = False
        self._awake = False
        self.wake_up()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def forget(self) -> None:
        """In a forked child: let go of everything without ending it."""
        self._wake.close()
        self._inside.close()
        self._selector.close()
        for server in (*self._servers, *self._ending):
            server.control.close()
            os.close(server.said)
            server.process.returncode = 0  # not our child: never waited for
            if server.scratch is not None:
                os.close(server.scratch.lock)
            for run in server.running.values():
                _close(run)

    # --- the thread ---

    def _loop(self) -> None:
        try:
            while self.takes:
                for key, _ in self._selector.select(self._timeout()):
                    if key.fileobj is self._inside:
                        self._inside.recv(4096)
                        self._awake = False  # before looking at the queue: who comes later wakes us again
                    elif isinstance(key.data, Run):
                        if key.data.result >= 0:  # not closed by what came before
                            self._read(key.data)
                    elif key.data in self._servers:  # it may have been ended by what came before
                        self._message(key.data)
                self._drop_cancelled()
                self._dispatch()
                self._watch()
                self._hand_back()
        except BaseException:
            self._why = f"the sandbox's thread failed: {traceback.format_exc(limit=-3)}"
            raise
        finally:
            self.takes = False
            self._finish_all()

    def _finish_all(self) -> None:
        runs = [run for server in self._servers for run in (*server.running.values(), *server.waiting)]
        for server in list(self._servers):
            self._end(server)
        for run in runs:
            _close(run)
        limit = time.monotonic() + EXIT_S
        for server in self._ending:
            with suppress(Exception):
                server.process.wait(max(0.0, limit - time.monotonic()))
            server.ends = 0.0
        self._tidy()
        self._selector.close()
        self._wake.close()
        self._inside.close()
        self._finish_open(self._why)

    def _finish_open(self, why: str) -> None:
        for task in list(self._open):
            self._finish(task, Outcome("infrastructure", tier=self._choice.tier, text=why))
        self._hand_back()

    def _finish(self, task: Task, outcome: Outcome) -> None:
        try:
            self._open.remove(task)
        except KeyError:  # cancelled
            return
        self._finished.append((task.future, outcome))

    def _hand_back(self) -> None:
        """Wake those who wait for outcomes, when nothing is left to do: earlier they would take the interpreter from us."""
        while self._finished:
            future, outcome = self._finished.popleft()
            if future.set_running_or_notify_cancel():
                future.set_result(outcome)

    def _timeout(self) -> float | None:
        """Until the next watchdog."""
        now = time.monotonic()
        ends = [server.watchdog for server in self._servers if server.running]
        ends += [server.started + START_S for server in self._servers if not server.ready]
        ends += [now + 0.02 for _ in self._ending[:1]]
        if self._queue and (self._paused > now or not any(server.load for server in self._servers)):
            ends.append(self._paused)  # nobody else would wake us: the last server may have ended just now
        return max(0.0, min(ends) - now) + 0.001 if ends else None

    # --- handing out ---

    def _dispatch(self) -> None:
        if not self._queue or time.monotonic() < self._paused:
            return
        bound = self._bound()
        while self._queue:
            task = self._queue[0]
            if task not in self._open:  # cancelled
                self._queue.popleft()
                continue
            if self._choice.refusal:
                self._finish(self._queue.popleft(), Outcome("infrastructure", text=self._choice.refusal))
                continue
            try:
                server = self._server(task.named.packages, bound)
            except SandboxUnavailable as error:
                self._choice.refusal = str(error)
                continue
            except OSError as error:  # no descriptors, no memory, no processes left in the host
                self._again([self._queue.popleft()], f"a sandbox server could not be started: {error}")
                self._paused = time.monotonic() + 0.05 * task.attempts
                return
            if server is None:
                return
            self._queue.popleft()
            self._number = (self._number + 1) & 0xFFFFFFFF
            run = Run(self._number, [task, *self._companions(task)])
            if server.ready:
                self._send(server, run)
            else:
                server.waiting.append(run)

    def _bound(self) -> int:
        """Samples at once: as asked, or as many as fit in the memory that is free now."""
        now = time.monotonic()
        if self._grows and now > self._looked + MEMORY_S:
            self._looked = now
            self._allowed = _fitting(self._limits, self._choice.tier)
        return self._allowed

    def _companions(self, task: Task) -> Iterator[Task]:
        """Who shares a process with the task, where that is allowed: those behind it with the same source."""
        for _ in range(self._per_process - 1):
            if not self._queue or task.alone:
                return
            other = self._queue[0]
            if other.source != task.source or other.wall_s != task.wall_s or other.alone:
                return
            yield self._queue.popleft()

    def _server(self, packages: frozenset[str], bound: int) -> Server | None:
        """The one with the least to do that has room for a sample, started if need be; None while nothing more may run."""
        fit = [server for server in self._servers if server.packages == packages]
        if sum(min(server.load, server.capacity) for server in self._servers) >= bound:
            # What will run next may lie with its server already, so that none waits for us; not where memory is short.
            full = [server for server in fit if server.capacity <= server.load < 2 * server.capacity]
            return min(full, key=_load, default=None) if bound >= self._in_flight else None
        server = min(reversed(fit), key=_load, default=None)
        if server is not None and server.load < server.capacity:
            self._servers.remove(server)
            self._servers.append(server)
            return server
        if not fit:
            self._make_room()
        server = processes.start(
            self._choice,
            self._limits,
            packages,
            self._in_flight,
            bare=packages in self._bare,
            hash_seed=self._hash_seed,
        )
        self._selector.register(server.control, selectors.EVENT_READ, server)
        self._servers.append(server)
        return server

    def _make_room(self) -> None:
        """For one more set of packages: end the servers of those that were used longest ago, unless they are at work."""
        used = {server.packages: None for server in reversed(self._servers)}  # the latest first
        for packages in list(used)[self._kept - 1 :]:
            for server in list(self._servers):
                if server.packages == packages and not server.load:
                    self._end(server)

    def _send(self, server: Server, run: Run) -> None:
        """Hand a run to a ready server: its source once, then the payload and our pipe."""
        run.tasks = [task for task in run.tasks if task in self._open]
        if not run.tasks:
            return
        first = run.tasks[0]
        opened: list[int] = []
        server.running[run.number] = run
        run.allowed_s = first.wall_s + GRACE_S
        try:
            number = server.sources.get(first.source)
            if number is None:
                number = server.n_sources
                opened.append(_memory(first.source.encode("utf-8", "surrogatepass")))
                ahead = {"modules": sorted(first.named.standard), "patterns": first.named.patterns}
                text = json.dumps(ahead).encode()
                protocol.send(server.control, protocol.NUMBER.pack(b"S", number) + text, opened)
                server.sources[first.source] = number
                server.n_sources += 1
                run.allowed_s += COMPILE_S
                if len(server.sources) > processes.SOURCES:
                    in_use = {other.tasks[0].source for other in server.running.values()}
                    for forgotten in [source for source in server.sources if source not in in_use][:1]:
                        message = protocol.NUMBER.pack(b"D", server.sources.pop(forgotten))
                        protocol.send(server.control, message)
            else:
                server.sources.move_to_end(first.source)
            rows = [protocol.ROW.pack(task.seed, len(task.payload)) + task.payload for task in run.tasks]
            payload = _readable(b"".join(rows))
            opened.append(payload)
            # One frame fits: who writes more is not waited for.
            run.result, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            opened.append(write)
            if len(rows) > 1:
                os.set_blocking(write, True)
                self._selector.register(run.result, selectors.EVENT_READ, run)
            job = protocol.JOB.pack(b"J", run.number, number, len(rows), first.wall_s, first.named.untrusted)
            protocol.send(server.control, job, [payload, write])
            server.heard()
        except OSError as error:
            if isinstance(error, (BrokenPipeError, ConnectionError)):
                self._died(server, "the sandbox server ended unexpectedly")
            else:  # of the host: the server is fine
                del server.running[run.number]
                self._let_go(run)
                self._paused = time.monotonic() + 0.05
                self._again(run.tasks, f"a sample could not be sent: {error}")
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _let_go(self, run: Run) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(run.result)
        _close(run)

    # --- answers ---

    def _message(self, server: Server) -> None:
        try:
            data = bytes(self._buffer[: server.control.recv_into(self._buffer)])
        except OSError:
            data = b""
        kind = data[:1]
        if kind == b"X":
            _, number, status, ended, wall_s, cpu_s = protocol.EXIT.unpack(data)
            run = server.running.pop(number)
            server.heard()
            self._ended(server, run, status, ended, wall_s, cpu_s)
        elif kind == b"C":
            run = server.running.pop(protocol.NUMBER.unpack_from(data)[1])
            self._let_go(run)
            text = data[protocol.NUMBER.size :].decode("utf-8", "replace")
            name = protocol.clean_name(text.strip().rpartition("\n")[2].partition(":")[0])
            text = protocol.clean(text)
            for task in run.tasks:
                self._finish(
                    task,
                    Outcome("grader_error", tier=server.tier, stage="compile", error_type=name, text=text),
                )
        elif kind == b"N":
            run = server.running.pop(protocol.NUMBER.unpack_from(data)[1])
            self._let_go(run)
            self._paused = time.monotonic() + 0.05
            self._again(run.tasks, data[protocol.NUMBER.size :].decode())
        elif kind == b"L":
            server.jailed = True
            about = json.loads(data[1:])
            self._choice.works(about["tier"], about["notes"])
        elif kind == b"R":
            server.ready = True
            self._failed_starts = 0
            while server.waiting:
                self._send(server, server.waiting.popleft())
        elif kind == b"T":
            self._cannot_load(server, data[1:].decode("utf-8", "replace"))
        elif kind == b"F":
            self._failed(server, data[1:].decode("utf-8", "replace"))
        else:
            self._stopped(server)

    def _stopped(self, server: Server) -> None:
        """A server has ended without a word. Only what is said counts against its tier."""
        if server.ready:
            self._died(server, "the sandbox server ended unexpectedly")
            return
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(EXIT_S)
        killed = server.process.returncode == -signal.SIGKILL
        if server.jailed and not killed and self._preloads(server):
            self._cannot_load(server, f"they ended the server: {server.last_words()}")
        else:
            self._not_started(server, f"the sandbox server did not start: {server.last_words()}")

    def _preloads(self, server: Server) -> bool:
        return bool(server.packages) and server.packages not in self._bare

    def _not_started(self, server: Server, reason: str) -> None:
        """Nobody is to blame: try again. After several in a row what waits is given up, each sample without its own tries."""
        self._failed_starts += 1
        self._paused = time.monotonic() + 0.05
        self._died(server, reason)
        if self._failed_starts >= ATTEMPTS:
            text = f"{reason}, {self._failed_starts} times in a row"
            self._failed_starts = 0
            while self._queue:
                self._finish(self._queue.popleft(), Outcome("infrastructure", text=text, attempts=ATTEMPTS))

    def _cannot_load(self, server: Server, reason: str) -> None:
        """Its packages do not bear a fork server: samples import them for themselves, in a server without."""
        processes.log.warning(
            "%s are imported by every sample anew, which is slow: %s",
            ", ".join(sorted(server.packages)),
            reason,
        )
        self._bare.add(server.packages)
        self._requeue(server, reason, counts=False)

    def _failed(self, server: Server, reason: str) -> None:
        """A server says that its tier does not work here: on to the next, or refuse."""
        known = bool(self._choice.tier)
        self._choice.failed(server.tier, reason)
        self._requeue(server, reason, counts=known)
        if known:
            self._paused = time.monotonic() + 0.05

    def _died(self, server: Server, reason: str) -> None:
        self._requeue(server, reason, counts=True)

    def _requeue(self, server: Server, reason: str, *, counts: bool) -> None:
        """End a server; what it had is done again elsewhere."""
        runs = [*server.running.values(), *server.waiting]
        self._end(server)
        for run in reversed(runs):
            self._let_go(run)
            self._again(run.tasks, reason, counts=counts)

    def _again(self, tasks: list[Task], reason: str, *, counts: bool = True) -> None:
        for task in reversed(tasks):
            task.attempts += counts
            if task.attempts >= ATTEMPTS:
                text = f"{reason}, {task.attempts} times under this sample"
                self._finish(
                    task, Outcome("infrastructure", tier=self._choice.tier, text=text, attempts=task.attempts)
                )
            else:
                self._queue.appendleft(task)

    def _read(self, run: Run) -> None:
        """What samples that share a process have written so far."""
        with suppress(BlockingIOError):
            while data := os.read(run.result, 65536):
                run.written += data
                if len(run.written) > len(run.tasks) * (protocol.FRAME_MAX + protocol.LENGTH.size) + 1:
                    break  # not what we wait for; it ends by the deadline, and then each runs alone
            self._selector.unregister(run.result)

    def _ended(self, server: Server, run: Run, status: int, ended: int, wall_s: float, cpu_s: float) -> None:
        """What became of a run whose process has ended."""
        if ended == protocol.BY_FAULT:
            self._let_go(run)
            self._again(
                run.tasks,
                "the sample's process was killed by something outside of the sandbox, or the child that it asked for could not "
                "be started (the machine or its container may be short of memory)",
            )
            return
        if len(run.tasks) > 1:
            with suppress(KeyError, ValueError):
                self._read(run)
            self._let_go(run)
            self._ended_together(run, status, ended, wall_s, cpu_s)
            return
        try:
            written = os.read(run.result, protocol.FRAME_MAX + 1)
        except OSError:
            written = b""
        _close(run)
        task = run.tasks[0]
        jailed = self._choice.tier != "unsandboxed"  # then no program leaves with this code
        if jailed and ended == protocol.BY_ITSELF and status == protocol.NOT_JAILED << 8:
            self._again(run.tasks, "the jail of this sample could not be entered")
            return
        outcome = results.outcome(written, status, ended, task.wall_s, cpu_s, self._limits)
        if outcome.status == "disk" and outcome.stage and (why := self._no_room(server)):
            self._again(run.tasks, why)
            return
        self._finish(
            task,
            replace(outcome, tier=self._choice.tier, wall_s=wall_s, cpu_s=cpu_s, attempts=task.attempts + 1),
        )

    def _no_room(self, server: Server) -> str:
        """Why a full disk may be the host's and not the sample's limit; "" when it cannot be."""
        if server.scratch is None:  # each sample has a file system of its own
            return ""
        free = os.statvfs(server.scratch.path)
        room = free.f_bavail * free.f_frsize
        # Some file systems count no files, and say that there are 0.
        if room >= self._limits.disk_bytes and (not free.f_files or free.f_favail >= self._limits.inodes):
            return ""
        return (
            f"the disk of {server.scratch.path} has room for {room >> 20} MB and {free.f_favail} files, less than one sample "
            "may use: set TMPDIR to a folder with more room"
        )

    def _ended_together(self, run: Run, status: int, ended: int, wall_s: float, cpu_s: float) -> None:
        count = len(run.tasks)
        outcomes = results.read_results(bytes(run.written), count) if not status and not ended else None
        if outcomes is None:
            for task in run.tasks:
                task.alone = True
            self._again(run.tasks, "", counts=False)
            return
        for task, outcome in zip(run.tasks, outcomes, strict=True):
            self._finish(
                task,
                replace(
                    outcome, tier=self._choice.tier, wall_s=wall_s / count, cpu_s=cpu_s / count,
                    attempts=task.attempts + 1, samples_per_process=count,
                ),
            )  # fmt: skip

    # --- ends ---

    def _drop_cancelled(self) -> None:
        while self._cancelled:
            task = self._cancelled.popleft()
            for server in self._servers:
                for run in server.running.values():
                    if task in run.tasks and all(other.future.cancelled() for other in run.tasks):
                        with suppress(OSError):
                            server.control.send(protocol.NUMBER.pack(b"K", run.number))

    def _watch(self) -> None:
        """A server that does not end its samples in time is hung: end it."""
        now = time.monotonic()
        for server in list(self._servers):
            if server.running and now > server.watchdog:
                server.process.kill()
                self._died(server, "the sandbox server did not answer in time")
            elif not server.ready and now > server.started + START_S:
                server.process.kill()
                if server.jailed and self._preloads(server):
                    self._cannot_load(server, f"it took longer than {START_S:g} s")
                else:
                    self._not_started(server, f"the sandbox server was not ready after {START_S:g} s")
        self._tidy()

    def _end(self, server: Server) -> None:
        """Close a server; what runs in it ends with it. It is waited for later."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(server.control)
        server.control.close()
        self._servers.remove(server)
        server.ends = time.monotonic() + EXIT_S
        self._ending.append(server)

    def _tidy(self) -> None:
        for server in list(self._ending):
            if server.process.poll() is None:
                if time.monotonic() < server.ends:
                    continue
                server.process.kill()
                server.process.wait()
            self._ending.remove(server)
            os.close(server.said)
            if server.scratch is not None:
                server.scratch.remove()


def _load(server: Server) -> int:
    return server.load


def _close(run: Run) -> None:
    if run.result >= 0:
        os.close(run.result)
        run.result = -1


def _readable(data: bytes) -> int:
    """A descriptor that data can be read from to its end: a pipe that holds all of it, or else memory."""
    if len(data) <= _PIPE_BYTES:
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if os.write(write, data) == len(data):
                return read
        except BlockingIOError:
            pass  # pipes are short here
        finally:
            os.close(write)
        os.close(read)
    return _memory(data)


def _memory(data: bytes) -> int:
    """A descriptor of bytes in memory that its reader can neither change nor grow."""
    import fcntl  # not on every system that may import this module

    descriptor = os.memfd_create("graders", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _fitting(limits: Limits, tier: str = "") -> int:
    """Samples at once: twice the cores, as long as what is free holds all that they may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    each = limits.memory_bytes
    if tier in ("linux-full", "linux-ns"):
        each += limits.disk_bytes  # their disk is memory
    return max(1, min(2 * cores, _free_bytes() // max(1, each)))


def _free_bytes() -> int:
    """Memory that may still be used: of the machine, and of the container where it has less."""
    free = [1 << 62]
    with suppress(OSError, StopIteration), open("/proc/meminfo") as file:
        free.append(next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable")))
    with (
        suppress(OSError, ValueError),  # "max" is no number: then there is no bound
        open("/sys/fs/cgroup/memory.max") as most,
        open("/sys/fs/cgroup/memory.current") as used,
    ):
        free.append(max(0, int(most.read()) - int(used.read())))
    return min(free)


_ALL: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sandbox in list(_ALL):
        sandbox._after_fork_in_child()


def _close_all() -> None:
    for sandbox in list(_ALL):
        sandbox.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
