"""Worker processes for local graders whose rows take longer than sending them to another process.

Each worker runs `main`: it receives the grader once, then reads chunks and writes results, pickled, over its pipes. It
imports nothing of the caller's program, and ends when its input ends, however its parent died.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from graders.results.lines import WorkersLost

if TYPE_CHECKING:
    from graders.batch.chunks import RowChunk
    from graders.results.lines import LineWriter, ResultChunk

#: Seconds that a worker may take to end after its input has ended.
CLOSE_S = 2.0


class Processes:
    """Worker processes of this machine (see `graders.batch.chunks.Workers`).

    Args:
        n: Number of processes.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._workers: list[subprocess.Popen[bytes]] = []

    def grade(self, lines: LineWriter, parts: Iterator[RowChunk]) -> Iterator[ResultChunk]:
        """The graded chunks, in any order; every worker holds one.

        Raises:
            WorkersLost: a worker died; the results of the others have been yielded.
        """
        handed_over = (
            lines.grader.spec.to_json(),
            lines.grader.backends.options,
            lines.field_map,
            lines.texts,
        )
        self._workers = [_start(pickle.dumps(handed_over)) for _ in range(self._n)]
        ready: SimpleQueue[ResultChunk | BaseException | None] = SimpleQueue()
        taking = Lock()

        def serve(worker: subprocess.Popen[bytes]) -> None:
            assert worker.stdin
            assert worker.stdout
            try:
                while True:
                    with taking:
                        part = next(parts, None)
                    if part is None:
                        break
                    pickle.dump(part, worker.stdin, pickle.HIGHEST_PROTOCOL)
                    worker.stdin.flush()
                    ready.put(pickle.load(worker.stdout))
            except (OSError, EOFError):
                ready.put(WorkersLost(f"a worker process died (exit {worker.wait(CLOSE_S)})"))
            except BaseException as error:
                # raised by `parts`: the data breaks off
                ready.put(error)
            ready.put(None)

        for worker in self._workers:
            Thread(target=serve, args=(worker,), name="graders-worker", daemon=True).start()
        failure: BaseException | None = None
        for _ in self._workers:
            while (piece := ready.get()) is not None:
                if isinstance(piece, BaseException):
                    failure = failure or piece
                else:
                    yield piece
        if failure is not None:
            raise failure

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                assert pipe
                # closing flushes, which fails for a worker that died
                with suppress(OSError):
                    pipe.close()


def _start(handed_over: bytes) -> subprocess.Popen[bytes]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
    worker = subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdin
    worker.stdin.write(handed_over)
    worker.stdin.flush()
    return worker


def main() -> None:
    """The worker's main program."""
    # a terminal's Ctrl-C reaches the whole group; the parent drains
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from graders.engine.backends import Backends
    from graders.engine.grader import Grader
    from graders.kinds.reading import read
    from graders.results.lines import LineWriter
    from graders.spec.reading import load

    into, out = sys.stdin.buffer, sys.stdout.buffer
    spec, options, field_map, texts = pickle.load(into)
    grader = Grader(read(load(spec)).spec, Backends(), options)
    lines = LineWriter(grader, field_map, texts=texts)
    while True:
        try:
            part: Any = pickle.load(into)
            pickle.dump(lines.grade(*part), out, pickle.HIGHEST_PROTOCOL)
            out.flush()
        except (EOFError, BrokenPipeError):
            # nothing is left to flush, and to whom
            os._exit(0)
