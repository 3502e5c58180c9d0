"""POST /v1/embeddings of any OpenAI-compatible endpoint, over the judges' connections, keys, limits and retries."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graders.embed import TextsRefused, encodable
from graders.endpoints.call import EndpointCall
from graders.endpoints.complaint import Complaint
from graders.endpoints.contract import Reply, Transport
from graders.endpoints.endpoint import Endpoint, Endpoints
from graders.endpoints.failures import CapabilityLearned, final_failure
from graders.endpoints.spending import text_tokens
from graders.errors import GradeError, ModelServerError, ModelStop
from graders.usage import Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from graders.config.config import Config
    from graders.endpoints.background import Loop

#: Characters of the texts in one request; the documented cap is 300,000 tokens.
MAX_CHARS = 400_000


class RemoteEmbedder:
    """An embedder behind an endpoint. Several requests may be in flight; `embed` is thread-safe."""

    def __init__(
        self,
        config: Config,
        model: str,
        *,
        dimensions: int = 0,
        batch: int = 256,
        transport: Transport | None = None,
    ) -> None:
        """
        Args:
            config: The configuration with the model's route.
            model: The model's name.
            dimensions: Requested length of the vectors; 0 requests none, so that the model's own applies.
            batch: Texts in one request.
            transport: The HTTP client; None: the route's.
        """
        self.dimensions = dimensions
        self._config = config
        self._model = model
        self._batch = batch
        self._given = transport
        self._loop: Loop | None = None
        # name and dimensions of the model that answered
        self._made_by: tuple[str, int] | None = None

    @property
    def provenance(self) -> Mapping[str, Any]:
        model, dims = self._made_by or ("", self.dimensions)
        route = self._config.route(self._model)
        where = route.endpoint or route.origin
        return {"model": self._model, "answered_by": model, "dimensions": dims, "endpoint": where}

    def record_model(self, model: str, dims: int) -> None:
        """Check that the model and its dimensions are those of the earlier vectors.

        Raises:
            ModelServerError: earlier vectors differ in these, so that they cannot be compared.
        """
        made_by = (model, dims)
        if self._made_by not in (None, made_by):
            raise ModelServerError(
                f"embeddings: vectors by {made_by} came after vectors by {self._made_by}: they cannot be compared"
            )
        self._made_by = made_by

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
        """The event loop with its connections and limits, made at the first call, and again in a forked child."""
        if self._loop is None or self._loop.pid != os.getpid():
            from graders.endpoints.background import Loop

            self._endpoints = Endpoints(self._config, transport=self._given)
            self._loop = Loop("graders-embed-http")
        return self._loop

    def close(self) -> None:
        """Close connections."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.pid == os.getpid():
            loop.finish(self._endpoints.aclose())
            loop.close()

    async def _all(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        endpoint = self._endpoints.find(self._model, operation="/embeddings")
        deadline = time.monotonic() + endpoint.route.timeout_s
        calls = [EmbedCall(self, endpoint, part, deadline) for part in self._parts(texts)]
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(call.answer()) for call in calls]
        except BaseExceptionGroup as errors:
            # the first error is enough
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


@dataclass(frozen=True, slots=True)
class Vectors:
    """A response's vectors.

    Attributes:
        values: float64, shape [texts, dims].
        model: The model that the server names.
    """

    values: NDArray[Any]
    model: str
    usage: Usage


class EmbedCall(EndpointCall[Vectors, "NDArray[Any]"]):
    """One request for the vectors of some texts."""

    subject = "embeddings: "

    def __init__(
        self, remote: RemoteEmbedder, endpoint: Endpoint, texts: Sequence[str], deadline: float
    ) -> None:
        super().__init__(endpoint, deadline)
        self._remote = remote
        self._texts = texts

    def body(self) -> dict[str, Any]:
        endpoint = self.endpoint
        body: dict[str, Any] = {"model": endpoint.route.model or endpoint.model, "input": list(self._texts)}
        # base64 needs a quarter of the bytes and a tenth of the time
        if "encoding_format" not in endpoint.capabilities.refused:
            body["encoding_format"] = "base64"
        if self._remote.dimensions:
            body["dimensions"] = self._remote.dimensions
        return body

    def form(self) -> Mapping[str, Any]:
        return {}

    def expected_tokens(self) -> Usage:
        return Usage(sum(map(text_tokens, self._texts)), 0)

    def review(self, complaint: Complaint, body: Mapping[str, Any], message: str) -> Exception | None:
        capabilities = self.endpoint.capabilities
        names = complaint.names & {"encoding", "encodingformat", "base64"}
        if complaint.status in (400, 422) and names and "encoding_format" in body:
            capabilities.refuse("encoding_format")
            return CapabilityLearned("encoding_format")
        failure = final_failure(complaint, f"embeddings: {message}", proven=capabilities.proven)
        refused = isinstance(failure, GradeError) and not isinstance(failure, ModelStop)
        return TextsRefused(str(failure)) if refused else None

    def parse(self, reply: Reply) -> Vectors:
        """
        Raises:
            ModelServerError: the response lacks a finite vector for some text, or their lengths differ.
        """
        import numpy as np

        count = len(self._texts)
        try:
            data = json.loads(reply.body)
            by_index = {entry["index"]: _vector(entry["embedding"]) for entry in data["data"]}
            vectors = np.array([by_index[index] for index in range(count)], dtype=np.float64)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelServerError(
                f"embeddings: status 200, but not {count} vectors of one length: {type(error).__name__}: {error}"
            ) from None
        if vectors.ndim != 2 or len(by_index) != count or not np.isfinite(vectors).all():
            raise ModelServerError(f"embeddings: status 200, but not {count} vectors of finite numbers")
        return Vectors(vectors, str(data.get("model") or ""), Usage())

    def accept(self, parsed: Vectors, body: Mapping[str, Any]) -> NDArray[Any]:
        self._remote.record_model(parsed.model, parsed.values.shape[1])
        self.endpoint.capabilities.proven = True
        return parsed.values


def _vector(embedding: str | Sequence[float]) -> NDArray[Any]:
    """A vector from a list of numbers, or from little-endian float32 in base64.

    Raises:
        ValueError: it is neither.
    """
    import numpy as np

    if isinstance(embedding, str):
        try:
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float64)
        except binascii.Error as error:
            raise ValueError(f"not base64: {error}") from None
    return np.array(embedding, dtype=np.float64)
