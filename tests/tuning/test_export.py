"""Jobs as files for other trainers: each target's rows, reward and command."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from graders.config.config import Config
from graders.config.tuning import tuning_config
from graders.tuning.export import TARGETS, JobExport, NotExportable, arguments_of, exported

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SILENT = {**ANSWER, "content": "not learned", "weight": 0}
GRADER = {
    "type": "string_check",
    "name": "g",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
COMMON = {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 2.0}
HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "supervised": COMMON,
    "dpo": {**COMMON, "beta": 0.3},
    "reinforcement": {**COMMON, "compute_multiplier": 0.5, "eval_interval": 10, "eval_samples": 1},
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "supervised": [{"messages": [USER, ANSWER]}, {"messages": [USER, SILENT, USER, ANSWER]}],
    "dpo": [{"messages": [USER], "preferred": {"content": "a"}, "dispreferred": {"content": "b"}}],
    "reinforcement": [{"messages": [USER], "answer": "4"}],
}


def job(method: str, **changed: Any) -> JobExport:
    inner: dict[str, Any] = {"hyperparameters": HYPERPARAMETERS[method]}
    if method == "reinforcement":
        inner["grader"] = GRADER
    wire = {"id": "ftjob-1", "seed": 7, "method": {"type": method, method: inner}}
    arguments = arguments_of(tuning_config(Config({})), wire)
    given = {"train": ROWS[method], "validation": None, **changed}
    return JobExport(wire, given["train"], given["validation"], arguments, "models/m")


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


SHORT = {key: value for key, value in SILENT.items() if key != "weight"}
ITEM = {"messages": [USER], "answer": "4"}
EXPECTED = [
    ("trl", "supervised", [{"prompt": [USER], "completion": [ANSWER]},
                           {"prompt": [USER, SHORT, USER], "completion": [ANSWER]}]),
    ("trl", "dpo", [{"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "b"}]}]),
    ("trl", "reinforcement", [{"prompt": [USER], "item": json.dumps(ITEM)}]),
    ("verl", "reinforcement", [{"prompt": [USER], "data_source": "ftjob-1", "extra_info": {"index": 0, "item": json.dumps(ITEM)},
                                "reward_model": {"style": "rule", "ground_truth": ""}}]),
    ("openrlhf", "supervised", [{"prompt": [USER], "completion": [ANSWER]},
                                {"prompt": [USER, SHORT, USER], "completion": [ANSWER]}]),
    ("openrlhf", "dpo", [{"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "b"}]}]),
    ("openrlhf", "reinforcement", [{"input": [USER], "label": json.dumps(ITEM)}]),
]  # fmt: skip


@pytest.mark.parametrize(("target", "method", "rows"), EXPECTED)
def test_rows_have_the_targets_form(target: str, method: str, rows: list[Any]) -> None:
    written = exported(target, job(method, validation=ROWS[method]))
    assert lines(written["train.jsonl"]) == lines(written["valid.jsonl"]) == rows


def test_unsupported_targets_are_refused() -> None:
    with pytest.raises(NotExportable, match="no trainer for dpo"):
        exported("verl", job("dpo"))
    with pytest.raises(NotExportable, match="weight 0"):
        exported("verl", job("supervised"))


def test_the_exported_job_has_its_hyperparameters() -> None:
    assert json.loads(exported("trl", job("reinforcement"))["job.json"]) == {
        "job": "ftjob-1",
        "method": "reinforcement",
        "model": "models/m",
        "seed": 7,
        "epochs": 2,
        "batch_size": 4,
        "lora": {"rank": 16, "alpha": 32},
        "max_completion_tokens": 512,
        "learning_rate": 4e-5,
        "group": 4,
    }
    command = exported("openrlhf", job("dpo"))["run.sh"]
    assert "--model.beta 0.3" in command
    assert "--adam.lr 0.0001" in command


CALLS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "trl": ("reward", {"prompts": [[USER]], "completions": ["4"], "item": [json.dumps(ITEM)]}, [1.0]),
    "verl": (
        "compute_score",
        {
            "data_source": "j",
            "solution_str": "4",
            "ground_truth": "",
            "extra_info": {"item": json.dumps(ITEM)},
        },
        {"score": 1.0},
    ),
}


@pytest.mark.parametrize("target", CALLS)
def test_the_reward_is_the_jobs_grader(target: str, tmp_path: Path) -> None:
    """The exported reward, called as the target calls it, equals that of the job's grader."""
    for name, text in exported(target, job("reinforcement")).items():
        (tmp_path / name).write_text(text)
    function, call, expected = CALLS[target]
    assert runpy.run_path(str(tmp_path / "reward.py"))[function](**call) == expected


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ROWS)
def test_exported_files_can_be_read(target: str, method: str) -> None:
    """Python compiles, and the shell parses."""
    try:
        written = exported(target, job(method, train=ROWS[method][:1]))
    except NotExportable:
        assert (target, method) == ("verl", "dpo")
        return
    for name, text in written.items():
        if name.endswith(".py"):
            compile(text, name, "exec")
    assert ("reward.py" in written) == (method == "reinforcement")
    assert sys.executable not in "".join(written.values())
