"""Detects graders that give plausible answers the same reward, from which a reinforcement job cannot learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import graders
from graders.ask import CodeAsk
from graders.engine.backends import Backends
from graders.errors import GradeError
from graders.row import Row
from graders.spec.wording import Json
from graders.training_files.conversation import DataRow
from graders.training_files.rows import training_item
from graders.wording import plural

#: Rows that answers are tried on.
ROWS = 5
#: Answers tried on each row.
ANSWERS = 12
#: Answers for every row, beside the texts in the row.
PLAIN = ("", "yes", "no", "0", "1")


def constant_reward(spec: Json, rows: Sequence[DataRow], backends: Backends) -> str:
    """A warning when all tried answers got the same reward; "" when they did not, or none could be graded.

    Graders that ask a model are not tried.

    Args:
        spec: A valid grader.
        rows: Rows of the training file.
    """
    grader = graders.compile(spec, backends=backends)
    tried = [(answer, training_item(row)) for row in rows[:ROWS] for answer in _answers(row)]
    try:
        asks = [ask for answer, item in tried[:1] for ask in grader.kind.ask(Row(answer, item))]
    except GradeError:
        return ""
    if not all(isinstance(ask, CodeAsk) for ask in asks):
        return ""
    results = grader.run_batch({"sample": answer, "item": item} for answer, item in tried)
    rewards = {result.reward for result in results if result.ok}
    if len(rewards) != 1:
        return ""
    return (
        f"{plural(len(tried), 'answer')} were tried on {plural(len(rows[:ROWS]), 'row')}, the texts of the rows among them, "
        f"and all of them got {rewards.pop():g}. A model learns only where answers to one prompt get different rewards"
    )


def _answers(row: DataRow) -> list[str]:
    """Texts that may be right or wrong answers: each field of the row, and some nearly empty ones."""
    texts = dict.fromkeys((*_texts({**row, "messages": None}), *PLAIN))
    return list(texts)[:ANSWERS]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)):
        yield str(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
