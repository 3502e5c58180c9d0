"""The interface of judges' clients to the engine."""

from __future__ import annotations

from typing import Protocol

from graders.ask import ModelAsk, ModelReply


class ModelClient(Protocol):
    """A client for judges' verdicts. Called on one event loop, concurrently."""

    async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
        """A valid verdict.

        Args:
            ask: The question. `ask.verdict.read` defines valid verdicts.
            deadline: time.monotonic() seconds after which the answer is no longer needed.

        Raises:
            GradeError: ModelServerError, ModelStop, ModelRefusal or ModelParseError; `usage`, `model` and
                `provenance` are set on it where known.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the client may be used again after."""
        ...
