"""eval-protocol: a row's `evaluation_result` from a grader.

    @evaluation_test(...)
    def test_answers(row):
        row.evaluation_result = EvaluateResult(**evaluate(row))
        return row

with `evaluate = evaluator("spec.json")`. The sample is the row's messages; by default the item holds `ground_truth` and
the row's input metadata. A failed row has `is_score_valid` false and a reason; eval-protocol excludes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import graders
from graders.adapters import ItemMap, item_of
from graders.engine.backends import Backends
from graders.engine.grader import Grader


def evaluator(
    spec: object, *, item: ItemMap = None, backends: Backends | None = None
) -> Callable[[Any], dict[str, Any]]:
    """A function from an EvaluationRow to the fields of an EvaluateResult."""
    return partial(_evaluate, graders.compile(spec, backends=backends), item)


def _evaluate(grader: Grader, item: ItemMap, row: Any) -> dict[str, Any]:
    metadata = getattr(getattr(row, "input_metadata", None), "dataset_info", None) or {}
    result = grader.run(row.messages, item_of({**metadata, "ground_truth": row.ground_truth}, item))
    reason = "; ".join(f"{failure.flag}: {failure}" for failure in result.failures) or grader.name
    return {
        "score": result.reward,
        "is_score_valid": result.ok,
        "reason": reason,
        "metrics": {
            key: {"score": value, "is_score_valid": key not in result.failed_members, "reason": key}
            for key, value in result.sub_rewards.items()
        },
    }
