"""Local graders in processes of their own, for metrics that cost more than sending the row there.

Each worker runs `main`: it is told the grader once, then reads parts and writes pieces, pickled, over its pipes. It
imports nothing of the caller's program, and ends when its input does, however its parent died.
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

from graders.results.lines import Broken

if TYPE_CHECKING:
    from graders.batch.chunks import RowChunk
    from graders.results.lines import LineWriter, ResultChunk

#: How long a worker may take to end after its input has.
CLOSE_S = 2.0


class Processes:
    """A few worker processes.

    Args:
        n: How many.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._workers: list[subprocess.Popen[bytes]] = []

    def grade(self, lines: LineWriter, parts: Iterator[RowChunk]) -> Iterator[ResultChunk]:
        """Each part, graded, in any order; every worker holds one.

        Raises:
            Broken: a worker died; the others have graded what they could.
        """
        told = (lines.grader.spec.to_json(), lines.grader.backends.options, lines.field_map, lines.texts)
        self._workers = [_start(pickle.dumps(told)) for _ in range(self._n)]
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
                ready.put(Broken(f"a worker process died (exit {worker.wait(CLOSE_S)})"))
            except BaseException as error:  # of the parts: the data breaks off
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
                with suppress(OSError):  # what could not be written to one that died
                    pipe.close()


def _start(told: bytes) -> subprocess.Popen[bytes]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
    worker = subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdin
    worker.stdin.write(told)
    worker.stdin.flush()
    return worker


def main() -> None:
    """The worker."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C reaches the whole group; the parent drains
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
            os._exit(0)  # nothing is left to flush, and to whom
