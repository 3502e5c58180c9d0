"""The service's objects as JSON text, spliced from the store's texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graders.jsontext import dumps, loads
from graders.store import EvalRecord, ItemRecord, ModelUsage, RunRecord


def _text(value: Any) -> str:
    return dumps(value).decode()


def eval_text(record: EvalRecord) -> str:
    """The eval object."""
    return (
        f'{{"object":"eval","id":{_text(record.id)},"created_at":{record.created_at},"name":{_text(record.name)},'
        f'"data_source_config":{record.data_source_config},"testing_criteria":{record.testing_criteria},'
        f'"metadata":{record.metadata}}}'
    )


def run_text(run: RunRecord, origin: str) -> str:
    """The run object.

    Args:
        origin: The origin of the URL of the run's page, such as `http://127.0.0.1:8321`.
    """
    counts = {"total": run.done, "errored": run.errored, "failed": run.failed, "passed": run.passed}
    begun = run.started_at is not None
    criteria = [
        {"testing_criteria": one.name, "passed": one.passed, "failed": one.failed, "errored": one.errored}
        for one in run.criteria
    ]
    report_url = f"{origin}/evals/{run.eval_id}?run_id={run.id}"
    return (
        f'{{"object":"eval.run","id":{_text(run.id)},"eval_id":{_text(run.eval_id)},"report_url":{_text(report_url)},'
        f'"status":{_text(run.status)},"model":{_text(run.model)},"name":{_text(run.name)},'
        f'"created_at":{run.created_at},"result_counts":{_text(counts)},'
        f'"per_model_usage":{_text(list(usage_by_model(run.usage))) if begun else "null"},'
        f'"per_testing_criteria_results":{_text(criteria) if begun else "null"},'
        f'"data_source":{run.data_source},"error":{run.error or "null"},"metadata":{run.metadata}}}'
    )


def usage_by_model(usage: Iterable[ModelUsage]) -> Iterable[dict[str, Any]]:
    """Tokens of samplers and judges together, an entry for each model."""
    totals: dict[str, dict[str, Any]] = {}
    for one in usage:
        total = totals.setdefault(
            one.model,
            {
                "model_name": one.model,
                "invocation_count": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "total_tokens": 0,
                "cached_tokens": 0,
            },
        )
        total["invocation_count"] += one.calls
        for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"):
            total[name] += getattr(one, name)
    return totals.values()


def item_text(item: ItemRecord, run_id: str, eval_id: str) -> str:
    """The output item object."""
    return (
        f'{{"object":"eval.run.output_item","id":{_text(item.id)},"created_at":{item.created_at},'
        f'"run_id":{_text(run_id)},"eval_id":{_text(eval_id)},"status":{_text(item.status)},'
        f'"datasource_item_id":{item.n},"datasource_item":{item.item},"results":{item.results},'
        f'"sample":{item.shown},"_datasource_item_content_hash":"{item.item_hash}"}}'
    )


_NO_ERROR = {"code": "", "message": ""}
_NO_USAGE = {"total_tokens": 0, "completion_tokens": 0, "prompt_tokens": 0, "cached_tokens": 0}
#: Values in place of nulls that the service sends and its clients' types do not allow.
_FILLED_RUN = {"model": "", "per_model_usage": [], "per_testing_criteria_results": [], "error": _NO_ERROR}
_FILLED_SAMPLE = {
    "error": _NO_ERROR,
    "finish_reason": "",
    "model": "",
    "usage": _NO_USAGE,
    "seed": 0,
    "temperature": 0.0,
    "top_p": 0.0,
    "max_completion_tokens": 0,
    "max_completions_tokens": 0,
}


def without_nulls(text: str) -> str:
    """A run or an output item for clients whose types allow no null."""
    value = loads(text.encode())
    if value["object"] == "eval.run":
        value = _filled(value, _FILLED_RUN)
    elif value["object"] == "eval.run.output_item":
        value["sample"] = _filled(value["sample"], _FILLED_SAMPLE)
    return _text(value)


def _filled(value: Mapping[str, Any], instead: Mapping[str, Any]) -> dict[str, Any]:
    return {key: instead.get(key) if inner is None else inner for key, inner in value.items()}
