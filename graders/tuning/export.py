"""A fine-tuning job as files for another trainer: its rows, its configuration, and its grader as the reward.

for name, text in exported("trl", JobExport(job, rows, None, arguments, "models/smollm2")).items():
    (folder / name).write_text(text)
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from graders.config.tuning import TuningConfig
from graders.training_files.conversation import DataRow
from graders.training_files.rows import METHODS


class NotExportable(ValueError):
    """The other trainer has nothing for this method."""


@dataclass(frozen=True, slots=True)
class JobExport:
    """What every target writes from.

    Attributes:
        job: The wire's job object.
        train, validation: Its rows; None for no validation.
        arguments: Of `arguments_of`.
        model: The folder or name of the base model.
    """

    job: Mapping[str, Any]
    train: Sequence[DataRow]
    validation: Sequence[DataRow] | None
    arguments: Mapping[str, Any]
    model: str

    @property
    def method(self) -> str:
        return str(self.job["method"]["type"])

    @property
    def grader(self) -> Any:
        return self.job["method"][self.method]["grader"]

    def splits(self) -> Iterator[tuple[str, Sequence[DataRow]]]:
        """File name and rows."""
        yield "train.jsonl", self.train
        if self.validation is not None:
            yield "valid.jsonl", self.validation


def arguments_of(config: TuningConfig, job: Mapping[str, Any]) -> dict[str, Any]:
    """What a job is trained with here, under names of our own.

    Args:
        job: The wire's job object. "auto" becomes a number once its files were validated.
    """
    method = job["method"]["type"]
    given = job["method"][method]["hyperparameters"]
    beta = {"beta": given["beta"]} if "beta" in given else {}
    return {
        "seed": job["seed"],
        "epochs": given["n_epochs"],
        "batch_size": given["batch_size"],
        "lora": config.settings["lora"],
        "max_completion_tokens": config.settings["max_completion_tokens"],
        **config.arguments(method, given),
        **beta,
    }


def exported(target: str, export: JobExport) -> dict[str, str]:
    """File name -> text.

    Args:
        target: A key of TARGETS.

    Raises:
        NotExportable: the target does not train by this method.
    """
    return TARGETS[target](export)


def _lines(rows: Iterable[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _item_row(row: DataRow) -> tuple[Any, str]:
    """The prompt of a reinforcement row, and its item as JSON text: columns of a table have one type, items have not."""
    written = METHODS["reinforcement"].for_trainer(row)
    return written["prompt"], json.dumps(written["item"], ensure_ascii=False)


def _answers(row: DataRow) -> Iterator[dict[str, Any]]:
    """A supervised row as prompt and completion: one for each message of the assistant that is learned."""
    written = METHODS["supervised"].for_trainer(row)
    if "completion" in written:
        yield written
        return
    messages = [{key: value for key, value in one.items() if key != "weight"} for one in written["messages"]]
    tools = {"tools": written["tools"]} if written.get("tools") else {}
    for at, message in enumerate(written["messages"]):
        if message["role"] == "assistant" and message.get("weight") != 0:
            yield {"prompt": messages[:at], "completion": [messages[at]], **tools}


def _reward(target: str, function: str, setup: str, arguments: str, source: str) -> str:
    """reward.py: the job's grader as the reward of one trainer."""
    return (
        f'"""The job\'s grader as the reward of {target}; judges and limits as graders.toml says."""\n\n'
        f"import json\nfrom pathlib import Path\n\n{setup}\n"
        f"HERE = Path(__file__).parent\n\n\n"
        f"def item(fields):\n    return json.loads(fields[{source!r}])\n\n\n"
        f'{function}(str(HERE / "grader.json"), item=item{arguments})\n'
    )


def _with_grader(export: JobExport, reward: str) -> dict[str, str]:
    if export.method != "reinforcement":
        return {}
    grader = json.dumps(export.grader, indent=2, ensure_ascii=False)
    return {"grader.json": grader + "\n", "reward.py": reward}


# --- TRL ----------------------------------------------------------------------------------------------------------


def _trl(export: JobExport) -> dict[str, str]:
    rows: Mapping[str, Callable[[DataRow], Iterable[Any]]] = {
        "supervised": _answers,
        "dpo": lambda row: [METHODS["dpo"].for_trainer(row)],
        "reinforcement": lambda row: [dict(zip(("prompt", "item"), _item_row(row), strict=True))],
    }
    written = {
        name: _lines(made for row in split for made in rows[export.method](row))
        for name, split in export.splits()
    }
    job = {"job": export.job["id"], "method": export.method, "model": export.model, **export.arguments}
    reward = _reward(
        "TRL", "reward = reward_func", "from graders.adapters.trl import reward_func\n", "", "item"
    )
    script = files("graders_train").joinpath("exported.py").read_text(encoding="utf-8")
    return {
        **written,
        **_with_grader(export, reward),
        "job.json": json.dumps(job, indent=2) + "\n",
        "train.py": script,
    }


# --- verl ---------------------------------------------------------------------------------------------------------


