"""Imports evals by the form of their lines: the API's objects, the dashboard's export, results of `grader batch`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from graders.evals.exchange.batch_results import ResultsImport
from graders.evals.exchange.dashboard import DashboardImport
from graders.evals.exchange.imported import ExchangeError, ImportCounts, RunImports
from graders.evals.exchange.objects import ObjectImport
from graders.jsontext import loads
from graders.results.read import MARK, ResultsError
from graders.store import Store
from graders.store.ids import hex_id

_OBJECTS = ("eval", "eval.run", "eval.run.output_item")


def import_lines(
    store: Store, lines: Iterable[bytes], name: str, content_hash: str | None = None
) -> ImportCounts:
    """Import JSON lines: rows of an export, the API's objects (also as pages of a list), or a results file.

    Runs keep their ids. A run that is in the store already is skipped, and one whose import was interrupted is imported
    again. Results files get an id from their content, so that the same holds for them.

    Args:
        name: Name of the eval for an export's runs, and of the run for a results file.
        content_hash: SHA-256 of all lines, in hex digits; None: results are a new run each time.

    Raises:
        ExchangeError: a line has no known form; earlier runs are kept, its own is not.
    """
    imports = RunImports(store)
    objects, rows = ObjectImport(store, imports), DashboardImport(store, imports, name)
    results: ResultsImport | None = None
    n_results = 0

    def add(value: Any) -> None:
        nonlocal results, n_results
        if value.get("object") in _OBJECTS:
            objects.add(value)
        elif MARK in value:
            results = ResultsImport(store, imports, name, value, _run_id(content_hash, n_results))
            n_results += 1
        elif results is not None and "run_id" not in value:
            results.add(value)
        else:
            rows.add(value)

    for number, line in enumerate(lines, 1):
        # an incomplete last line of results, whose writer died
        if not line.strip() or (results is not None and not line.endswith(b"\n")):
            continue
        try:
            value = loads(line)
            is_page = isinstance(value, dict) and value.get("object") == "list"
            for one in value["data"] if is_page else [value]:
                add(one)
        except ExchangeError:
            raise
        except (ResultsError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExchangeError(
                f"line {number} is neither a row of an export (run_id, data_source_idx, item, grades) nor an "
                f"object of the API nor a result of `grader batch`: {type(error).__name__}: {error}"
            ) from None
    for run_id in imports:
        imports.end(run_id, *objects.ending(run_id))
    return imports.counts


def _run_id(content_hash: str | None, place: int) -> str:
    """The id of the run for the results file at an index among the input."""
    if content_hash is None:
        return hex_id("evalrun", int(time.time()))
    return f"evalrun_{sha256(f'{content_hash} {place}'.encode()).hexdigest()[:32]}"
