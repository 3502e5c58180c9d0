"""eval-protocol: a row's `evaluation_result` from a grader.

    @evaluation_test(...)
    def test_answers(row):
        row.evaluation_result = EvaluateResult(**evaluate(row))
        return row

with `evaluate = evaluator("spec.json")`. The sample is the row's messages; the item holds `ground_truth` and the row's
input metadata, unless a map says otherwise. A failed row has `is_score_valid` false and says why: eval-protocol leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graders
from graders.adapters import ItemMap, item_of
from graders.engine.backends import Backends


def evaluator(
    spec: object, *, item: ItemMap = None, backends: Backends | None = None
) -> Callable[[Any], dict[str, Any]]:
    """A function from an EvaluationRow to the fields of an EvaluateResult."""
    grader = graders.compile(spec, backends=backends)

    def evaluate(row: Any) -> dict[str, Any]:
        messages = [m.model_dump() if hasattr(m, "model_dump") else dict(m) for m in row.messages]
        metadata = getattr(getattr(row, "input_metadata", None), "dataset_info", None) or {}
        result = grader.run(messages, item_of({**metadata, "ground_truth": row.ground_truth}, item))
        reason = "; ".join(f"{failure.flag}: {failure}" for failure in result.failures) or grader.name
        return {
            "score": result.reward,
            "is_score_valid": result.ok,
            "reason": reason,
            "metrics": {
                key: {"score": value, "is_score_valid": result.ok, "reason": key}
                for key, value in result.sub_rewards.items()
            },
        }

    return evaluate
