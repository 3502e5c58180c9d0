"""Inspect (inspect_ai): `Task(..., scorer=grader_scorer("spec.json"))`.

The sample is the completion; by default the item holds the sample's metadata, `input`, and `target` (its text). A
failed row is `Score.unscored()`, which Inspect excludes from its metrics.
"""

from __future__ import annotations

from typing import Any

import graders
from graders.adapters import ItemMap, item_of
from graders.engine.backends import Backends


def grader_scorer(spec: object, *, item: ItemMap = None, backends: Backends | None = None) -> Any:
    """A scorer for Inspect, with mean and standard error as its metrics. inspect_ai is imported here."""
    from inspect_ai.scorer import Score, mean, scorer, stderr

    grader = graders.compile(spec, backends=backends)

    @scorer(metrics=[mean(), stderr()], name=grader.name)  # type: ignore[untyped-decorator]  # inspect_ai need not be installed
    def build() -> Any:
        async def score(state: Any, target: Any) -> Any:
            fields = {**state.metadata, "input": state.input_text, "target": target.text}
            result = await grader.arun(
                state.output.completion, item_of(fields, item), id=str(state.sample_id)
            )
            if not result.ok:
                reasons = "; ".join(f"{failure.flag}: {failure}" for failure in result.failures)
                return Score.unscored(reason="grader_failed", explanation=reasons)
            metadata = {"sub_rewards": result.sub_rewards, "provenance": result.provenance}
            return Score(value=result.reward, answer=state.output.completion, metadata=metadata)

        return score

    return build()
