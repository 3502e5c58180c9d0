"""The host's side: servers by import set, samples in flight, deadlines, retries.

One thread of each Sandbox talks to its servers. Callers on any thread hand it tasks and wait for futures.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import hashlib
import json
import os
import selectors
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from . import folders, imports, protocol
from .limits import TIERS, Job, Limits, Outcome, SandboxUnavailable

ATTEMPTS = 3  # servers that may die under a sample before it is given up as infrastructure
START_S = 60.0  # for a server with the largest packages on a busy machine
GRACE_S = 5.0  # beyond a sample's wall time, before its server counts as hung
EXIT_S = 2.0  # for a server to leave by itself when closed
_SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
#: All that a server has in its environment: nothing of the caller's. Numerical libraries get one thread each, since a
#: server with threads must not fork.
_ENVIRONMENT = {
    "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1", "JOBLIB_MULTIPROCESSING": "0", "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
#: Settings of numerical libraries that describe the processor: without them some crash on some machines.
_KEPT_ENVIRONMENT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NVPL_BLAS_DEBUG_CPU_TYPE")


@dataclass(eq=False, slots=True)
class Task:
    """One sample on its way."""

    number: int
    source: str
    payload: bytes
    seed: int
    wall_s: float
    modules: frozenset[str]
    future: Future[Outcome]
    attempts: int = 0
    result: int = -1  # our end of the result pipe
    watchdog: float = 0.0


@dataclass(eq=False, slots=True)
class Server:
    """A running server and what it has been told."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    modules: frozenset[str]
    started: float
    scratch: folders.Scratch | None
    ready: bool = False
    sources: dict[str, int] = field(default_factory=dict)
    waiting: deque[Task] = field(default_factory=deque)
    running: dict[int, Task] = field(default_factory=dict)


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
        servers: int = 4,
    ) -> None:
        for name in (require, tier):
            if name is not None and name not in TIERS:
                raise ValueError(f"{name!r} is not a tier; the tiers are {', '.join(TIERS)}")
        self.limits = limits = limits or Limits()
        self.seed = seed
        self.hash_seed = hash_seed
        self.in_flight = in_flight or _admitted(limits)
        self.kept = max(1, servers)
        self._candidates = ("unsandboxed",) if unsandboxed else (tier,) if tier else _at_least(require)
        self._require = require
        self._tier = ""
        self._refusal = ""
        self._reset()
        _ALL.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Task] = deque()
        self._cancelled: deque[Task] = deque()
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None
        self._closing = False
        self._number = 0
        self._servers: OrderedDict[frozenset[str], Server] = OrderedDict()

    # --- callers ---

    def sibling(self, *, hash_seed: int) -> Sandbox:
        """A sandbox of its own with the same limits and the same jail, whose programs hash by another seed."""
        other = Sandbox(
            limits=self.limits,
            seed=self.seed,
            hash_seed=hash_seed,
            in_flight=self.in_flight,
            servers=self.kept,
        )
        other._candidates, other._require = self._candidates, self._require
        return other

    @property
    def tier(self) -> str:
        """What holds samples here. Probes by running one.

        Raises:
            SandboxUnavailable: no tier works, or none as strong as required.
        """
        if not self._tier and not self._refusal:
            self.run("def grade(sample, item):\n    return 1.0\n", None, None)
        if not self._tier:
            raise SandboxUnavailable(self._refusal or "the sandbox could not be started")
        return self._tier

    def run(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Outcome:
        """Grade one sample and wait. Never raises for the sample or for a broken jail: see Outcome.status.

        Raises:
            TypeError, ValueError: sample or item has no JSON form.
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
        """Grade many, lazily and in order, with a bounded number under way."""
        waiting: deque[Future[Outcome]] = deque()
        source = iter(jobs)
        try:
            while True:
                for job in islice(source, 4 * self.in_flight - len(waiting)):
                    waiting.append(
                        self.submit(job.source, job.sample, job.item, key=job.key, timeout_s=job.timeout_s)
                    )
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def submit(
        self, source: str, sample: Any, item: Any, *, key: str = "", timeout_s: float | None = None
    ) -> Future[Outcome]:
        """Grade one sample without waiting. Cancelling the future drops or stops it.

        Raises:
            TypeError, ValueError: sample or item has no JSON form.
        """
        payload = json.dumps({"sample": sample, "item": item}).encode()
        future: Future[Outcome] = Future()
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > self.limits.source_bytes:
            text = f"the source has {size} bytes; the limit is {self.limits.source_bytes}"
            future.set_result(
                Outcome("grader_error", stage="compile", error_type="SourceTooLarge", text=text)
            )
        elif len(payload) > self.limits.payload_bytes:
            text = (
                f"sample and item have {len(payload)} bytes as JSON; the limit is {self.limits.payload_bytes}"
            )
            future.set_result(
                Outcome("grader_error", stage="payload", error_type="PayloadTooLarge", text=text)
            )
        elif self._refusal:
            future.set_result(Outcome("infrastructure", text=self._refusal))
        else:
            digest = hashlib.blake2b(
                f"{self.seed}:{key}".encode("utf-8", "surrogatepass"), digest_size=8
            ).digest()
            wall_s = min(self.limits.wall_s, timeout_s if timeout_s is not None else self.limits.wall_s)
            modules = imports.named(source)
            task = Task(0, source, payload, int.from_bytes(digest, "little"), wall_s, modules, future)
            future.add_done_callback(lambda done: self._give_up(task) if done.cancelled() else None)
            with self._lock:
                self._number += 1
                task.number = self._number & 0xFFFFFFFF
                self._queue.append(task)
                self._awake()
        return future

    def _give_up(self, task: Task) -> None:
        self._cancelled.append(task)
        if self._wake is not None:
            with suppress(OSError):
                self._wake.send(b"c")

    def _awake(self) -> None:
        if self._thread is None:
            self._closing = False
            self._wake, inside = socket.socketpair()
            self._wake.setblocking(False)
            self._thread = threading.Thread(
                target=self._loop, args=(inside,), name="graders-sandbox", daemon=True
            )
            self._thread.start()
        assert self._wake is not None
        with suppress(BlockingIOError):
            self._wake.send(b"q")

    def close(self) -> None:
        """End all servers and what runs in them. The sandbox may be used again after."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._closing = True
            if thread is not None and self._wake is not None:
                with suppress(OSError):
                    self._wake.send(b"x")
        if thread is not None:
            thread.join(EXIT_S + 3)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- the thread ---

    def _loop(self, inside: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(inside, selectors.EVENT_READ)
        try:
            while not self._closing:
                for key, _ in selector.select(self._timeout()):
                    if key.fileobj is inside:
                        inside.recv(4096)
                    else:
                        self._message(selector, key.data)
                self._drop_cancelled()
                self._dispatch(selector)
                self._watch(selector)
        finally:
            for server in list(self._servers.values()):
                self._end(selector, server)
            for task in self._queue:
                _finish(task, Outcome("infrastructure", text="the sandbox was closed"))
            self._queue.clear()
            selector.close()
            inside.close()
            if self._wake is not None:
                self._wake.close()

    def _timeout(self) -> float | None:
        """Until the next watchdog."""
        ends = [task.watchdog for server in self._servers.values() for task in server.running.values()]
        ends += [server.started + START_S for server in self._servers.values() if not server.ready]
        return max(0.0, min(ends) - time.monotonic()) + 0.01 if ends else None

    def _dispatch(self, selector: selectors.BaseSelector) -> None:
        under_way = sum(len(server.running) + len(server.waiting) for server in self._servers.values())
        while self._queue and under_way < self.in_flight:
            task = self._queue.popleft()
            if task.future.done():
                continue
            try:
                server = self._server(selector, task.modules)
            except SandboxUnavailable as error:
                self._refusal = str(error)
                _finish(task, Outcome("infrastructure", text=self._refusal))
                continue
            under_way += 1
            if server.ready:
                self._send(selector, server, task)
            else:
                server.waiting.append(task)

    def _server(self, selector: selectors.BaseSelector, modules: frozenset[str]) -> Server:
        server = self._servers.get(modules)
        if server is not None:
            self._servers.move_to_end(modules)
            return server
        while len(self._servers) >= self.kept:
            idle = next((s for s in self._servers.values() if not s.running and not s.waiting), None)
            if idle is None:
                break
            self._end(selector, idle)
        server = self._start(self._tier or self._candidates[0], modules)
        selector.register(server.control, selectors.EVENT_READ, server)
        self._servers[modules] = server
        return server

    def _start(self, tier: str, modules: frozenset[str]) -> Server:
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailable(
                f"there is no jail for {sys.platform}: run the grader in a Linux container (or WSL on Windows), or say "
                "unsandboxed=True for programs that you wrote"
            )
        slots = (
            1 if tier == "linux-ns" else self.in_flight
        )  # without Landlock a neighbour's folder would be in reach
        scratch = None
        if tier in ("linux-full", "linux-ns"):
            names = [f"/tmp/{n}" for n in range(slots)]
        elif tier == "linux-strict":
            names = []
        else:
            scratch = folders.Scratch(slots)
            names = scratch.slots
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        process = subprocess.Popen(
            # not -I: that would leave PYTHONHASHSEED unread; nothing else in this environment is the caller's
            [sys.executable, "-s", "-P", "-B", "-X", "utf8", _SERVER, str(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()], env={**_ENVIRONMENT, "PYTHONHASHSEED": str(self.hash_seed), **kept}, cwd="/",
        )  # fmt: skip
        theirs.close()
        settings = {
            "tier": tier,
            "limits": asdict(self.limits),
            "slots": names,
            "in_flight": slots,
            "modules": sorted(modules),
            "shown": _shown(),
            "paths": _python_paths(),
        }
        ours.send(json.dumps(settings).encode())
        return Server(process, ours, modules, time.monotonic(), scratch)

    def _message(self, selector: selectors.BaseSelector, server: Server) -> None:
        try:
            data = server.control.recv(65536)
        except OSError:
            data = b""
        kind = data[:1]
        if not data:
            self._died(selector, server, "the sandbox server ended unexpectedly")
        elif kind == b"R":
            server.ready = True
            self._tier = data[1:].decode()
            while server.waiting:
                self._send(selector, server, server.waiting.popleft())
        elif kind == b"F":
            self._failed(selector, server, data[1:].decode())
        elif kind == b"X":
            _, number, status, ended, wall_s, cpu_s = protocol.EXIT.unpack(data)
            task = server.running.pop(number)
            self._ended(task, status, ended, wall_s, cpu_s)
        elif kind == b"C":
            task = server.running.pop(protocol.START.unpack(data[: protocol.START.size])[1])
            _close(task)
            text = protocol.clean(data[protocol.START.size :].decode("utf-8", "replace"))
            name = text.strip().rpartition("\n")[2].partition(":")[0]
            _finish(
                task, Outcome("grader_error", tier=self._tier, stage="compile", error_type=name, text=text)
            )

    def _failed(self, selector: selectors.BaseSelector, server: Server, reason: str) -> None:
        """A server says that its tier does not work here: try the next one, or refuse."""
        tasks = list(server.waiting)
        self._end(selector, server)
        if not self._tier:
            tried, *rest = self._candidates
            self._refusals = [*getattr(self, "_refusals", []), f"{tried}: {reason}"]
            if rest:
                self._candidates = tuple(rest)
            else:
                self._refusal = _refused(self._refusals, self._require)
        for task in reversed(tasks):
            if self._refusal:
                _finish(task, Outcome("infrastructure", text=self._refusal))
            else:
                self._again(task, reason)

    def _died(self, selector: selectors.BaseSelector, server: Server, reason: str) -> None:
        tasks = [*server.running.values(), *server.waiting]
        self._end(selector, server)
        for task in reversed(tasks):
            task.attempts += 1
            self._again(task, reason)

    def _again(self, task: Task, reason: str) -> None:
        _close(task)
        if task.attempts >= ATTEMPTS:
            text = f"{reason}, {task.attempts} times under this sample"
            _finish(task, Outcome("infrastructure", tier=self._tier, text=text, attempts=task.attempts))
        else:
            self._queue.appendleft(task)

    def _send(self, selector: selectors.BaseSelector, server: Server, task: Task) -> None:
        """Hand a task to a ready server: its source once, then the payload and our pipe."""
        if task.future.done():
            return
        opened: list[int] = []
        try:
            number = server.sources.get(task.source)
            if number is None:
                number = len(server.sources)
                server.sources[task.source] = number
                text = _memory(task.source.encode("utf-8", "surrogatepass"))
                opened.append(text)
                protocol.send(server.control, protocol.START.pack(b"S", number), [text])
            payload = _memory(task.payload)
            opened.append(payload)
            read, write = os.pipe2(os.O_CLOEXEC)
            opened.append(write)
            task.result = read
            os.set_blocking(read, False)
            task.watchdog = time.monotonic() + task.wall_s + GRACE_S
            server.running[task.number] = task
            protocol.send(
                server.control,
                protocol.JOB.pack(b"J", task.number, number, task.wall_s, task.seed),
                [payload, write],
            )
        except OSError as error:
            if server.running.get(task.number) is not task:
                task.attempts += 1
                self._again(task, f"a sample could not be sent: {error}")
            self._died(selector, server, f"a sample could not be sent: {error}")
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _ended(self, task: Task, status: int, ended: int, wall_s: float, cpu_s: float) -> None:
        """What became of a sample whose process has ended."""
        try:
            frame = os.read(task.result, protocol.RESULT_MAX + 1)
        except OSError:
            frame = b""
        _close(task)
        outcome = _outcome(frame, status, ended, task.wall_s)
        _finish(
            task, replace(outcome, tier=self._tier, wall_s=wall_s, cpu_s=cpu_s, attempts=task.attempts + 1)
        )

    def _drop_cancelled(self) -> None:
        while self._cancelled:
            task = self._cancelled.popleft()
            for server in self._servers.values():
                if server.running.get(task.number) is task:
                    with suppress(OSError):
                        server.control.send(protocol.START.pack(b"K", task.number))

    def _watch(self, selector: selectors.BaseSelector) -> None:
        """A server that does not end its samples in time is hung: end it."""
        now = time.monotonic()
        for server in list(self._servers.values()):
            late = [task for task in server.running.values() if now > task.watchdog]
            if late or (not server.ready and now > server.started + START_S):
                self._died(selector, server, "the sandbox server did not answer in time")

    def _end(self, selector: selectors.BaseSelector, server: Server) -> None:
        """Close a server; what runs in it ends with it."""
        with suppress(KeyError, ValueError):
            selector.unregister(server.control)
        server.control.close()
        self._servers.pop(server.modules, None)
        for task in server.running.values():
            if self._closing:
                _close(task)
                _finish(task, Outcome("infrastructure", text="the sandbox was closed"))
        try:
            server.process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        if server.scratch is not None:
            server.scratch.remove()


def _outcome(frame: bytes, status: int, ended: int, wall_s: float) -> Outcome:
    """What a sample's frame, its exit and who ended it say together."""
    if ended == protocol.BY_DEADLINE:
        return Outcome("timeout", error_type="wall", text=f"the program ran longer than {wall_s:g} s")
    if ended == protocol.BY_DISK:
        return Outcome("disk", text="the program left more on disk than its limit")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in signal.valid_signals() else str(number)
        if number == signal.SIGXCPU:
            return Outcome(
                "timeout", error_type="cpu", text="the program used more processor time than its limit"
            )
        if number == signal.SIGXFSZ:
            return Outcome("disk", error_type=name, text="the program wrote a larger file than its limit")
        if number == signal.SIGKILL:
            # nobody inside can: the CPU limit's last word, or the kernel short of memory
            return Outcome(
                "memory", error_type=name, text="the program was killed by the kernel, out of memory"
            )
        return Outcome("crash", error_type=name, text=f"the program was ended by {name}")
    if os.WEXITSTATUS(status) == 70 and not frame:
        return Outcome("infrastructure", text="the jail of this sample could not be entered")
    if not frame:
        return Outcome(
            "no_result",
            text=f"the program left with exit code {os.WEXITSTATUS(status)} before it had a result",
        )
    read = protocol.read_result(frame)
    if read is None or os.WEXITSTATUS(status):
        return Outcome("protocol", text=f"the program wrote {len(frame)} bytes that are not one result")
    return read


def _finish(task: Task, outcome: Outcome) -> None:
    if task.future.set_running_or_notify_cancel():
        task.future.set_result(outcome)


def _close(task: Task) -> None:
    if task.result >= 0:
        os.close(task.result)
        task.result = -1


def _memory(data: bytes) -> int:
    """A descriptor of bytes in memory that its reader can neither change nor grow."""
    descriptor = os.memfd_create("graders", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _at_least(require: str | None) -> tuple[str, ...]:
    return TIERS if require is None else TIERS[: TIERS.index(require) + 1]


def _admitted(limits: Limits) -> int:
    """Samples at once: twice the cores, as long as half of what is free holds their memory limits."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/proc/meminfo") as file:
            free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 2 * cores
    return max(1, min(2 * cores, free // max(1, limits.memory_bytes)))


def _refused(reasons: list[str], require: str | None) -> str:
    wanted = f" as strong as {require!r}" if require else ""
    return (
        f"no sandbox{wanted} works here ({'; '.join(reasons)}). What helps: Linux 6.12 or newer with Landlock; in "
        "Docker or Kubernetes the default seccomp profile is fine; `python -m graders_sandbox doctor` names each "
        "protection. For programs that you wrote, unsandboxed=True runs them without any."
    )


def _python_paths() -> list[str]:
    """sys.path of the samples: the standard library and the installed packages, nothing of the caller's."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [path for path in sys.path if path.endswith("lib-dynload") or path.endswith(".zip")]
    with suppress(AttributeError):
        paths += site.getsitepackages()
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def _shown() -> list[str]:
    """What samples may read: Python, its packages, shared libraries, time zones."""
    libraries = [
        sysconfig.get_config_var("LIBDIR"),
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
    ]
    others = ["/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime"]
    paths = [*_python_paths(), *libraries, *others]
    return [path for path in dict.fromkeys(paths) if path and os.path.exists(path)]


_ALL: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A forked caller has no thread of ours, and must not keep our servers alive."""
    for sandbox in list(_ALL):
        for server in sandbox._servers.values():
            server.control.close()
            server.process.returncode = 0  # not our child: never waited for
        sandbox._reset()


def _close_all() -> None:
    for sandbox in list(_ALL):
        sandbox.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
