"""Rewards for the trainer: grades samples with the job's grader, and reports on the rewards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import graders
from graders.engine.backends import Backends
from graders.result import RunResult
from graders.tuning.reward_metrics import reward_metrics
from graders.tuning.validation import write_results
from graders.wording import plural

#: A grader's flag for a program that raised.
RAISED = "python_grader_runtime_error"
#: Consecutive batches in which most programs raised, after which the job fails.
BROKEN_BATCHES = 2
#: Consecutive steps without differing rewards, after which a warning is issued.
EQUAL_STEPS = 3
#: Characters of a sample in a warning.
SAMPLE_CHARS = 200


class BrokenGrader(RuntimeError):
    """Raised when most programs raised in several batches; the message has a traceback."""


class Rewards:
    """The rewards of one job.

    Args:
        spec: The spec of the job's grader.

    Attributes:
        last_batch: The rows that were graded last, each with `sample` and `item`, and their results.
    """

    def __init__(self, spec: Any, backends: Backends) -> None:
        self.last_batch: tuple[Sequence[dict[str, Any]], Sequence[RunResult]] = ((), ())
        self._grader = graders.compile(spec, backends=backends)
        self._results: dict[str, list[RunResult]] = {"train": [], "valid": []}
        self._validated: list[dict[str, Any]] = []
        self._broken = 0
        self._equal_steps = 0
        self._warning = ""

    def values(
        self, samples: Sequence[Any], items: Iterable[Mapping[str, Any]], split: str
    ) -> list[float | None]:
        """The reward of each sample; None for a failure, which is never a score.

        Args:
            samples: The samples; those of one prompt are consecutive.
            split: "train" or "valid".

        Raises:
            BrokenGrader: most programs raised, in two consecutive batches.
            ModelStop: a judge's endpoint refuses all further questions.
        """
        rows = [{"sample": sample, "item": item} for sample, item in zip(samples, items, strict=True)]
        results = list(self._grader.run_batch(rows))
        self._results[split] += results
        self.last_batch = (rows, results)
        raised = [result for result in results if RAISED in result.flags]
        self._broken = self._broken + 1 if len(raised) * 2 > len(results) else 0
        if self._broken >= BROKEN_BATCHES:
            details = raised[0].metadata.errors[f"{RAISED}_details"]
            raise BrokenGrader(
                f"{len(raised)} of {len(results)} programs raised, {self._broken} times in a row; the first: {details}"
            )
        if split == "valid":
            self._validated += rows
        else:
            self._look_for_differences(rows, results)
        return [result.reward if result.ok else None for result in results]

    def _look_for_differences(self, rows: Sequence[Mapping[str, Any]], results: Sequence[RunResult]) -> None:
        """Whether rewards differ within any prompt; a step compares the samples of a prompt, so it learns nothing otherwise."""
        groups = groupby(zip(rows, results, strict=True), key=lambda pair: pair[0]["item"])
        found = [{result.reward for _, result in group if result.ok} for _, group in groups]
        self._equal_steps = 0 if any(len(rewards) > 1 for rewards in found) else self._equal_steps + 1
        if self._equal_steps != EQUAL_STEPS:
            return
        first = results[0]
        outcome = (
            f"reward {first.reward:g}" if first.ok else "no reward: " + "; ".join(map(str, first.failures))
        )
        self._warning = (
            f"Nothing can be learned: in the last {EQUAL_STEPS} steps all {plural(len(rows), 'sample')} of a step got the "
            f"same reward as the others of their prompt. One of them: {str(rows[0]['sample'])[:SAMPLE_CHARS]!r} -> {outcome}"
        )

    def warning(self) -> str:
        """A warning that nothing can be learned, once at each beginning of such a phase; else ""."""
        warning, self._warning = self._warning, ""
        return warning

    def end_validation(self, path: Path) -> None:
        """Write the results of the finished validation."""
        rows, self._validated = self._validated, []
        if rows:
            write_results(path, self._grader, rows, self._results["valid"][-len(rows) :])

    def metrics(self) -> dict[str, Any]:
        """The reward part of the metrics event, for the rewards since the last call."""
        described = reward_metrics(self._results)
        for results in self._results.values():
            results.clear()
        return described
