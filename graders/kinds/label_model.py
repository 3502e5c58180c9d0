"""label_model: a judge picks a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, TypeGuard

from graders.kinds.judge import Judge, JudgeSpec
from graders.spec.bounds import LABELS_MAX
from graders.spec.model import Field
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json
from graders.suggest import did_you_mean
from graders.verdict import Verdict


class LabelModelSpec(JudgeSpec):
    """1.0 when the label that the judge picks is among `passing_labels`, else 0.0."""

    hosted: ClassVar[bool] = True
    two_valued: ClassVar[bool] = True

    type: Literal["label_model"]
    labels: list[str] = Field(description="What the judge may answer.")
    passing_labels: list[str] = Field(description="Those that pass; all of them must be in labels.")

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        super().check(raw, problems)
        labels, passing = raw.get("labels"), raw.get("passing_labels")
        if not _texts(labels):
            return
        if not labels:
            problems.error(
                "Invalid 'labels': it is empty; the judge has nothing to pick.", "empty_array", "labels"
            )
        if len(labels) > LABELS_MAX:
            problems.error(
                f"Invalid 'labels': it has {len(labels)}; the limit is {LABELS_MAX}.",
                "too_many_labels",
                "labels",
            )
            return
        for index in _repeated(labels):
            problems.error(
                f"Invalid 'labels': {labels[index]!r} stands twice.", "duplicate_value", "labels", index
            )
        if not _texts(passing):
            return
        known = frozenset(labels)
        for index, label in enumerate(passing):
            if label not in known:
                problems.error(
                    f"Invalid 'passing_labels': {label!r} is not one of the labels.",
                    "invalid_value",
                    "passing_labels",
                    index,
                    suggestion=did_you_mean(label, labels),
                )
        if labels and not passing:
            problems.warn("No label passes, so every reward is 0.", "no_passing_label", "passing_labels")
        elif labels and known.issubset(passing):
            problems.warn("Every label passes, so every reward is 1.", "all_labels_pass", "passing_labels")

    def build(self, options: Options) -> LabelModel:
        return LabelModel(self, options)

    def best_verdict(self) -> str | None:
        return self.passing_labels[0] if self.passing_labels else None


def _texts(value: Json) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(label, str) for label in value)


def _repeated(values: list[str]) -> Iterator[int]:
    """The indexes of values that occur earlier in the list."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index
        seen.add(value)


class LabelModel(Judge):
    def __init__(self, spec: LabelModelSpec, options: Options) -> None:
        super().__init__(spec, Verdict(labels=tuple(spec.labels), steps=options.judge_steps), options)
        self._passing = frozenset(spec.passing_labels)

    def value(self, verdict: float | str) -> float:
        return 1.0 if verdict in self._passing else 0.0
