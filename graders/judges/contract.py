"""The interface of judges' clients to the engine."""

from __future__ import annotations

from typing import Protocol

from graders.ask import ModelAsk, ModelReply


class ModelClient(Protocol):
    """Answers questions to judges. Called on one event loop, many at a time."""

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """A valid verdict.

        Args:
            ask: The question. `ask.verdict.read` says what is valid.
            deadline: time.monotonic() seconds after which the answer is of no use.

        Raises:
            GradeError: ModelServerError, ModelStop, ModelRefusal or ModelParseError; `usage`, `model` and
                `provenance` are set on it where known.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the client may be used again after."""
        ...
