"""A sampler that answers by a function, for tests and for trying an eval without a model."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from graders.ask import SampleAsk, SampleReply
from graders.errors import GradeError

#: A text, a chat completion or response as a mapping, a whole reply, or the error to raise.
ScriptedSample: TypeAlias = str | Mapping[str, Any] | SampleReply | GradeError


class ScriptedSampler:
    """A SampleClient without a network.

    Attributes:
        asked: Every question so far, in order.
    """

    def __init__(self, script: Callable[[SampleAsk], ScriptedSample | Awaitable[ScriptedSample]]) -> None:
        """`script`: returns the answer to a question; plain or async."""
        self._script = script
        self.asked: list[SampleAsk] = []

    async def answer(self, ask: SampleAsk, *, deadline: float | None = None) -> SampleReply:
        """See SampleClient."""
        self.asked.append(ask)
        answer = self._script(ask)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, GradeError):
            raise answer
        if isinstance(answer, SampleReply):
            return answer
        completion = chat_completion(ask.model, answer) if isinstance(answer, str) else answer
        return reply_of(completion, ask, provenance={"scripted": True})

    async def aclose(self) -> None:
        """See SampleClient."""


def chat_completion(model: str, text: str) -> dict[str, Any]:
    """A chat completion with this text."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def reply_of(completion: Mapping[str, Any], ask: SampleAsk, *, provenance: Mapping[str, Any]) -> SampleReply:
    """The reply for a response's body."""
    from graders.endpoints.wire import completion_of

    read = completion_of(completion)
    return SampleReply(
        completion, read.text, read.finish_reason, read.model or ask.model, read.usage, provenance
    )
