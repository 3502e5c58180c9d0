"""Regrading: a run's samples are graded by other or the same criteria, without sampling."""

from __future__ import annotations

import json
from typing import Any

from graders.evals.comparison import base_name
from graders.evals.service import Evals
from graders.store import RunRecord


def regrade(evals: Evals, run: RunRecord, criteria: Any = None) -> RunRecord:
    """Create a queued run of a new eval over the samples of a run.

    Args:
        criteria: An array of graders, one grader, or an object with `testing_criteria`; None: the run's own.

    Raises:
        InvalidRequest: the criteria are not valid.
    """
    old = evals.get(run.eval_id)
    config = json.loads(old.data_source_config)
    if criteria is None:
        criteria = [{**one, "name": base_name(one["id"])} for one in json.loads(old.testing_criteria)]
    elif isinstance(criteria, dict):
        criteria = criteria.get("testing_criteria", [criteria])
    made = evals.create(
        {
            "name": f"{old.name} (graded again)".strip(),
            "metadata": json.loads(old.metadata),
            "data_source_config": _as_given(config),
            "testing_criteria": criteria,
        }
    )
    source = {"type": "jsonl", "source": {"type": "run", "id": run.id}}
    return evals.create_run(made.id, {"name": run.name, "data_source": source})


def _as_given(config: dict[str, Any]) -> dict[str, Any]:
    """A data source config in the form of a request."""
    if config["type"] != "custom":
        return {"type": config["type"], "metadata": config["metadata"]}
    properties = config["schema"]["properties"]
    return {
        "type": "custom",
        "item_schema": properties["item"],
        "include_sample_schema": "sample" in properties,
    }
