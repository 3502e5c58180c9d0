"""Checks training rows with a base model's tokenizer: control tokens in texts, and rows beyond its context."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graders.spec.wording import Json
from graders.training_files.conversation import DataRow, Fault, texts_of, token_faults

#: Larger limits, such as 1e30, mean that a tokenizer has none.
CONTEXT_MOST = 10**9


class BaseTokens:
    """The tokenizer of a base model, for checking rows.

    Args:
        folder: The base model's folder. Checks that need a missing file are skipped.

    Attributes:
        special: Its control tokens.
        context: Length of the model's context in tokens; None when unknown, or without the package tokenizers.
    """

    def __init__(self, folder: Path) -> None:
        found = _json(folder / "tokenizer.json")
        self.special = tuple(
            one["content"]
            for one in found.get("added_tokens") or ()
            if one.get("special") and one.get("content")
        )
        self._tokenizer = _tokenizer(folder / "tokenizer.json") if found else None
        limits = (
            _json(folder / "config.json").get("max_position_embeddings"),
            _json(folder / "tokenizer_config.json").get("model_max_length"),
        )
        known = [limit for limit in limits if isinstance(limit, int) and limit < CONTEXT_MOST]
        self.context = min(known, default=None) if self._tokenizer is not None else None

    def faults(self, written: Mapping[str, Json]) -> Iterator[Fault]:
        """Warnings about a row in the trainer's form."""
        for messages in _sequences(written):
            for index, message in enumerate(messages):
                for fault in token_faults(message, self.special, "warning"):
                    yield Fault(fault.code, fault.message, index, fault.severity)
        if self.context is not None:
            most = max(map(self._count, _sequences(written)))
            if most > self.context:
                text = f"has {most} tokens or more, and the model's context is {self.context}: it is cut"
                yield Fault("row_too_long", text, severity="warning")

    def _count(self, messages: list[DataRow]) -> int:
        """Number of tokens of the texts, without the template's."""
        assert self._tokenizer is not None
        texts = [text for message in messages for text in texts_of(message)]
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return sum(len(one.ids) for one in encoded)


def _sequences(written: Mapping[str, Json]) -> list[list[DataRow]]:
    """The conversations in a row."""
    if "completion" in written:
        return [[{"content": written["prompt"]}, {"content": written["completion"]}]]
    if "chosen" in written:
        return [[*written["prompt"], *written[side]] for side in ("chosen", "rejected")]
    return [written.get("messages") or written["prompt"]]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    return Tokenizer.from_file(str(path))
