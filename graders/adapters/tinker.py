"""tinker-cookbook: the grading hooks of a ProblemEnv.

    class MyEnv(GradedProblem, ProblemEnv):
        grader = graders.compile("spec.json")

        def grader_item(self):
            return {"answer": self.answer}

The cookbook's step adds `float(check_answer(text))` to its format term, so `check_answer` returns the reward itself, or
with `passing` whether the reward reaches that. A failed row raises RowFailed, since the cookbook cannot exclude a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.adapters import decoded, reward_of
from graders.adapters.decoded import SpecialTokens
from graders.engine.grader import Grader


class GradedProblem:
    """A mixin that stands before ProblemEnv. Subclasses set `grader` and define `grader_item`.

    Attributes:
        grader: A compiled grader, shared by all problems.
        special: Special tokens that the renderer leaves at the end of an answer.
        passing: The least reward of a right answer; None: rewards give partial credit.
    """

    grader: Grader
    special: SpecialTokens = SpecialTokens()
    passing: float | None = None

    def grader_item(self) -> Mapping[str, Any]:
        """The item of this problem."""
        raise NotImplementedError("say in grader_item() what the item of this problem is")

    def check_answer(self, sample_str: str) -> float:
        """The reward of an answer, or 1.0 and 0.0 where `passing` is set."""
        reward = reward_of(self.grader.run(decoded(self.special, sample_str), self.grader_item()))
        return reward if self.passing is None else float(reward >= self.passing)
