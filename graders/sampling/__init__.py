"""Sampling: requests answers of models, to be graded, over the same endpoints, limits and budgets as judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.ask import SampleAsk, SampleReply
    from graders.sampling.client import Sampler
    from graders.sampling.contract import SampleClient
    from graders.sampling.recorded import RecordedSampler
    from graders.sampling.scripted import ScriptedSampler

_HOMES = {
    "RecordedSampler": "graders.sampling.recorded",
    "SampleClient": "graders.sampling.contract",
    "SampleAsk": "graders.ask",
    "SampleReply": "graders.ask",
    "Sampler": "graders.sampling.client",
    "ScriptedSampler": "graders.sampling.scripted",
}

__all__ = ["RecordedSampler", "SampleAsk", "SampleClient", "SampleReply", "Sampler", "ScriptedSampler"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
