"""Runs in forms that others read: the dashboard's export, and the API's objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from graders.evals.wire import eval_text, item_text, run_text
from graders.jsontext import dumps
from graders.store import Cursor, ItemRecord, RunRecord, Store

CHUNK = 1000


def exported_rows(store: Store, run: RunRecord) -> Iterator[str]:
    """A run in the form of the dashboard's export, which promptfoo imports too; a line of JSON an item."""
    for item in _items(store, run):
        results = json.loads(item.results or "[]")
        row: dict[str, Any] = {"run_id": run.id, "data_source_idx": item.n, "item": json.loads(item.item)}
        shown = json.loads(item.shown or "null") or {}
        if shown.get("output") or shown.get("error"):
            row["sample"] = {
                "outputs": shown["output"],
                "error": shown["error"],
                "finish_reason": shown["finish_reason"],
                "token_usage": shown["usage"],
            }
        # an errored criterion has no grade: 0 would be one
        graded = [one for one in results if not one.get("error")]
        row["grades"] = {one["name"]: one["score"] for one in graded}
        row["passes"] = {one["name"]: one["passed"] for one in graded}
        if errors := {one["name"]: one["error"] for one in results if one.get("error")}:
            row["errors"] = errors
        row["grader_samples"] = {one["name"]: one["sample"] for one in graded if one.get("sample")}
        yield dumps(row).decode()


def exported_objects(store: Store, run: RunRecord) -> Iterator[str]:
    """A run with its eval and items as the API's objects, a line each."""
    record = store.evals.get(run.eval_id)
    if record is not None:
        yield eval_text(record)
    yield run_text(run, "")
    for item in _items(store, run):
        yield item_text(item, run.id, run.eval_id)


def _items(store: Store, run: RunRecord) -> Iterator[ItemRecord]:
    cursor = Cursor(CHUNK)
    while True:
        page = store.items.page(run.number, run.id, cursor)
        yield from page.rows
        if not page.has_more:
            return
        cursor = Cursor(CHUNK, page.rows[-1].id)
