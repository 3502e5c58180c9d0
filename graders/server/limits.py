"""Limits of the server, and admission of rows.

Judges, sandbox and embedder have their own limits, and queues behind them. `AdmissionBackends` keeps those queues
short: a row that would wait too long is refused at once with 429.
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
    """Limits of the server.

    Attributes:
        body_bytes: Size of one request's body.
        file_bytes: Size of one uploaded file, which is written to disk as it arrives.
        files_bytes: Size of all files in the store.
        buffered_bytes: Size of all requests' bodies together, while they are graded.
        json_values: Values in one JSON body or line of NDJSON, since parsing blocks other requests.
        requests: Requests in progress.
        code, judge, embed: Python graders, questions to judges and texts to embed that run or wait.
        large: Rows of local graders with long texts that run or wait.
        batches: Batches in progress, each with a thread.
        batch_window: Rows of one batch in flight.
        compiled: Compiled graders in the cache.
        timeout_s: Seconds for one row, waiting included. A shorter time-out that the client sends (as the official ones
            do) takes precedence.
        body_s: Seconds for the rest of a body to arrive; for an uploaded file, for its next part.
        head_s: Seconds for a request's headers and the beginning of its body to arrive.
        head_bytes: Size of a request's headers.
        write_s: Seconds for a client to read some 64 kB of its response; a slower one is disconnected.
        keep_alive_s: Seconds of an idle connection.
        connections: Open connections; further ones are closed at once.
        drain_s: Seconds for requests in progress at shutdown.
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
    """Raised for a row that is not admitted now."""


#: type of an ask -> its name in Limits, messages and metrics
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


class AdmissionBackends(Backends):
    """The backends of all requests, with admission to short queues.

    Attributes:
        under_way: "code", "judge", "embed", "sample" -> number of asks that run or wait.
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
            Overloaded: the admitted number of asks runs or waits.
        """
        for name in {_NAMES[type(ask)] for ask in asks if not isinstance(ask, GradeError)}:
            if self.under_way[name] >= self._most[name]:
                raise Overloaded(f"{self.under_way[name]} {_WORDS[name]} run or wait already")
        return self.send(asks, deadline=deadline)

    def send(
        self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None
    ) -> list[Future[Answer]]:
        """As submit, for a batch, which is admitted already and bounds its own rows."""
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
                future.add_done_callback(partial(self._on_answer, name))
        return futures

    def _on_answer(self, name: str, future: Future[Answer]) -> None:
        with self._counting:
            self.under_way[name] -= 1
        if name == "code":
            self._metrics.sandbox("cancelled" if future.cancelled() else _outcome(future.result()))

    def close(self) -> None:
        self.backends.close()


def _outcome(answer: Answer) -> str:
    """The outcome of a python grader, in one word."""
    if isinstance(answer, CodeReply):
        return "value"
    if isinstance(answer, PythonServerError):
        return answer.kind
    return answer.flag if isinstance(answer, GradeError) else type(answer).__name__


class CancellableBackends(Backends):
    """The shared backends for one batch: with a time-out per row, and a common cancellation."""

    def __init__(self, shared: AdmissionBackends, timeout_s: float) -> None:
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

    def cancel(self) -> None:
        """Cancel all asks, present and future; their waiters get CancelledError."""
        self._given_up = True
        cancel(list(self._under_way))


class BodyBudget:
    """A budget for the bytes of bodies in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.n_bytes = 0

    def add(self, n_bytes: int) -> bool:
        """Reserve bytes; returns whether they fit."""
        if self.n_bytes + n_bytes > self._most:
            return False
        self.n_bytes += n_bytes
        return True

    def drop(self, n_bytes: int) -> None:
        self.n_bytes -= n_bytes
