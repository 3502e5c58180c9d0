"""Reward, the number in tests that can explain itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.result import RunResult


class Reward(float):
    """A reward with its result, for tests. For a failed row it is NaN, which equals no number.

    Attributes:
        result: The RunResult; its attributes (ok, flags, sub_rewards, metadata ...) are also attributes of the reward.
        grader, sample, item: The grader and its inputs.
    """

    grader: Grader
    result: RunResult
    sample: Any
    item: Mapping[str, Any]

    def __new__(cls, grader: Grader, result: RunResult, sample: Any, item: Mapping[str, Any]) -> Reward:
        reward = super().__new__(cls, result.reward if result.ok else float("nan"))
        reward.grader, reward.result, reward.sample, reward.item = grader, result, sample, item
        return reward

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "result":
            raise AttributeError(name)
        return getattr(self.result, name)

    def __repr__(self) -> str:
        return float.__repr__(self) if self.result.ok else f"failed ({', '.join(self.result.flags)})"

    def explain(self) -> list[str]:
        """Flags, sub-rewards, rendered texts and a diff, as lines."""
        from graders.pytest_plugin.explain import explained

        return explained(self.grader, self.result, self.sample, self.item)


def reward_of(grader: Grader, sample: Any, item: Mapping[str, Any] | None, row_id: str) -> Reward:
    """Grade one row."""
    return Reward(grader, grader.run(sample, item, id=row_id), sample, item or {})


def graded_of(row: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The sample of a row, or its gold where it has none, and its item."""
    from graders.fields import detect_fields, item_of, sample_of

    if "sample" not in row and "gold" in row:
        row = {**row, "sample": row["gold"]}
        row.setdefault("item", {})
    fields = detect_fields(row, samples=False)
    return sample_of(row, fields), item_of(row, fields)
