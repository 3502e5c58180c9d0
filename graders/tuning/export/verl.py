"""verl: rows, and a script with its options. Supervised jobs are read as Parquet; dpo is not trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.training_files.conversation import DataRow
from graders.training_files.rows import METHODS
from graders.tuning.export.files import (
    grader_files,
    json_lines,
    prompt_and_item,
    reward_file,
    row_files,
    shell_script,
)
from graders.tuning.export.job import JobExport, NotExportable

#: Its supervised trainer reads Parquet only.
_TO_PARQUET = (
    "import pathlib, pandas\nfor path in pathlib.Path().glob('*.jsonl'):\n"
    "    pandas.read_json(path, lines=True).to_parquet(path.with_suffix('.parquet'))"
)


def verl(export: JobExport) -> dict[str, str]:
    if export.method == "dpo":
        raise NotExportable("verl has no trainer for dpo; export it to trl or openrlhf")
    return _supervised(export) if export.method == "supervised" else _reinforcement(export)


def _supervised(export: JobExport) -> dict[str, str]:
    arguments = export.arguments
    options = {
        "data.train_files": "train.parquet",
        **({} if export.validation is None else {"data.val_files": "valid.parquet"}),
        "data.train_batch_size": arguments["batch_size"],
        "model.path": export.model,
        "model.lora_rank": arguments["lora"]["rank"],
        "model.lora_alpha": arguments["lora"]["alpha"],
        "optim.lr": arguments["learning_rate"],
        "trainer.total_epochs": arguments["epochs"],
        "trainer.seed": arguments["seed"],
        "trainer.logger": "[console]",
    }
    command = ["torchrun", "--standalone", "--nproc_per_node=1", "-m", "verl.trainer.sft_trainer"]
    return {
        **row_files(export, lambda row: [{"messages": _conversation(row)}]),
        "run.sh": shell_script(["python", "-c", _TO_PARQUET], [*command, *_pairs(options)]),
    }


def _reinforcement(export: JobExport) -> dict[str, str]:
    arguments = export.arguments
    options = {
        "algorithm.adv_estimator": "grpo",
        "data.train_files": "train.jsonl",
        "data.val_files": "train.jsonl" if export.validation is None else "valid.jsonl",
        "data.train_batch_size": arguments["batch_size"],
        "data.max_response_length": arguments["max_completion_tokens"],
        "data.seed": arguments["seed"],
        "actor_rollout_ref.model.path": export.model,
        "actor_rollout_ref.model.lora_rank": arguments["lora"]["rank"],
        "actor_rollout_ref.model.lora_alpha": arguments["lora"]["alpha"],
        "actor_rollout_ref.actor.optim.lr": arguments["learning_rate"],
        "actor_rollout_ref.actor.ppo_mini_batch_size": arguments["batch_size"],
        "actor_rollout_ref.rollout.n": arguments["group"],
        "reward.custom_reward_function.path": "reward.py",
        "trainer.total_epochs": arguments["epochs"],
        "trainer.logger": "[console]",
    }
    setup = "from graders.adapters.verl import compute_score_of\n"
    reward = reward_file("verl", "compute_score = compute_score_of", setup, "", "item")
    return {
        **{
            name: json_lines(_verl_row(row, export.job["id"], at) for at, row in enumerate(rows))
            for name, rows in export.splits()
        },
        **grader_files(export, reward),
        "run.sh": shell_script(["python", "-m", "verl.trainer.main_ppo", *_pairs(options)]),
    }


def _conversation(row: DataRow) -> Any:
    written = METHODS["supervised"].for_trainer(row)
    if "completion" in written:
        roles = (("user", "prompt"), ("assistant", "completion"))
        return [{"role": role, "content": written[key]} for role, key in roles]
    if any(message.get("weight") == 0 for message in written["messages"]):
        raise NotExportable("verl learns every message of the assistant, and a row has one of weight 0")
    return written["messages"]


def _verl_row(row: DataRow, job_id: str, index: int) -> dict[str, Any]:
    prompt, item = prompt_and_item(row)
    return {
        "prompt": prompt,
        "data_source": job_id,
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"index": index, "item": item},
    }


def _pairs(options: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]
