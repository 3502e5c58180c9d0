"""Sampling: answers of models, to be graded; asked for over the same endpoints, limits and budgets as judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graders.ask import SampleAsk, SampleReply
    from graders.sampling.client import Sampler
    from graders.sampling.scripted import ScriptedSampler

_HOMES = {
    "SampleAsk": "graders.ask",
    "SampleReply": "graders.ask",
    "Sampler": "graders.sampling.client",
    "ScriptedSampler": "graders.sampling.scripted",
}

__all__ = ["SampleAsk", "SampleClient", "SampleReply", "Sampler", "ScriptedSampler"]


class SampleClient(Protocol):
    """Whoever answers as a model. Called on one event loop, many at a time."""

    async def answer(self, ask: SampleAsk, *, deadline: float | None = None) -> SampleReply:
        """The model's answer.

        Args:
            deadline: time.monotonic() seconds after which nobody waits any more.

        Raises:
            GradeError: ModelServerError, ModelStop, ModelRefusal or ModelParseError (an empty answer): the row has no
                sample, which is an error and never a fail. `usage`, `model` and `provenance` are set where known.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the client may be used again after."""
        ...


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'graders.sampling' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
