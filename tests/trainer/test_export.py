"""An exported job runs under TRL as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from graders.config.config import Config
from graders.config.tuning import tuning_config
from graders.tuning.export import JobExport, arguments_of, exported
from tests.trainer.support import NEEDS_TRAINER, SUPERVISED, warm

pytestmark = NEEDS_TRAINER

COMMON = {"n_epochs": 1, "batch_size": 2, "learning_rate_multiplier": 10.0}
VOWELS = "def grade(sample, item):\n    return sum(c in 'aeiou' for c in sample['output_text']) / 8"
JOBS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "supervised": ({"hyperparameters": COMMON}, SUPERVISED[:4]),
    "dpo": (
        {"hyperparameters": {**COMMON, "beta": 0.1}},
        [
            {
                "messages": [{"role": "user", "content": f"q{n}"}],
                "preferred": {"content": "a"},
                "dispreferred": {"content": "b"},
            }
            for n in range(4)
        ],
    ),
    "reinforcement": (
        {
            "hyperparameters": {**COMMON, "compute_multiplier": 0.5},
            "grader": {"type": "python", "name": "g", "source": VOWELS},
        },
        [{"messages": [{"role": "user", "content": f"q{n}"}], "n": n} for n in range(4)],
    ),
}


@pytest.mark.parametrize("method", JOBS)
def test_the_trl_export_trains_an_adapter(method: str, model: Path, tmp_path: Path) -> None:
    inner, rows = JOBS[method]
    wire = {"id": "ftjob-1", "seed": 7, "method": {"type": method, method: inner}}
    config = tuning_config(Config({"tuning": {"max_completion_tokens": 8}}))
    source = JobExport(wire, rows, rows, arguments_of(config, wire), str(model))
    for name, text in exported("trl", source).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        warm("train.py"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "model" / "adapter_model.safetensors").exists()
