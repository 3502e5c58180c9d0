"""OpenRLHF: rows, and a script with the options of its command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graders.training_files.rows import METHODS
from graders.tuning.export.files import (
    grader_files,
    prompt_and_item,
    prompts_and_completions,
    reward_file,
    row_files,
    shell_script,
)
from graders.tuning.export.job import JobExport

#: The command of OpenRLHF's programs; for reinforcement Ray starts the processes.
_RAY = ("python", "-m")
_DEEPSPEED = ("deepspeed", "--module")


def openrlhf(export: JobExport) -> dict[str, str]:
    return {"supervised": _supervised, "dpo": _dpo, "reinforcement": _reinforcement}[export.method](export)


def _supervised(export: JobExport) -> dict[str, str]:
    options = {
        **_learning_options(export),
        "--data.input_key": "prompt",
        "--data.output_key": "completion",
        **_validation_option(export),
    }
    is_chat = "completion" not in export.train[0]
    return {
        **row_files(export, prompts_and_completions),
        "run.sh": _script(_DEEPSPEED, "openrlhf.cli.train_sft", options, is_chat=is_chat),
    }


def _dpo(export: JobExport) -> dict[str, str]:
    options = {
        **_learning_options(export),
        "--model.beta": export.arguments["beta"],
        "--data.prompt_key": "prompt",
        **_validation_option(export),
    }
    return {
        **row_files(export, lambda row: [METHODS["dpo"].for_trainer(row)]),
        "run.sh": _script(_DEEPSPEED, "openrlhf.cli.train_dpo", options),
    }


def _reinforcement(export: JobExport) -> dict[str, str]:
    arguments = export.arguments
    options = {
        **_common_options(export),
        "--actor.model_name_or_path": export.model,
        "--algo.advantage.estimator": "group_norm",
        "--data.prompt_dataset": "train.jsonl",
        "--data.input_key": "input",
        "--data.label_key": "label",
        "--reward.remote_url": "reward.py",
        "--rollout.batch_size": arguments["batch_size"],
        "--rollout.n_samples_per_prompt": arguments["group"],
        "--rollout.max_new_tokens": arguments["max_completion_tokens"],
        "--train.batch_size": arguments["batch_size"] * arguments["group"],
        "--train.num_episodes": arguments["epochs"],
        **_validation_option(export),
    }
    reward = reward_file(
        "OpenRLHF",
        "reward_func = reward_func_of",
        "from graders.adapters.openrlhf import reward_func_of\nfrom transformers import AutoTokenizer\n",
        f", special_tokens=AutoTokenizer.from_pretrained({export.model!r})",
        "label",
    )
    return {
        **row_files(export, lambda row: [dict(zip(("input", "label"), prompt_and_item(row), strict=True))]),
        **grader_files(export, reward),
        "run.sh": _script(_RAY, "openrlhf.cli.train_ppo_ray", options),
    }


def _common_options(export: JobExport) -> dict[str, Any]:
    arguments = export.arguments
    return {
        "--train.seed": arguments["seed"],
        "--ds.lora.rank": arguments["lora"]["rank"],
        "--ds.lora.alpha": arguments["lora"]["alpha"],
        "--adam.lr": arguments["learning_rate"],
        "--ckpt.output_dir": "model",
    }


def _learning_options(export: JobExport) -> dict[str, Any]:
    """The options of trainers that learn from rows alone."""
    return {
        **_common_options(export),
        "--model.model_name_or_path": export.model,
        "--data.dataset": "train.jsonl",
        "--train.batch_size": export.arguments["batch_size"],
        "--train.max_epochs": export.arguments["epochs"],
    }


def _validation_option(export: JobExport) -> dict[str, Any]:
    return {} if export.validation is None else {"--eval.dataset": "valid.jsonl"}


def _script(
    launcher: tuple[str, str], program: str, options: Mapping[str, Any], *, is_chat: bool = True
) -> str:
    flags = [str(part) for option in options.items() for part in option]
    template = ["--data.apply_chat_template"] if is_chat else []
    return shell_script([*launcher, program, *flags, *template])
