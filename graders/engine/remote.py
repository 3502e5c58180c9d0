"""One event loop for all questions over the network: to judges, sampled models and graders behind addresses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from graders.ask import Answer, EndpointAsk, ModelAsk, SampleAsk
from graders.engine.futures import follow
from graders.errors import ModelServerError

if TYPE_CHECKING:
    from graders.endpoints.background import Loop

RemoteAsk: TypeAlias = ModelAsk | SampleAsk | EndpointAsk


class RemoteQueue:
    """Submits questions to an event loop, which starts with the first one, and again in a forked child.

    Args:
        client_for: Returns the client for asks of a type; its ValueError (an invalid configuration) becomes the
            rows' answer.
    """

    def __init__(self, client_for: Callable[[type[RemoteAsk]], Any]) -> None:
        self._client_for = client_for
        self._loop: Loop | None = None
        self._lock = threading.Lock()

    def submit(self, asked: Sequence[tuple[RemoteAsk, Future[Answer]]], deadline: float | None) -> None:
        """Submit questions, with a single wake-up of the loop."""
        try:
            clients = {kind: self._client_for(kind) for kind in {type(ask) for ask, _ in asked}}
        except ValueError as error:
            for _, future in asked:
                future.set_result(ModelServerError(str(error)))
            return
        with self._lock:
            if self._loop is None or self._loop.pid != os.getpid():
                from graders.endpoints.background import Loop

                self._loop = Loop()
        loop = self._loop

        def begin() -> None:
            for ask, future in asked:
                if not future.cancelled():
                    task = loop.create_task(clients[type(ask)].answer(ask, deadline=deadline))
                    follow(task, future, _same, partial(loop.cancel_task, task))

        loop.call(begin)

    def interrupt(self) -> None:
        """Cancel the questions in flight: their answers are Interrupted."""
        loop = self._loop
        if loop is not None:
            loop.cancel()

    def close(self, clients: Iterable[Any]) -> None:
        """Close the clients' connections and end the loop."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and loop.pid == os.getpid():
            for client in clients:
                loop.finish(client.aclose())
            loop.close()


def _same(reply: Answer) -> Answer:
    return reply
