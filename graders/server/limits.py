"""What is bounded, and who is asked to come back later.

Judges, sandbox and embedder have their own limits, and queues behind them. `Shared` keeps those queues short: a row
that would wait too long is refused at once, which the client sees as 429.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from graders.ask import Answer, Ask, CodeAsk, CodeReply, EmbedAsk, EndpointAsk, ModelAsk, SampleAsk
from graders.engine.backends import Backends
from graders.engine.futures import cancel
from graders.errors import GradeError, PythonServerError
from graders.jsontext import VALUES_MAX

if TYPE_CHECKING:
    from graders.server.metrics import Metrics
    from graders.spec.options import Options


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server admits.

    Attributes:
        body_bytes: Of one request.
        file_bytes: Of one uploaded file, which goes to disk as it arrives.
        files_bytes: Of all files in the store.
        buffered_bytes: Of all requests' bodies together, while they are graded.
        json_values: Of one JSON body, or of one line of NDJSON: nobody else is answered while they are parsed.
        requests: Under way at once.
        code, judge, embed: Python graders, judges' questions and texts to embed that run or wait.
        large: Rows with long texts and nobody to ask that run or wait.
        batches: Under way at once, and so many threads.
        batch_window: Rows of one batch under way at once.
        compiled: Graders kept compiled.
        timeout_s: For one row, the wait for a free place included. A client that tells its own, shorter time-out
            (the official ones do) gets that one.
        body_s: For the rest of its body to arrive; of an uploaded file, for its next part.
        head_s: For a request's headers and the first of its body to arrive, from the connection or their first byte.
        head_bytes: Of a request's headers.
        write_s: For a client to read some 64 kB of its answer; a slower one is given up.
        keep_alive_s: For an idle connection.
        connections: Open at once; more are closed as they come.
        drain_s: For what is under way, when the server is told to stop.
    """

    body_bytes: int = 32 * 1024**2
    file_bytes: int = 512 * 1024**2
    files_bytes: int = 20 * 1024**3
    buffered_bytes: int = 256 * 1024**2
    json_values: int = VALUES_MAX
    requests: int = 1024
    code: int = 256
    judge: int = 512
    embed: int = 256
    large: int = 64
    batches: int = 4
    batch_window: int = 64
    compiled: int = 256
    timeout_s: float = 300.0
    body_s: float = 60.0
    head_s: float = 10.0
    head_bytes: int = 64 * 1024
    write_s: float = 30.0
    keep_alive_s: float = 75.0
    connections: int = 2048
    drain_s: float = 30.0


class Overloaded(GradeError):
    """There is no place for this row now."""


#: type of an ask -> what it is called in Limits, messages and metrics
_NAMES: dict[type, str] = {
    CodeAsk: "code",
    ModelAsk: "judge",
    EndpointAsk: "judge",
    EmbedAsk: "embed",
    SampleAsk: "sample",
}
_WORDS = {
    "code": "python graders",
    "judge": "questions to judges",
    "embed": "texts to embed",
    "sample": "samples of models",
}


class Shared(Backends):
    """The backends of all requests, with a short queue.

    Attributes:
        under_way: "code", "judge", "embed", "sample" -> how many run or wait.
    """

    def __init__(self, backends: Backends, limits: Limits, metrics: Metrics) -> None:
        super().__init__()
        self.backends = backends
        self.under_way: Counter[str] = Counter()
        self._most = {
            "code": limits.code,
            "judge": limits.judge,
            "embed": limits.embed,
            "sample": limits.judge,
        }
        self._metrics = metrics
        self._counting = threading.Lock()

    @property
    def options(self) -> Options:
        return self.backends.options

    def submit(
        self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None
    ) -> list[Future[Answer]]:
        """As Backends.submit.

        Raises:
            Overloaded: as many run or wait as are admitted.
        """
        for name in {_NAMES[type(ask)] for ask in asks if not isinstance(ask, GradeError)}:
            if self.under_way[name] >= self._most[name]:
                raise Overloaded(f"{self.under_way[name]} {_WORDS[name]} run or wait already")
        return self.send(asks, deadline=deadline)

    def send(
        self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None
    ) -> list[Future[Answer]]:
        """As submit, for a batch, which has its place already and bounds its own rows."""
        names = [None if isinstance(ask, GradeError) else _NAMES[type(ask)] for ask in asks]
        with self._counting:
            self.under_way.update(filter(None, names))
        try:
            futures = self.backends.submit(asks, deadline=deadline)
        except BaseException:
            with self._counting:
                self.under_way.subtract(filter(None, names))
            raise
        for name, future in zip(names, futures, strict=True):
            if name:
                future.add_done_callback(partial(self._ended, name))
        return futures

    def _ended(self, name: str, future: Future[Answer]) -> None:
        with self._counting:
            self.under_way[name] -= 1
        if name == "code":
            self._metrics.sandbox("cancelled" if future.cancelled() else _outcome(future.result()))

    def close(self) -> None:
        self.backends.close()


def _outcome(answer: Answer) -> str:
    """What became of a python grader, in one word."""
    if isinstance(answer, CodeReply):
        return "value"
    if isinstance(answer, PythonServerError):
        return answer.kind
    return answer.flag if isinstance(answer, GradeError) else type(answer).__name__


class Borrowed(Backends):
    """The shared backends as one batch sees them: every row has its time, and all can be given up together."""

    def __init__(self, shared: Shared, timeout_s: float) -> None:
        super().__init__()
        self._shared = shared
        self._timeout_s = timeout_s
        self._under_way: set[Future[Answer]] = set()
        self._given_up = False

    @property
    def options(self) -> Options:
        return self._shared.options

    def submit(
        self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None
    ) -> list[Future[Answer]]:
        futures = self._shared.send(asks, deadline=deadline or time.monotonic() + self._timeout_s)
        self._under_way.update(futures)
        for future in futures:
            future.add_done_callback(self._under_way.discard)
        if self._given_up:
            cancel(futures)
        return futures

    def give_up(self) -> None:
        """Cancel what is under way and what is still sent; whoever waits for it gets CancelledError."""
        self._given_up = True
        cancel(list(self._under_way))


class Buffered:
    """Bytes of bodies in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.n_bytes = 0

    def add(self, n_bytes: int) -> bool:
        """Whether they fit."""
        if self.n_bytes + n_bytes > self._most:
            return False
        self.n_bytes += n_bytes
        return True

    def drop(self, n_bytes: int) -> None:
        self.n_bytes -= n_bytes
