"""Imports and exports the form of the dashboard's export, which promptfoo also reads and writes.

A row an output item, of one or several runs: `{run_id, data_source_idx, item, sample?, grades, passes?,
grader_samples?}`, without criteria and data source. `errors`, of criteria that could not be graded, is ours. promptfoo
takes a row for passed whose `passes` are none or all true, and for an error whose sample has the key `error`, be it
null: so an item that could not be graded has its reason there, and others have no such key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graders.errors import GradeError
from graders.evals.exchange.imported import RunImports, as_text
from graders.evals.samples import shown_sample
from graders.evals.schemas import SAMPLE_SCHEMA, whole_schema
from graders.jsontext import dumps, loads
from graders.shapes import read_sample
from graders.store import EvalRecord, ItemRecord, RunRecord, Store
from graders.store.ids import hex_id

_TOKENS = ("total_tokens", "completion_tokens", "prompt_tokens", "cached_tokens")


class DashboardImport:
    """Imports rows; their runs become runs of one new eval."""

    def __init__(self, store: Store, imports: RunImports, name: str) -> None:
        """`name`: the name of the eval."""
        self._store = store
        self._imports = imports
        self._name = name
        self._eval_id = ""
        self._now = int(time.time())

    def add(self, value: Mapping[str, Any]) -> None:
        """Import one row. Raises ExchangeError; KeyError, TypeError or ValueError for another form."""
        run_id, grades, passes = value["run_id"], value["grades"], value.get("passes") or {}
        judged = value.get("grader_samples") or {}
        if run_id not in self._imports:
            self._begin(run_id, list(grades))
        run = self._imports[run_id]
        if run is None:
            return
        # without `passes`, a full score counts as passed
        results: list[dict[str, Any]] = [
            {
                "name": name,
                "passed": bool(passes.get(name, score >= 1)),
                "score": float(score),
                "sample": judged.get(name),
            }
            for name, score in grades.items()
        ]
        failed = not all(one["passed"] for one in results)
        errors = value.get("errors") or {}
        for name, reason in errors.items():
            results.append({"name": name, "passed": False, "score": 0.0, "sample": None, "error": reason})
        for one in results:
            run.add_criterion(one["name"])
        sample = value.get("sample")
        broken = errors or (isinstance(sample, dict) and sample.get("error"))
        run.append(
            value["item"],
            sample=None if sample is None else as_text(sample),
            shown=as_text(_shown(sample)),
            results=results,
            status="fail" if failed else "error" if broken else "pass",
            created_at=self._now,
        )

    def _begin(self, run_id: str, criteria: Sequence[str]) -> None:
        known = self._store.runs.get(run_id)
        if known is not None:
            self._eval_id = self._eval_id or known.eval_id
        if not self._eval_id:
            self._eval_id = hex_id("eval", self._now)
            config = {"type": "custom", "schema": whole_schema({"type": "object"}, SAMPLE_SCHEMA)}
            self._store.evals.add(
                EvalRecord(self._eval_id, self._now, self._now, self._name, "{}", as_text(config), "[]")
            )
            self._imports.counts.evals += 1
        source = {"type": "jsonl", "source": {"type": "run", "id": run_id}}
        self._imports.begin(run_id, self._eval_id, created_at=self._now, source=source, criteria=criteria)


def _shown(sample: Any) -> dict[str, Any]:
    """The wire's sample for an export's."""
    if not isinstance(sample, dict):
        return shown_sample()
    error, usage = sample.get("error"), sample.get("token_usage")
    try:
        found = read_sample(sample)
    except GradeError:
        found = None
    shown = shown_sample(sample=found)
    shown["usage"] = {name: usage.get(name) or 0 for name in _TOKENS} if isinstance(usage, dict) else None
    shown["finish_reason"] = sample.get("finish_reason")
    shown["model"] = shown["model"] or sample.get("sampled_model_name")
    shown["error"] = (
        error if isinstance(error, dict) else {"code": "error", "message": str(error)} if error else None
    )
    return shown


def exported_rows(store: Store, run: RunRecord) -> Iterator[str]:
    """A run in the form of the dashboard's export, a line of JSON for each item."""
    for item in store.items.each(run.number, run.id):
        results = loads((item.results or "[]").encode())
        row: dict[str, Any] = {"run_id": run.id, "data_source_idx": item.n, "item": loads(item.item.encode())}
        # a criterion with an error has no grade, since 0 would be a score
        graded = [one for one in results if not one.get("error")]
        errors = {one["name"]: one["error"] for one in results if one.get("error")}
        sample = _exported_sample(item)
        if item.status == "error" and errors and not (sample or {}).get("error"):
            sample = {"outputs": [], **(sample or {}), "error": next(iter(errors.values()))}
        if sample is not None:
            row["sample"] = sample
        row["grades"] = {one["name"]: one["score"] for one in graded}
        row["passes"] = {one["name"]: one["passed"] for one in graded}
        if errors:
            row["errors"] = errors
        row["grader_samples"] = {one["name"]: one["sample"] for one in graded if one.get("sample")}
        yield dumps(row).decode()


def _exported_sample(item: ItemRecord) -> Any:
    """The export's sample of an item: the imported one, else made from the wire's sample; None without one."""
    kept = loads(item.sample.encode()) if item.sample else None
    if isinstance(kept, dict) and isinstance(kept.get("outputs"), list):
        return kept
    shown = loads((item.shown or "null").encode()) or {}
    if not shown.get("output") and not shown.get("error"):
        return None
    sample = {"outputs": shown["output"]}
    for name, key in (("error", "error"), ("finish_reason", "finish_reason"), ("token_usage", "usage")):
        if shown[key] is not None:
            sample[name] = shown[key]
    return sample
