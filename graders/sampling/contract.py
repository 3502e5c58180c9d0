"""The interface of samplers to the engine."""

from __future__ import annotations

from typing import Protocol

from graders.ask import SampleAsk, SampleReply


class SampleClient(Protocol):
    """A client for model answers. Called on one event loop, concurrently."""

    async def answer(self, ask: SampleAsk, *, deadline: float | None = None) -> SampleReply:
        """The model's answer.

        Args:
            deadline: time.monotonic() seconds after which the answer is no longer needed.

        Raises:
            GradeError: ModelServerError, ModelStop, ModelRefusal or ModelParseError (an empty answer). A row without a
                sample is an error, never a fail. `usage`, `model` and `provenance` are set where known.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the client may be used again after."""
        ...
