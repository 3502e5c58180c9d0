"""POST /v1/embeddings of any OpenAI-compatible endpoint, over the judges' connections, keys, limits and retries."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graders.embed import TextsRefused, encodable
from graders.endpoints.concurrency import Closed, Gate, retry_after
from graders.endpoints.transport import WAYS, Reply, Transport
from graders.endpoints.wire import said
from graders.errors import ModelServerError, ModelStop
from graders.jsontext import request_body
from graders.judges.client import BASE_S, MOST_S, final, redacted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from graders.endpoints.config import Route
    from graders.engine.background import Loop

MAX_CHARS = 400_000  # of the texts in one request: the documented cap is 300,000 tokens


class Remote:
    """Vectors from an endpoint. Several requests may be under way; `embed` may be called from any thread."""

    def __init__(
        self, route: Route, *, dimensions: int = 0, batch: int = 256, transport: Transport | None = None
    ) -> None:
        """
        Args:
            route: Where and how; `route.name` is the model's name.
            dimensions: What is asked for; 0: nothing, so that the model's own come.
            batch: Texts in one request.
            transport: Makes every HTTP exchange; None: what the route says.
        """
        self._route = route
        self._url = route.url(route.name, "/embeddings")
        self._dimensions = dimensions
        self._batch = batch
        self._given = transport
        self._loop: Loop | None = None
        self._encoding = (
            "base64"  # a quarter of the bytes and a tenth of the time; "" once the server refused it
        )
        self._proven = False
        self._made_by: tuple[str, int] | None = None  # the model that answered, its dimensions

    @property
    def provenance(self) -> Mapping[str, Any]:
        model, dims = self._made_by or ("", self._dimensions)
        where = self._route.endpoint or self._route.origin
        return {"model": self._route.name, "answered_by": model, "dimensions": dims, "endpoint": where}

    def embed(self, texts: Sequence[str]) -> NDArray[Any]:
        """See Embedder."""
        import numpy as np

        work = self._started().start(self._all([encodable(text) for text in texts]))
        try:
            return np.concatenate(work.result())
        except BaseException:
            work.cancel()
            raise

    def _started(self) -> Loop:
        """The loop, its connections and its limits, made at the first call; anew in a forked child."""
        if self._loop is None or self._loop.pid != os.getpid():
            from graders.engine.background import Loop

            route = self._route
            self._transport = self._given or WAYS[route.transport]()
            self._gate = Gate(
                route.max_in_flight, route.requests_per_minute, route.tokens_per_minute,
                clock=time.monotonic, sleep=asyncio.sleep,
            )  # fmt: skip
            self._loop = Loop("graders-embed-http")
        return self._loop

    def close(self) -> None:
        """Close connections."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.pid == os.getpid():
            loop.finish(self._transport.aclose())
            loop.close()

    async def _all(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        deadline = time.monotonic() + self._route.timeout_s
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(self._part(part, deadline)) for part in self._parts(texts)]
        except BaseExceptionGroup as errors:  # the first one tells enough
            raise errors.exceptions[0] from None
        return [part.result() for part in parts]

    def _parts(self, texts: Sequence[str]) -> list[list[str]]:
        parts: list[list[str]] = []
        room = 0
        for text in texts:
            if not parts or len(parts[-1]) == self._batch or len(text) > room:
                parts.append([])
                room = MAX_CHARS
            parts[-1].append(text)
            room -= len(text)
        return parts

    async def _part(self, texts: Sequence[str], deadline: float) -> NDArray[Any]:
        """One request, tried again where that may help."""
        tries = 0
        while True:
            encoding = self._encoding
            sent_at, reply = await self._exchange(texts, encoding, deadline)
            tries += 1
            if isinstance(reply, Reply) and reply.status == 200:
                self._gate.succeeded()
                return self._read(reply.body, len(texts))
            pause = 0.0
            if isinstance(reply, Reply):
                text = reply.body.decode("utf-8", "replace")
                if encoding and reply.status in (400, 422) and ("encoding" in text or "base64" in text):
                    self._encoding = ""  # the server takes no encoding_format: floats then
                    tries -= 1
                    continue
                trouble = redacted(said(reply.status, text), self._route.key())
                failure = final(reply.status, text, trouble, self._proven)
                if isinstance(failure, ModelStop):
                    raise failure
                if failure is not None:
                    raise TextsRefused(f"embeddings: {trouble}")
                pause = retry_after(reply.headers, time.time())
                if reply.status == 429:
                    self._gate.throttled(sent_at, pause)
            else:
                trouble = f"no response: {str(reply) or type(reply).__name__}"
            if tries >= self._route.max_attempts:
                raise ModelServerError(f"embeddings: {trouble}; gave up after {tries} attempts")
            pause = max(pause, random.random() * min(MOST_S, BASE_S * 2.0 ** (tries - 1)))
            if time.monotonic() + pause >= deadline:
                raise ModelServerError(f"embeddings: {trouble}; no time is left for another attempt")
            await asyncio.sleep(pause)

    async def _exchange(
        self, texts: Sequence[str], encoding: str, deadline: float
    ) -> tuple[float, Reply | OSError | TimeoutError]:
        """When it was sent, and what came back."""
        body: dict[str, Any] = {"model": self._route.model or self._route.name, "input": list(texts)}
        if encoding:
            body["encoding_format"] = encoding
        if self._dimensions:
            body["dimensions"] = self._dimensions
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "local-graders",
        }
        if key := self._route.key():
            headers |= {"api-key": key} if self._route.azure else {"authorization": f"Bearer {key}"}
        headers |= {name.lower(): value for name, value in self._route.headers.items()}
        try:
            await self._gate.enter(deadline)
        except Closed as closed:
            raise ModelServerError(
                f"embeddings: the endpoint wants no request for another {closed.wait_s:.3g} s, beyond timeout_s"
            ) from None
        sent_at = time.monotonic()
        try:
            timeout_s = min(self._route.attempt_timeout_s, max(0.001, deadline - sent_at))
            data = request_body(body)
            return sent_at, await self._transport.post(self._url, headers, data, timeout_s)
        except OSError as error:  # TimeoutError is one
            return sent_at, error
        finally:
            self._gate.leave()

    def _read(self, body: bytes, count: int) -> NDArray[Any]:
        """The vectors of a 200 response.

        Raises:
            ModelServerError: it does not hold one finite vector for each text, all of one length, by the same model
                as before.
        """
        import numpy as np

        try:
            data = json.loads(body)
            by_index = {entry["index"]: _vector(entry["embedding"]) for entry in data["data"]}
            vectors = np.array([by_index[index] for index in range(count)], dtype=np.float64)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelServerError(
                f"embeddings: status 200, but not {count} vectors of one length: {type(error).__name__}: {error}"
            ) from None
        if vectors.ndim != 2 or len(by_index) != count or not np.isfinite(vectors).all():
            raise ModelServerError(f"embeddings: status 200, but not {count} vectors of finite numbers")
        made_by = (str(data.get("model") or ""), vectors.shape[1])
        if self._made_by not in (None, made_by):
            raise ModelServerError(
                f"embeddings: vectors by {made_by} came after vectors by {self._made_by}: they cannot be compared"
            )
        self._made_by = made_by
        self._proven = True
        return vectors


def _vector(embedding: str | Sequence[float]) -> NDArray[Any]:
    """Numbers, or little-endian float32 in base64.

    Raises:
        ValueError: neither.
    """
    import numpy as np

    if isinstance(embedding, str):
        try:
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float64)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from None
    return np.array(embedding, dtype=np.float64)
