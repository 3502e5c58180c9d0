"""Evals from elsewhere: the dashboard's exports, and what an API gave, as it gave it.

An export has a row an output item: `{run_id, data_source_idx, item, sample?, grades, passes?, grader_samples?}`, of one or
several runs, without criteria and data source; `errors`, of criteria that could not be graded, is ours. Objects are the API's own, a line each: evals, runs and output items.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graders.errors import GradeError
from graders.evals.samples import shown_sample
from graders.evals.schemas import whole_schema
from graders.evals.sources import new_item
from graders.jsontext import dumps, loads
from graders.shapes import read_sample
from graders.store import (
    EvalRecord,
    FinishedItem,
    ModelUsage,
    NewItem,
    Score,
    Store,
)
from graders.store.ids import hex_id
from graders.usage import Usage

CHUNK = 1000


class ExchangeError(ValueError):
    """What was to be imported cannot be used; the message says where and what was expected."""


@dataclass(slots=True)
class ImportCounts:
    """What an import brought; `known`: runs that were in the store already."""

    evals: int = 0
    runs: int = 0
    items: int = 0
    known: int = 0


@dataclass(slots=True)
class _Run:
    """A run that is being imported.

    Attributes:
        places: The name of a criterion -> its place.
    """

    number: int
    places: dict[str, int]
    n_rows: int = 0
    new: list[NewItem] = field(default_factory=list)
    finished: list[FinishedItem] = field(default_factory=list)


def import_lines(store: Store, lines: Iterable[bytes], name: str) -> ImportCounts:
    """Import JSON lines: rows of an export, or the API's objects, also as pages of a list.

    Runs keep their ids; one that is in the store already is left as it is.

    Args:
        name: Of the eval that the runs of an export become.

    Raises:
        ExchangeError: a line is neither; the runs before it are kept, its own is not.
    """
    return _Importer(store, name).read(lines)


class _Importer:
    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._found = ImportCounts()
        self._eval_id = ""
        self._runs: dict[str, _Run | None] = {}
        #: id of a run -> the API's object, until its first item or the end comes
        self._objects: dict[str, Mapping[str, Any]] = {}

    def read(self, lines: Iterable[bytes]) -> ImportCounts:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = loads(line)
                for one in (
                    value["data"] if isinstance(value, dict) and value.get("object") == "list" else [value]
                ):
                    self._take(one)
            except ExchangeError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ExchangeError(
                    f"line {number} is neither a row of an export (run_id, data_source_idx, item, grades) nor an "
                    f"object of the API: {type(error).__name__}: {error}"
                ) from None
        for run_id in self._runs:
            self._end(run_id)
        return self._found

    def _take(self, value: dict[str, Any]) -> None:
        match value.get("object"):
            case "eval":
                self._take_eval(value)
            case "eval.run":
                self._begin_object(value)
            case "eval.run.output_item":
                self._take_item(value)
            case _:
                self._take_row(value)

    # --- the API's objects ---

    def _take_eval(self, value: dict[str, Any]) -> None:
        if self._store.evals.get(value["id"]) is None:
            self._store.evals.add(
                EvalRecord(
                    value["id"],
                    int(value["created_at"]),
                    int(value["created_at"]),
                    value.get("name") or "",
                    _text(value.get("metadata") or {}),
                    _text(value["data_source_config"]),
                    _text(value["testing_criteria"]),
                )
            )
            self._found.evals += 1

    def _begin_object(self, value: dict[str, Any]) -> None:
        criteria = [one["testing_criteria"] for one in value.get("per_testing_criteria_results") or ()]
        run = self._begin(
            value["id"],
            value["eval_id"],
            int(value["created_at"]),
            value.get("name") or "",
            value.get("model"),
            _text(value.get("metadata") or {}),
            value["data_source"],
            criteria,
        )
        if run is None:
            return
        self._objects[value["id"]] = value
        usage = [
            ModelUsage(
                one["model_name"], "sampler", one["invocation_count"], one["prompt_tokens"],
                one["completion_tokens"], one["total_tokens"], one["cached_tokens"],
            )
            for one in value.get("per_model_usage") or ()
        ]  # fmt: skip
        self._store.items.finish(run.number, [], usage)

    def _take_item(self, value: dict[str, Any]) -> None:
        run = self._runs[value["run_id"]]
        if run is None:
            return
        sample = value.get("sample")
        known = isinstance(sample, dict) and sample.get("output")
        self._append(
            run,
            value["datasource_item"],
            _text(sample) if known else None,
            _text(sample) if sample is not None else "null",
            value["id"],
            int(value["created_at"]),
            value["status"],
            value["results"],
        )

    # --- rows of an export ---

    def _take_row(self, value: dict[str, Any]) -> None:
        run_id, grades, passes = value["run_id"], value["grades"], value.get("passes") or {}
        samples = value.get("grader_samples") or {}
        if run_id not in self._runs:
            self._begin_exported(run_id, list(grades))
        run = self._runs[run_id]
        if run is None:
            return
        sample = value.get("sample")
        error = sample.get("error") if isinstance(sample, dict) else None
        # without `passes` the export does not say what passed: a full score does
        results: list[dict[str, Any]] = [
            {
                "name": name,
                "passed": bool(passes.get(name, score >= 1)),
                "score": float(score),
                "sample": samples.get(name),
            }
            for name, score in grades.items()
        ]
        for name, reason in (value.get("errors") or {}).items():
            results.append({"name": name, "passed": False, "score": 0.0, "sample": None, "error": reason})
        for one in results:
            if one["name"] not in run.places:
                run.places[one["name"]] = len(run.places)
                self._store.runs.add_criterion(run.number, run.places[one["name"]], one["name"])
        failed = any(not one["passed"] and not one.get("error") for one in results)
        broken = error or any(one.get("error") for one in results)
        status = "fail" if failed else "error" if broken else "pass"
        shown = _text(_shown(sample))
        self._append(
            run,
            value["item"],
            None if sample is None else _text(sample),
            shown,
            None,
            int(time.time()),
            status,
            results,
        )

    def _begin_exported(self, run_id: str, criteria: Sequence[str]) -> None:
        now = int(time.time())
        known = self._store.runs.get(run_id)
        if known is not None:
            self._eval_id = self._eval_id or known.eval_id
        if not self._eval_id:
            self._eval_id = hex_id("eval", now)
            config = {"type": "custom", "schema": whole_schema({"type": "object"}, sample=True)}
            self._store.evals.add(EvalRecord(self._eval_id, now, now, self._name, "{}", _text(config), "[]"))
            self._found.evals += 1
        source = {"type": "jsonl", "source": {"type": "run", "id": run_id}}
        self._begin(run_id, self._eval_id, now, "", None, "{}", source, criteria)

    # --- both ---

    def _begin(
        self,
        run_id: str,
        eval_id: str,
        created_at: int,
        name: str,
        model: str | None,
        metadata: str,
        source: Any,
        criteria: Sequence[str],
    ) -> _Run | None:
        """A run to add items to; None when it is in the store already."""
        known = self._store.runs.get(run_id)
        if known is not None and known.status != "importing":
            self._found.known += 1
            self._runs[run_id] = None
            return None
        if known is not None:
            # an import that was broken off: from the beginning
            self._store.runs.delete(run_id, known.eval_id)
        number = self._store.runs.add(
            run_id=run_id, eval_id=eval_id, created_at=created_at, name=name, model=model, metadata=metadata,
            data_source=_text(source), criteria=criteria, status="importing",
        )  # fmt: skip
        if number is None:
            raise ExchangeError(f"run {run_id} belongs to eval {eval_id}, which has to come before it")
        run = self._runs[run_id] = _Run(number, {one: place for place, one in enumerate(criteria)})
        return run

    def _append(
        self,
        run: _Run,
        item: Mapping[str, Any],
        sample: str | None,
        shown: str,
        item_id: str | None,
        created_at: int,
        status: str,
        results: Sequence[Mapping[str, Any]],
    ) -> None:
        made = new_item(item, sample)
        n = run.n_rows + len(run.new)
        run.new.append(NewItem(made.item, made.item_hash, sample, shown, item_id))
        scores = tuple(
            Score(
                run.places[one["name"]],
                None if one.get("error") else one.get("score"),
                bool(one["passed"]),
                (one["error"].get("code") or "other_error") if one.get("error") else None,
            )
            for one in results
            if one["name"] in run.places
        )
        run.finished.append(FinishedItem(n, created_at, status, shown, _text(results), scores))
        if len(run.new) >= CHUNK:
            self._flush(run)

    def _flush(self, run: _Run, *, last: bool = False) -> None:
        self._store.items.add(run.number, run.n_rows, run.new, last=last)
        self._store.items.finish(run.number, run.finished)
        run.n_rows += len(run.new)
        self._found.items += len(run.new)
        run.new, run.finished = [], []

    def _end(self, run_id: str) -> None:
        run = self._runs[run_id]
        if run is None:
            return
        self._flush(run, last=True)
        value = self._objects.get(run_id, {})
        status = value.get("status", "completed")
        error = value.get("error")
        has_error = isinstance(error, dict) and error.get("message")
        # what was under way elsewhere goes on nowhere
        status = status if status in ("completed", "failed", "canceled") else "canceled"
        self._store.runs.end_import(run.number, status, _text(error) if has_error else None)
        self._found.runs += 1


def _text(value: Any) -> str:
    return dumps(value).decode()


def _shown(sample: Any) -> dict[str, Any]:
    """The wire's sample of an export's."""
    if not isinstance(sample, dict):
        return shown_sample()
    error, usage = sample.get("error"), sample.get("token_usage")
    try:
        found = read_sample(sample)
    except GradeError:
        found = None
    shown = shown_sample(
        sample=found,
        usage=Usage(**{name: usage.get(name) for name in _TOKENS}) if isinstance(usage, dict) else None,
    )
    shown["finish_reason"] = sample.get("finish_reason")
    shown["model"] = shown["model"] or sample.get("sampled_model_name")
    shown["error"] = (
        error if isinstance(error, dict) else {"code": "error", "message": str(error)} if error else None
    )
    return shown


_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")
