"""Inspect: `inspect eval examples/adapters/inspect_task.py --model ...`. Needs inspect-ai."""

import json
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.solver import generate

from graders.adapters.inspect_ai import grader_scorer

EXAMPLES = Path(__file__).parent.parent


@task
def answers() -> Task:
    rows = [json.loads(line)["item"] for line in (EXAMPLES / "answers.jsonl").open(encoding="utf-8")]
    return Task(
        dataset=[Sample(input=row["question"], target=row["answer"]) for row in rows],
        solver=generate(),
        scorer=grader_scorer(EXAMPLES / "answer.grader.json", item={"answer": "target"}),
    )
