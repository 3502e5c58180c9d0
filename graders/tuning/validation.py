"""Writes the results of a validation as a results file of `grader batch`, so that checkpoints can be compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graders.batch.run import header_of
from graders.datasets.dataset import open_dataset
from graders.datasets.ids import IdAssigner
from graders.datasets.rows import RowStream, row_chunks
from graders.engine.grader import Grader
from graders.result import RunResult
from graders.results.lines import LineWriter, ResultChunk, Tally
from graders.results.write import Writer


def write_results(
    path: Path, grader: Grader, rows: Sequence[dict[str, Any]], results: Sequence[RunResult]
) -> None:
    """Write graded rows atomically.

    Args:
        rows: Rows with `sample` and `item`; rows with equal items are repeats, numbered by their order.
        results: The result of each row.
    """
    path.parent.mkdir(exist_ok=True)
    data = RowStream(path.stem, lambda: row_chunks(iter(rows)))
    dataset = open_dataset(data, sample="sample", item="item", row_id="")
    ids, lines = IdAssigner(dataset.field_map), LineWriter(grader, dataset.field_map, texts=True)
    graded = iter(results)
    half = path.with_suffix(".half")
    header = header_of(grader, dataset, texts=True, merge=None)
    with Writer(str(half), header, force=True) as writer:
        for chunk in dataset.chunks:
            tally = Tally()
            texts = [
                lines.line(row_id, row, None, next(graded), tally)
                for row_id, row in zip(ids.names(chunk), chunk.rows, strict=True)
            ]
            writer.append(ResultChunk(b"".join(texts), tally))
    os.replace(half, path)
