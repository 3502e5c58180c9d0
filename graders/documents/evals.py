"""Reads evals and their runs: the graders of `testing_criteria`, and an eval's rules for them."""

from __future__ import annotations

from collections.abc import Mapping

from graders.documents.document import Document
from graders.errors import Problem
from graders.spec.wording import Json

#: Azure's criteria that are not graders; each is skipped, and the rest of the eval is read.
FOREIGN = ("azure_ai_evaluator",)
#: Keys of an eval that do not affect its graders.
_NAMES = ("testing_criteria", "name", "object", "id")


def read_eval(document: Mapping[str, Json]) -> Document:
    found = Document("an eval")
    for index, criterion in enumerate(document["testing_criteria"]):
        at = ("testing_criteria", index)
        kind = criterion.get("type") if isinstance(criterion, Mapping) else None
        path = f"testing_criteria[{index}]"
        if kind in FOREIGN:
            message = (
                f"'{kind}' is an evaluator of Azure's and no grader: it is left out, the others are graded."
            )
            found.problems.append(Problem(path, message, "foreign_criterion", "warning"))
            found.lost.append(f"{path}: '{kind}' is an evaluator of Azure's and no grader")
            continue
        found.add(criterion, at, f"criterion_{index}")
        if kind == "multi":
            message = "An eval has no multi: write its graders as criteria of their own."
            found.problems.append(Problem(path, message, "multi_in_eval"))
        elif kind == "text_similarity" and "pass_threshold" not in criterion:
            place = f"{path}.pass_threshold"
            message = f"Missing required parameter: '{place}'."
            found.problems.append(Problem(place, message, "missing_required_parameter"))
    found.lost += [f"{key} is not part of a grader" for key in document if key not in _NAMES]
    return found
