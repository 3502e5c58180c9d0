"""The `sample` of an output item in the wire's form: question and answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graders.errors import GradeError
from graders.evals.prompts import shown
from graders.samples import Sample
from graders.usage import Usage


def shown_sample(
    *,
    sample: Sample | None = None,
    messages: Iterable[Mapping[str, Any]] = (),
    sampling: Mapping[str, Any] = {},
    finish_reason: str | None = None,
    usage: Usage | None = None,
    error: GradeError | None = None,
) -> dict[str, Any]:
    """The wire's sample.

    Args:
        sample: The model's answer, or the row's own sample; None without one.
        messages: The messages to the model.
        sampling: The run's sampling parameters, unchanged.
        error: The reason why there is no answer.
    """
    limit = token_limit(sampling)
    return {
        "input": shown(messages),
        "output": [] if sample is None else _output(sample),
        "finish_reason": finish_reason or (None if sample is None else _finish_reason(sample)),
        "model": None if sample is None else sample.get("model"),
        "usage": None if usage is None else usage_object(usage),
        "error": None if error is None else error_object(error),
        "seed": sampling.get("seed"),
        "temperature": sampling.get("temperature"),
        "top_p": sampling.get("top_p"),
        "reasoning_effort": sampling.get("reasoning_effort"),
        "max_completion_tokens": limit,
        "max_completions_tokens": limit,
    }


def token_limit(sampling: Mapping[str, Any]) -> Any:
    """The token limit, in any of its three spellings."""
    for name in ("max_completions_tokens", "max_completion_tokens", "max_tokens"):
        if sampling.get(name) is not None:
            return sampling[name]
    return None


def _output(sample: Sample) -> list[dict[str, Any]]:
    try:
        content = sample["output_text"]
    except (KeyError, GradeError):
        content = None
    try:
        tools = sample["output_tools"]
    except (KeyError, GradeError):
        tools = None
    message = {
        "role": "assistant",
        "content": content,
        "tool_call_id": None,
        "tool_calls": tools or None,
        "function_call": None,
    }
    return [message]


def _finish_reason(sample: Sample) -> str | None:
    choices = sample.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = first.get("finish_reason") if isinstance(first, Mapping) else None
    return reason if isinstance(reason, str) else None


def usage_object(usage: Usage) -> dict[str, int]:
    """Tokens in the form of output items; a count that the server did not report is 0."""
    return {
        "total_tokens": usage.total_tokens or 0,
        "completion_tokens": usage.completion_tokens or 0,
        "prompt_tokens": usage.prompt_tokens or 0,
        "cached_tokens": usage.cached_tokens or 0,
    }


def error_object(error: GradeError) -> dict[str, str]:
    """The service's error object of a sample or a result."""
    return {"code": error.flag, "message": str(error)}
