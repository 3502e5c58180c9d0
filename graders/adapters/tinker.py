"""tinker-cookbook: the grading hooks of a ProblemEnv.

    class MyEnv(GradedProblem, ProblemEnv):
        grader = graders.compile("spec.json")
        passing = 1.0

        def grader_item(self):
            return {"answer": self.answer}

`check_answer(text)` is true when the reward reaches `passing`; `get_reward(text)` is the reward itself. A failed row raises
RowFailed: the cookbook has no way to leave a row out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.adapters import reward_of
from graders.engine import Grader


class GradedProblem:
    """Mix in before ProblemEnv. Set `grader`; say in `grader_item` what the item is.

    Attributes:
        grader: A compiled grader, shared by all problems.
        passing: The reward from which an answer counts as right.
    """

    grader: Grader
    passing: float = 1.0

    def grader_item(self) -> Mapping[str, Any]:
        """The item of this problem."""
        raise NotImplementedError("say in grader_item() what the item of this problem is")

    def get_reward(self, sample: str) -> float:
        """The reward of an answer."""
        return reward_of(self.grader.run(sample, self.grader_item()))

    def check_answer(self, sample: str) -> bool:
        """Whether an answer is right."""
        return self.get_reward(sample) >= self.passing
