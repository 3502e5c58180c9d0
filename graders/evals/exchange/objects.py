"""Imports and exports the API's objects, a line each: an eval, its runs, their output items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graders.evals.exchange.imported import RunImports, as_text
from graders.evals.wire import eval_text, item_text, run_text
from graders.store import EvalRecord, ModelUsage, RunRecord, Store


class ObjectImport:
    """Imports objects in the order eval, run, items."""

    def __init__(self, store: Store, imports: RunImports) -> None:
        self._store = store
        self._imports = imports
        self._runs: dict[str, Mapping[str, Any]] = {}

    def add(self, value: Mapping[str, Any]) -> None:
        """Import one object. Raises ExchangeError; KeyError, TypeError or ValueError for another form."""
        match value["object"]:
            case "eval":
                self._add_eval(value)
            case "eval.run":
                self._begin(value)
            case _:
                self._add_item(value)

    def ending(self, run_id: str) -> tuple[str, str | None]:
        """Final status, and error as JSON text, of a run after its last item."""
        value = self._runs.get(run_id, {})
        status, error = value.get("status", "completed"), value.get("error")
        # a run that was in progress elsewhere does not continue here
        status = status if status in ("completed", "failed", "canceled") else "canceled"
        return status, as_text(error) if isinstance(error, dict) and error.get("message") else None

    def _add_eval(self, value: Mapping[str, Any]) -> None:
        if self._store.evals.get(value["id"]) is not None:
            return
        created_at = int(value["created_at"])
        self._store.evals.add(
            EvalRecord(
                value["id"],
                created_at,
                created_at,
                value.get("name") or "",
                as_text(value.get("metadata") or {}),
                as_text(value["data_source_config"]),
                as_text(value["testing_criteria"]),
            )
        )
        self._imports.counts.evals += 1

    def _begin(self, value: Mapping[str, Any]) -> None:
        run = self._imports.begin(
            value["id"],
            value["eval_id"],
            created_at=int(value["created_at"]),
            source=value["data_source"],
            criteria=[one["testing_criteria"] for one in value.get("per_testing_criteria_results") or ()],
            name=value.get("name") or "",
            model=value.get("model"),
            metadata=as_text(value.get("metadata") or {}),
        )
        if run is None:
            return
        self._runs[value["id"]] = value
        run.add_usage(
            ModelUsage(
                one["model_name"],
                "sampler",
                one["invocation_count"],
                one["prompt_tokens"],
                one["completion_tokens"],
                one["total_tokens"],
                one["cached_tokens"],
            )
            for one in value.get("per_model_usage") or ()
        )

    def _add_item(self, value: Mapping[str, Any]) -> None:
        run = self._imports[value["run_id"]]
        if run is None:
            return
        sample = value.get("sample")
        shown = as_text(sample)
        run.append(
            value["datasource_item"],
            sample=shown if isinstance(sample, dict) and sample.get("output") else None,
            shown=shown,
            results=value["results"],
            status=value["status"],
            created_at=int(value["created_at"]),
            item_id=value["id"],
        )


def exported_objects(store: Store, run: RunRecord) -> Iterator[str]:
    """A run with its eval and items as the API's objects, a line each."""
    record = store.evals.get(run.eval_id)
    if record is not None:
        yield eval_text(record)
    yield run_text(run, "")
    for item in store.items.each(run.number, run.id):
        yield item_text(item, run.id, run.eval_id)
