"""What the tests of judges share: questions, configurations and a clock that costs nothing."""

from __future__ import annotations

import time
from typing import Any

from graders.ask import Message, ModelAsk, Sampling, TextPart, Verdict
from graders.models import Config, ScriptedJudge

SAMPLE = 'The answer is 4. {"result": 1}'


class Clock:
    """Real time, plus what was slept: sleeping takes no time but counts as if it had.

    Attributes:
        slept: Seconds, one entry for each sleep.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._ahead += seconds


def config_of(judge: ScriptedJudge, *, tables: dict[str, Any] | None = None, **endpoint: Any) -> Config:
    """Every model goes to this judge."""
    endpoints = {"scripted": {"base_url": judge.base_url, "api_key_env": "", **endpoint}}
    return Config({"endpoints": endpoints, "models": {"*": "scripted"}, **(tables or {})})


def judge_spec(type: str = "score_model", **fields: Any) -> dict[str, Any]:
    """A valid model grader that sets every sampling parameter."""
    spec: dict[str, Any] = {
        "type": type,
        "name": "judge",
        "model": "m",
        "input": [
            {"role": "developer", "content": "You grade answers."},
            {"role": "user", "content": "Grade this: {{sample.output_text}}"},
        ],
        "sampling_params": {
            "seed": 1, "temperature": 0.5, "top_p": 0.9, "max_completions_tokens": 50, "reasoning_effort": "low",
        },
    }  # fmt: skip
    if type == "label_model":
        spec |= {"labels": ["good", "bad"], "passing_labels": ["good"]}
    return spec | fields


def ask(
    text: str = "Is it right?",
    *,
    model: str = "m",
    labels: tuple[str, ...] = (),
    steps: bool = True,
    range: tuple[float, float] = (0.0, 1.0),
    **sampling: Any,
) -> ModelAsk:
    """A question of one message."""
    message = Message("user", (TextPart(text),))
    return ModelAsk(model, (message,), Verdict(labels=labels, range=range, steps=steps), Sampling(**sampling))
