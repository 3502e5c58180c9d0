"""TRL: rows, the job as JSON, and the trainer's own script for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any

from graders.training_files.conversation import DataRow
from graders.training_files.rows import METHODS
from graders.tuning.export.files import (
    grader_files,
    prompt_and_item,
    prompts_and_completions,
    reward_file,
    row_files,
)
from graders.tuning.export.job import JobExport


def trl(export: JobExport) -> dict[str, str]:
    forms: Mapping[str, Callable[[DataRow], Iterable[Any]]] = {
        "supervised": prompts_and_completions,
        "dpo": lambda row: [METHODS["dpo"].for_trainer(row)],
        "reinforcement": lambda row: [dict(zip(("prompt", "item"), prompt_and_item(row), strict=True))],
    }
    job = {"job": export.job["id"], "method": export.method, "model": export.model, **export.arguments}
    reward = reward_file(
        "TRL", "reward = reward_func", "from graders.adapters.trl import reward_func\n", "", "item"
    )
    script = files("graders_train").joinpath("exported.py").read_text(encoding="utf-8")
    return {
        **row_files(export, forms[export.method]),
        **grader_files(export, reward),
        "job.json": json.dumps(job, indent=2) + "\n",
        "train.py": script,
    }
