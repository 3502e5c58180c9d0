"""The reward part of a reinforcement step's metrics event, in the form of the service's guide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from graders.result import RunResult


def reward_metrics(results: Mapping[str, Sequence[RunResult]]) -> dict[str, Any]:
    """
    Args:
        results: "train" and "valid" -> the step's results.

    Returns:
        `scores`, `errors`, `usage` and `timing` with a `graders` list each, one entry a grader, in which keys begin
        with the split; `model_graders_token_usage` by model; {} when nothing was graded.
    """
    graded = {split: some for split, some in results.items() if some}
    if not graded:
        return {}
    identity = next(iter(graded.values()))[0].identity
    own: dict[str, Any] = {"name": identity.name, "type": identity.type}
    members: dict[str, dict[str, Any]] = {}
    errors, timing = dict(own), dict(own)
    usage: dict[str, dict[str, Any]] = {}
    tokens: dict[str, dict[str, int]] = {}
    scores: dict[str, Any] = {}
    described: dict[str, Any] = {}
    for split, some in graded.items():
        good = [result.reward for result in some if result.ok]
        mean = fmean(good) if good else None
        scores[f"{split}_reward_mean"] = mean
        means: Mapping[str, float | None] = _member_means(some) or {identity.name: mean}
        for name, value in means.items():
            member = members.setdefault(name, dict(own) if name == identity.name else {"name": name})
            member[f"{split}_reward_mean"] = value
        for flag, count in Counter(flag for result in some for flag in result.flags).items():
            errors[f"{split}_{flag}_count"] = count
            errors[f"{split}_{flag}_mean"] = count / len(some)
        timing[f"{split}_execution_latency_mean"] = fmean(result.execution_time for result in some)
        for model, counts in _tokens(some).items():
            entry = usage.setdefault(model, {**own, "model": model})
            total = tokens.setdefault(model, {})
            for kind, count in counts.items():
                entry[f"{split}_{kind}_count"] = count
                entry[f"{split}_{kind}_mean"] = count / len(some)
                total[f"{'eval' if split == 'valid' else split}_{kind}"] = count
        if split == "valid":
            unread = sum("sample_parse_error" in result.flags for result in some)
            described["full_valid_mean_parse_error"] = unread / len(some)
    return {
        **described,
        "scores": {"graders": list(members.values()), **scores},
        "errors": {"graders": [errors]},
        "usage": {"graders": list(usage.values())},
        "timing": {"graders": [timing]},
        "model_graders_token_usage": tokens,
    }


def _member_means(results: Sequence[RunResult]) -> dict[str, float]:
    """The mean of each grader inside a multi, over the rows where it gave a number."""
    values: dict[str, list[float]] = {}
    for result in results:
        for key, value in result.sub_rewards.items():
            if key not in result.score.failed_members:
                values.setdefault(key, []).append(value)
    return {key: fmean(some) for key, some in values.items()}


def _tokens(results: Sequence[RunResult]) -> dict[str, Counter[str]]:
    """Tokens of judges, by model and kind."""
    totals: dict[str, Counter[str]] = {}
    for result in results:
        for call in result.score.judge_usage:
            wire = call.usage.to_wire()
            kinds = {
                "prompt_tokens": wire["prompt_tokens"],
                "completion_tokens": wire["completion_tokens"],
                "cached_tokens": wire.get("cached_tokens"),
            }
            totals.setdefault(call.model, Counter()).update({kind: n or 0 for kind, n in kinds.items()})
    return totals
