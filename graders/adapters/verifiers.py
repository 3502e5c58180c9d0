"""verifiers v1: a grader as a reward or a metric of a task.

    class MyTask(vf.Task):
        @vf.reward(weight=1.0)
        async def graded(self, trace) -> float:
            return await grade(self, trace)

with `grade = reward_of("spec.json", item=lambda task: {"answer": task["answer"]})`, or in one line
`graded = vf.reward(weight=1.0)(reward_of("spec.json", ...))`. The sample is the conversation of the trace; its last
assistant message is the output. A failed row raises RowFailed, which verifiers records as an error of the rollout.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import graders
from graders.adapters import reward_of as _reward_of
from graders.engine.backends import Backends


def reward_of(
    spec: object, *, item: Callable[[Any], Mapping[str, Any]], backends: Backends | None = None
) -> Callable[[Any, Any], Awaitable[float]]:
    """An async (task, trace) -> float for @vf.reward or @vf.metric.

    Args:
        item: Returns the item of a task.
    """
    grader = graders.compile(spec, backends=backends)

    async def graded(self: Any, trace: Any) -> float:
        result = await grader.arun(_messages(trace), item(self))
        return _reward_of(result)

    graded.__name__ = grader.name
    return graded


def _messages(trace: Any) -> Any:
    """The conversation of a trace: its messages, else its completion."""
    messages = getattr(trace, "messages", None)
    return getattr(trace, "completion", trace) if messages is None else messages
