"""tinker-cookbook: the grading hooks of a ProblemEnv.

    class MyEnv(GradedProblem, ProblemEnv):
        grader = graders.compile("spec.json")

        def grader_item(self):
            return {"answer": self.answer}

The cookbook's step adds `float(check_answer(text))` to its format term, so `check_answer` gives the reward itself; with
`passing` set it says whether the reward reaches that. A failed row raises RowFailed: the cookbook has no way to leave a
row out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.adapters import decoded, reward_of
from graders.adapters.decoded import SpecialTokens
from graders.engine.grader import Grader


class GradedProblem:
    """Mix in before ProblemEnv. Set `grader`; say in `grader_item` what the item is.

    Attributes:
        grader: A compiled grader, shared by all problems.
        special: Special tokens that the renderer leaves at the end of an answer.
        passing: The reward from which an answer counts as right; None: partial credit counts.
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
