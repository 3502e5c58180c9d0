"""A queue of texts for an embedder. Its thread makes one call at a time, since a model keeps its processor busy."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from graders.ask import Answer, EmbedAsk, EmbedReply
from graders.errors import GradeError, ModelServerError

if TYPE_CHECKING:
    from graders.embed import Embedder
    from graders.endpoints.background import Loop


class EmbeddingQueue:
    """Sends the texts of many rows to an embedder, those submitted together in one call.

    Args:
        embedder: Returns the embedder; an error that it raises becomes the rows' answer.
    """

    def __init__(self, embedder: Callable[[], Embedder]) -> None:
        self._embedder = embedder
        self._loop: Loop | None = None
        self._lock = threading.Lock()

    def submit(self, embeds: list[tuple[EmbedAsk, Future[Answer]]]) -> None:
        """Queue texts, each with the future of its answer."""
        with self._lock:
            if self._loop is None or self._loop.pid != os.getpid():
                from graders.endpoints.background import Loop

                self._loop = Loop("graders-embed")
        self._loop.call(partial(self._embed, embeds))

    def _embed(self, embeds: list[tuple[EmbedAsk, Future[Answer]]]) -> None:
        """One call for the texts of many rows."""
        live = [(ask, future) for ask, future in embeds if future.set_running_or_notify_cancel()]
        for answer, (_, future) in zip(self._vectors([ask for ask, _ in live]), live, strict=True):
            future.set_result(answer)

    def _vectors(self, asks: Sequence[EmbedAsk]) -> list[Answer]:
        from graders.embed import TextsRefused

        started = time.perf_counter()
        try:
            embedder = self._embedder()
            vectors = embedder.embed([text for ask in asks for text in ask.texts])
        except TextsRefused as error:
            if len(asks) == 1:
                return [error]
            # one at a time, so that a refused text fails its own row only
            return [answer for ask in asks for answer in self._vectors([ask])]
        except GradeError as error:
            return [error] * len(asks)
        except Exception as error:
            return [ModelServerError(f"the embedder failed: {type(error).__name__}: {error}")] * len(asks)
        seconds = time.perf_counter() - started
        answers: list[Answer] = []
        at = 0
        for ask in asks:
            answers.append(EmbedReply(vectors[at : at + len(ask.texts)], embedder.provenance, seconds))
            at += len(ask.texts)
        return answers

    def close(self) -> None:
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()
