"""tinker-cookbook: an environment whose answers a grader checks. `class MyEnv(Answer, ProblemEnv)` in the cookbook."""

from pathlib import Path

import graders
from graders.adapters.tinker import GradedProblem


class Answer(GradedProblem):
    grader = graders.compile(Path(__file__).parent.parent / "answer.grader.json")

    def __init__(self, question: str, answer: str) -> None:
        self.question, self.answer = question, answer

    def grader_item(self) -> dict[str, str]:
        return {"answer": self.answer}


if __name__ == "__main__":
    print(Answer("Capital of France?", "Paris").check_answer("Paris"))
