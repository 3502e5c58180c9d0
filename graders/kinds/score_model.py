"""score_model: a judge gives a number."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from graders.kinds.judge import Judge, JudgeSpec
from graders.spec.model import Field
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json
from graders.verdict import Verdict


class ScoreModelSpec(JudgeSpec):
    """The number in the judge's answer, clipped to `range`."""

    hosted: ClassVar[bool] = True

    type: Literal["score_model"]
    range: list[float] = Field(
        [0.0, 1.0], description="Lowest and highest score; the judge's number is cut to it."
    )

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        super().check(raw, problems)
        bounds = raw.get("range", [0, 1])
        if not isinstance(bounds, list) or any(type(bound) not in (int, float) for bound in bounds):
            return
        if len(bounds) != 2:
            message = f"Invalid 'range': expected two numbers, lowest and highest, but got {len(bounds)}."
            problems.error(message, "invalid_range", "range")
        elif not all(abs(bound) < math.inf for bound in bounds):
            problems.error(f"Invalid 'range': {bounds} is not finite.", "invalid_range", "range")
        elif bounds[0] >= bounds[1]:
            message = f"Invalid 'range': {bounds[0]} is not below {bounds[1]}."
            problems.error(message, "invalid_range", "range")

    def build(self, options: Options) -> ScoreModel:
        return ScoreModel(self, options)

    def reward_range(self) -> tuple[float, float]:
        low, high = self.range
        return low, high

    def best_verdict(self) -> float:
        return self.range[1]


class ScoreModel(Judge):
    def __init__(self, spec: ScoreModelSpec, options: Options) -> None:
        self._low, self._high = spec.range
        super().__init__(spec, Verdict(range=(self._low, self._high), steps=options.judge_steps), options)

    def value(self, verdict: float | str) -> float:
        return min(max(float(verdict), self._low), self._high)
