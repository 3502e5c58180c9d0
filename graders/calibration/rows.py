"""Graded rows with people's labels, the input of a calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from graders.datasets.load import rows_of
from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.engine.grader import Grader
from graders.fields import FieldMap, detect_fields, field_of, item_of, sample_of
from graders.results.read import ResultsError, read_results
from graders.stats.items import item_numbers, numbered
from graders.stats.resampling import Floats, Ints


@dataclass(frozen=True, slots=True)
class GradedRows:
    """Graded rows.

    Attributes:
        grader: Their grader.
        ids, samples, items: Columns of the rows.
        fields: Every field of each data row, labels included.
        rewards: NaN where the row failed; shape [rows].
        models: The judges that answered.
        provenance: The provenance of the rewards, as in a results file's header.
    """

    grader: Grader
    ids: Sequence[str]
    samples: Sequence[Any]
    items: Sequence[Mapping[str, Any]]
    fields: Sequence[Mapping[str, Any]]
    rewards: Floats
    models: frozenset[str]
    provenance: Mapping[str, Any]

    def column(self, field: str) -> list[Any]:
        """The values of a field of the data rows; None where a row has none.

        Raises:
            ResultsError: no row has it.
        """
        values = [field_of(row, field, None) for row in self.fields]
        if all(value is None for value in values):
            names = ", ".join(self.fields[0]) if self.fields else "nothing"
            raise ResultsError(f"no row has a field '{field}'; the first one has {names}")
        return values

    def item_numbers(self, group: str | None = None) -> Ints | None:
        """The item of each row: by a field, or by ids `x`, `x#2`, ...; None where each row is its own item."""
        if group:
            return numbered(np.array([hash(repr(value)) for value in self.column(group)], np.int64))
        return item_numbers(self.ids) if group is None else None


def graded(
    spec: object,
    rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
    *,
    backends: Backends | None = None,
    sample: str | None = None,
    item: str | None = None,
    row_id: str | None = None,
    item_map: Mapping[str, str] | None = None,
) -> GradedRows:
    """Grade labelled rows.

    Args:
        rows: Rows of any shape of datasets, with labels; or the path of a JSONL, JSON, CSV or Parquet file.
        sample, item, row_id, item_map: As in `graders.fields.detect_fields`.

    Raises:
        SpecError: the spec is not valid.
        ValueError: there are no rows, or they have no samples.
        ModelStop: a judge's endpoint refused the key or has no quota left.
    """
    read = list(rows_of(rows))
    if not read:
        raise ValueError("there is no row to calibrate with")
    grader = compile(spec, backends=backends)
    fields = detect_fields(read[0], sample=sample, item=item, row_id=row_id, item_map=item_map)
    samples, items = [sample_of(row, fields) for row in read], [item_of(row, fields) for row in read]
    ids = [_id(row, fields, at) for at, row in enumerate(read)]
    parts = [{"id": i, "sample": s, "item": it} for i, s, it in zip(ids, samples, items, strict=True)]
    results = list(grader.run_batch(parts))
    rewards = np.array([result.reward if result.ok else math.nan for result in results], np.float64)
    models = frozenset(call.sampled_model for result in results if result.ok for call in result.judge_usage)
    return GradedRows(grader, ids, samples, items, read, rewards, models, grader.identity.provenance)


def from_results(path: str | PathLike[str], *, backends: Backends | None = None) -> GradedRows:
    """The graded rows of a results file.

    Raises:
        ResultsError: it cannot be read, or has no texts.
        SpecError: its spec is not valid for this version.
    """
    header, lines = read_results(str(path))
    if not header.options.get("texts", True):
        raise ResultsError(f"{path} was written with --no-texts, so that its rows have no labels")
    rows = list(lines)
    if not rows:
        raise ResultsError(f"{path} holds no row")
    return GradedRows(
        compile(dict(header.spec), backends=backends),
        [row.id for row in rows],
        [row.sample for row in rows],
        [row.item for row in rows],
        [row.row for row in rows],
        np.array([row.reward if row.ok else math.nan for row in rows], np.float64),
        frozenset(model for row in rows if row.ok for model in row.usage),
        header.provenance,
    )


def _id(row: Mapping[str, Any], fields: FieldMap, at: int) -> str:
    value = field_of(row, fields.id, None) if fields.id else None
    return str(at if value is None else value)
