"""The samples of a reinforcement job's last batches with their rewards, for its page: a file a split, in the job's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graders.jsontext import dumps
from graders.result import RunResult

#: "train" is what steps learn from, "valid" what measures them.
SPLITS = ("train", "valid")
#: Of a batch, from its first on.
SHOWN_SAMPLES = 64
#: Of a sample or an item.
SHOWN_CHARS = 2000


def write_rollouts(
    folder: Path, split: str, step: int, rows: Sequence[Mapping[str, Any]], results: Sequence[RunResult]
) -> None:
    """Write a batch in the place of the one before; the file is there whole or not at all.

    Args:
        folder: The job's.
        rows: Each with `sample` and `item`.
        results: One for each.
    """
    shown = [
        {
            "item": dumps(row["item"]).decode()[:SHOWN_CHARS],
            "sample": str(row["sample"])[:SHOWN_CHARS],
            "reward": result.reward if result.ok else None,
            "sub_rewards": dict(result.sub_rewards),
            "errors": [str(failure) for failure in result.failures],
        }
        for row, result in zip(rows[:SHOWN_SAMPLES], results, strict=False)
    ]
    path = _path(folder, split)
    path.parent.mkdir(exist_ok=True)
    half = path.with_suffix(".half")
    half.write_bytes(dumps({"split": split, "step": step, "n_samples": len(rows), "samples": shown}))
    os.replace(half, path)


def read_rollouts(folder: Path) -> list[str]:
    """The last batch of each split that has one, a JSON text each."""
    paths = (_path(folder, split) for split in SPLITS)
    return [path.read_text(encoding="utf-8") for path in paths if path.exists()]


def _path(folder: Path, split: str) -> Path:
    return folder / "rollouts" / f"{split}.json"
