"""The interface of samplers to the engine."""

from __future__ import annotations

from typing import Protocol

from graders.ask import SampleAsk, SampleReply


class SampleClient(Protocol):
    """Answers as a model. Called on one event loop, many at a time."""

    async def answer(self, ask: SampleAsk, *, deadline: float | None = None) -> SampleReply:
        """The model's answer.

        Args:
            deadline: time.monotonic() seconds after which the answer is of no use.

        Raises:
            GradeError: ModelServerError, ModelStop, ModelRefusal or ModelParseError (an empty answer): the row has no
                sample, which is an error and never a fail. `usage`, `model` and `provenance` are set where known.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the client may be used again after."""
        ...
