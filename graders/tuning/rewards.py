"""Rewards for the trainer: rows through the job's grader, and what the wire's metrics event says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import graders
from graders.engine.backends import Backends
from graders.result import RunResult

#: A grader's flag for a program that raised.
RAISED = "python_grader_runtime_error"
#: Batches in a row in which most programs raised, until the job fails.
BROKEN_BATCHES = 2


class BrokenGrader(RuntimeError):
    """Most programs raised, batch after batch: nothing can be learned from such rewards. The message has a traceback."""


class Rewards:
    """The rewards of one job.

    Args:
        spec: The job's grader.
    """

    def __init__(self, spec: Any, backends: Backends) -> None:
        self._grader = graders.compile(spec, backends=backends)
        self._results: dict[str, list[RunResult]] = {"train": [], "valid": []}
        self._broken = 0

    def values(
        self, samples: Sequence[Any], items: Iterable[Mapping[str, Any]], split: str
    ) -> list[float | None]:
        """A number for each sample; None for one that could not be graded, which is never a score.

        Args:
            split: "train" or "valid".

        Raises:
            BrokenGrader: most programs raised, twice in a row.
            ModelStop: a judge's endpoint refuses every further question.
        """
        rows = ({"sample": sample, "item": item} for sample, item in zip(samples, items, strict=True))
        results = list(self._grader.run_batch(rows))
        self._results[split] += results
        raised = [result for result in results if RAISED in result.flags]
        self._broken = self._broken + 1 if len(raised) * 2 > len(results) else 0
        if self._broken >= BROKEN_BATCHES:
            details = raised[0].metadata.errors[f"{RAISED}_details"]
            raise BrokenGrader(
                f"{len(raised)} of {len(results)} programs raised, {self._broken} times in a row; the first: {details}"
            )
        return [result.reward if result.ok else None for result in results]

    def metrics(self) -> dict[str, Any]:
        """What the metrics event says of the rewards since the last call."""
        described: dict[str, Any] = {}
        scores: dict[str, Any] = {"graders": []}
        errors: list[dict[str, Any]] = []
        tokens: list[dict[str, Any]] = []
        for split, results in self._results.items():
            if not results:
                continue
            good = [result.reward for result in results if result.ok]
            mean = fmean(good) if good else None
            scores[f"{split}_reward_mean"] = mean
            name, kind = results[0].identity.name, results[0].identity.type
            scores["graders"] += _members(split, results) or [
                {"name": name, "type": kind, f"{split}_reward_mean": mean}
            ]
            errors.append({"name": name, "type": kind, **_flags(split, results)})
            tokens += _usage(split, results)
            if split == "valid":
                unread = sum("sample_parse_error" in result.flags for result in results)
                described["full_valid_mean_parse_error"] = unread / len(results)
            described[f"{split}_grader_seconds_mean"] = fmean(one.execution_time for one in results)
            results.clear()
        if errors:
            described.update(scores=scores, errors={"graders": errors}, usage={"graders": tokens})
        return described


def _members(split: str, results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """The mean of each grader inside a multi, over the rows where it gave a number."""
    values: dict[str, list[float]] = {}
    for result in results:
        for key, value in result.sub_rewards.items():
            if key not in result.score.failed_members:
                values.setdefault(key, []).append(value)
    return [{"name": key, f"{split}_reward_mean": fmean(some)} for key, some in values.items()]


def _flags(split: str, results: Sequence[RunResult]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for result in results:
        for flag in result.flags:
            counts[flag] = counts.get(flag, 0) + 1
    described: dict[str, float] = {}
    for flag, count in counts.items():
        described[f"{split}_{flag}_count"] = count
        described[f"{split}_{flag}_mean"] = count / len(results)
    return described


def _usage(split: str, results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Tokens of judges, by model."""
    totals: dict[str, list[int]] = {}
    for result in results:
        for spent in result.score.spent:
            total = totals.setdefault(spent.model, [0, 0])
            wire = spent.usage.to_wire()
            total[0] += wire["prompt_tokens"] or 0
            total[1] += wire["completion_tokens"] or 0
    return [
        {
            "model": model,
            f"{split}_prompt_tokens_count": prompt,
            f"{split}_completion_tokens_count": completion,
        }
        for model, (prompt, completion) in totals.items()
    ]