def _verl(export: JobExport) -> dict[str, str]:
    arguments = export.arguments
    if export.method == "dpo":
        raise NotExportable("verl has no trainer for dpo; export it to trl or openrlhf")
    if export.method == "supervised":
        written = {
            name: _lines({"messages": _conversation(row)} for row in split) for name, split in export.splits()
        }
        options = {
            "data.train_files": "train.parquet",
            **({"data.val_files": "valid.parquet"} if export.validation is not None else {}),
            "data.train_batch_size": arguments["batch_size"],
            "model.path": export.model,
            "model.lora_rank": arguments["lora"]["rank"],
            "model.lora_alpha": arguments["lora"]["alpha"],
            "optim.lr": arguments["learning_rate"],
            "trainer.total_epochs": arguments["epochs"],
            "trainer.seed": arguments["seed"],
            "trainer.logger": "[console]",
        }
        # verl's supervised trainer reads Parquet only
        made = "import pathlib, pandas\nfor path in pathlib.Path().glob('*.jsonl'):\n    pandas.read_json(path, lines=True).to_parquet(path.with_suffix('.parquet'))"
        command = ["torchrun", "--standalone", "--nproc_per_node=1", "-m", "verl.trainer.sft_trainer"]
        return {**written, "run.sh": _script(["python", "-c", made], [*command, *_pairs(options)])}
    written = {
        name: _lines(_verl_row(row, export.job["id"], at) for at, row in enumerate(split))
        for name, split in export.splits()
    }
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
    reward = _reward(
        "verl",
        "compute_score = compute_score_of",
        "from graders.adapters.verl import compute_score_of\n",
        "",
        "item",
    )
    command = ["python", "-m", "verl.trainer.main_ppo", *_pairs(options)]
    return {**written, **_with_grader(export, reward), "run.sh": _script(command)}


def _conversation(row: DataRow) -> Any:
    written = METHODS["supervised"].for_trainer(row)
    if "completion" in written:
        roles = (("user", "prompt"), ("assistant", "completion"))
        return [{"role": role, "content": written[key]} for role, key in roles]
    if any(message.get("weight") == 0 for message in written["messages"]):
        raise NotExportable("verl learns every message of the assistant, and a row has one of weight 0")
    return written["messages"]


def _verl_row(row: DataRow, job_id: str, index: int) -> dict[str, Any]:
    prompt, item = _item_row(row)
    return {
        "prompt": prompt,
        "data_source": job_id,
        "reward_model": {"style": "rule", "ground_truth": ""},
        "extra_info": {"index": index, "item": item},
    }


def _pairs(options: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]


# --- OpenRLHF -----------------------------------------------------------------------------------------------------


def _openrlhf(export: JobExport) -> dict[str, str]:
    arguments = export.arguments
    options: dict[str, Any] = {
        "--train.seed": arguments["seed"],
        "--ds.lora.rank": arguments["lora"]["rank"],
        "--ds.lora.alpha": arguments["lora"]["alpha"],
        "--adam.lr": arguments["learning_rate"],
        "--ckpt.output_dir": "model",
    }
    evaluated = {} if export.validation is None else {"--eval.dataset": "valid.jsonl"}
    if export.method == "reinforcement":
        written = {
            name: _lines(dict(zip(("input", "label"), _item_row(row), strict=True)) for row in split)
            for name, split in export.splits()
        }
        options |= {
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
        }
        setup = (
            "from graders.adapters.openrlhf import reward_func_of\nfrom transformers import AutoTokenizer\n"
        )
        tokens = f", special_tokens=AutoTokenizer.from_pretrained({export.model!r})"
        reward = _reward("OpenRLHF", "reward_func = reward_func_of", setup, tokens, "label")
        program = "openrlhf.cli.train_ppo_ray"
    else:
        reward, common = (
            "",
            {"--train.batch_size": arguments["batch_size"], "--train.max_epochs": arguments["epochs"]},
        )
        options |= {"--model.model_name_or_path": export.model, "--data.dataset": "train.jsonl", **common}
        if export.method == "dpo":
            written = {
                name: _lines(map(METHODS["dpo"].for_trainer, split)) for name, split in export.splits()
            }
            options |= {"--model.beta": arguments["beta"], "--data.prompt_key": "prompt"}
            program = "openrlhf.cli.train_dpo"
        else:
            written = {
                name: _lines(answer for row in split for answer in _answers(row))
                for name, split in export.splits()
            }
            options |= {"--data.input_key": "prompt", "--data.output_key": "completion"}
            program = "openrlhf.cli.train_sft"
    launcher = ["python"] if export.method == "reinforcement" else ["deepspeed", "--module"]
    if launcher == ["python"]:
        launcher = ["python", "-m"]
    flags = [str(part) for pair in {**options, **evaluated}.items() for part in pair]
    template = (
        []
        if export.method == "supervised" and "completion" in export.train[0]
        else ["--data.apply_chat_template"]
    )
    command = [*launcher, program, *flags, *template]
    return {**written, **_with_grader(export, reward), "run.sh": _script(command)}


def _script(*commands: Sequence[str]) -> str:
    lines = [shlex.join(map(str, command)).replace(" --", " \\\n  --") for command in commands]
    return (
        "#!/usr/bin/env bash\n# One GPU; see the trainer's own documentation for more.\nset -euo pipefail\n"
        + "\n".join(lines)
        + "\n"
    )


#: Target -> what it is written as.
TARGETS: Mapping[str, Callable[[JobExport], dict[str, str]]] = {
    "trl": _trl,
    "verl": _verl,
    "openrlhf": _openrlhf,
}
