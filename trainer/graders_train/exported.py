"""Trains the job that `grader jobs export --to trl` wrote beside this file, and writes the adapter to `model`.

    pip install 'local-graders[train]'
    python train.py                       # or: accelerate launch train.py

It reads job.json and the rows, and reward.py for reinforcement; change it as you like.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from peft import LoraConfig

HERE = Path(__file__).parent
JOB: dict[str, Any] = json.loads((HERE / "job.json").read_text(encoding="utf-8"))


def rows(name: str) -> Dataset | None:
    """The rows of a file beside this one; None when it does not exist."""
    path = HERE / name
    if not path.exists():
        return None
    return Dataset.from_list([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])


def trainer() -> Any:
    """TRL's trainer for the job's method."""
    given = {
        "model": JOB["model"],
        "train_dataset": rows("train.jsonl"),
        "eval_dataset": rows("valid.jsonl"),
        "peft_config": LoraConfig(
            r=JOB["lora"]["rank"],
            lora_alpha=JOB["lora"]["alpha"],
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    }
    common = {
        "output_dir": str(HERE / "output"),
        "seed": JOB["seed"],
        "num_train_epochs": JOB["epochs"],
        "per_device_train_batch_size": JOB["batch_size"] * JOB.get("group", 1),
        "bf16": torch.cuda.is_available(),
        "learning_rate": JOB["learning_rate"],
        "lr_scheduler_type": "linear",
        "logging_steps": 1,
        "report_to": [],
    }
    if JOB["method"] == "supervised":
        return trl.SFTTrainer(args=trl.SFTConfig(**common, completion_only_loss=True), **given)
    if JOB["method"] == "dpo":
        return trl.DPOTrainer(args=trl.DPOConfig(**common, beta=JOB["beta"]), **given)
    from reward import reward  # type: ignore[import-not-found]  # lies beside this file

    options = {"num_generations": JOB["group"], "max_completion_length": JOB["max_completion_tokens"]}
    return trl.GRPOTrainer(args=trl.GRPOConfig(**common, **options), reward_funcs=reward, **given)


if __name__ == "__main__":
    training = trainer()
    training.train()
    training.save_model(str(HERE / "model"))
