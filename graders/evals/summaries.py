"""Statistics of evals, runs and comparisons, for the pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from graders.config.config import Config
from graders.endpoints.spending import cost_of, price_of
from graders.evals.comparison import RunComparison, base_name
from graders.store import EvalRecord, FoundItem, ModelUsage, RunRecord
from graders.usage import Usage


def rate(passed: int, failed: int) -> list[float] | None:
    """[pass rate, low, high] with the 95 % Wilson interval; None without a verdict."""
    from graders.stats.estimates import wilson_of_few

    n = passed + failed
    return [passed / n, *wilson_of_few(passed, n)] if n else None


def eval_summary(record: EvalRecord, runs: Sequence[RunRecord]) -> dict[str, Any]:
    """An eval with its last runs, the newest first."""
    return {
        "id": record.id,
        "name": record.name,
        "created_at": record.created_at,
        "criteria": [base_name(one["id"]) for one in json.loads(record.testing_criteria)],
        "runs": [_counts(run) for run in runs],
    }


def run_summary(run: RunRecord, config: Config) -> dict[str, Any]:
    """A run with a rate for each criterion, its tokens, and their cost by `[prices]`."""
    usage = [{**asdict(one), "cost": _cost(one, config)} for one in run.usage]
    costs = [one["cost"] for one in usage if one["cost"] is not None]
    return {
        **_counts(run),
        "eval_id": run.eval_id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "error": json.loads(run.error) if run.error else None,
        "criteria": [
            {
                "id": one.name,
                "name": base_name(one.name),
                "passed": one.passed,
                "failed": one.failed,
                "errored": one.errored,
                "rate": rate(one.passed, one.failed),
                "mean": one.score_sum / n if (n := one.passed + one.failed) else None,
            }
            for one in run.criteria
        ],
        "usage": usage,
        "cost": sum(costs) if costs else None,
    }


def _counts(run: RunRecord) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "model": run.model,
        "status": run.status,
        "created_at": run.created_at,
        "n_rows": run.n_rows,
        "passed": run.passed,
        "failed": run.failed,
        "errored": run.errored,
        "rate": rate(run.passed, run.failed),
    }


def _cost(one: ModelUsage, config: Config) -> float | None:
    """The cost of a model's tokens; None without a price."""
    price = price_of(config, one.model)
    usage = Usage(one.prompt_tokens, one.completion_tokens, one.total_tokens, one.cached_tokens)
    return None if price is None else cost_of(usage, price)


def item_summary(item: FoundItem) -> dict[str, Any]:
    """An item in a list; `scores` as [criterion, score, passed, error]."""
    scores = [[one.criterion, one.score, one.passed, one.error] for one in item.scores]
    return {
        "n": item.n,
        "id": item.id,
        "status": item.status,
        "item": item.item,
        "output": item.output,
        "scores": scores,
    }


def comparison_summary(comparisons: Iterable[RunComparison]) -> list[dict[str, Any]]:
    """Comparisons with one first run. P values are adjusted by Holm over all that are shown together."""
    from graders.stats.distributions import holm

    found = list(comparisons)
    adjusted = iter(holm([one.p_value for each in found for one in each.criteria]))
    return [
        {
            "run_id": each.b.id,
            "n_pairs": each.n_pairs,
            "n_items": each.n_items,
            "only_a": each.only_a,
            "only_b": each.only_b,
            "criteria": [
                {
                    "name": one.name,
                    "n": one.n,
                    "left_out": one.left_out,
                    "up": one.up,
                    "down": one.down,
                    "p_value": one.p_value,
                    "p_adjusted": next(adjusted),
                    "rates": [_ends(one.rate_a), _ends(one.rate_b)],
                    "difference": _ends(one.difference),
                }
                for one in each.criteria
            ],
        }
        for each in found
    ]


def _ends(estimate: Any) -> list[float | None] | None:
    from graders.stats.estimates import number_or_none

    if estimate is None:
        return None
    return [number_or_none(value) for value in (estimate.value, estimate.low, estimate.high)]
