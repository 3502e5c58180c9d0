"""verifiers: a task whose reward is a grader. Needs verifiers."""

from pathlib import Path

import verifiers.v1 as vf

from graders.adapters.verifiers import reward_of

SPEC = Path(__file__).parent.parent / "answer.grader.json"


class Question(vf.TaskData):
    answer: str


class Graded(vf.Task[Question]):
    right = vf.reward(weight=1.0)(reward_of(SPEC, item=lambda task: {"answer": task.data.answer}))
