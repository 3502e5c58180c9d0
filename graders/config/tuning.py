"""[tuning] of graders.toml: which models are tuned, and what starts the process that trains. It needs `grader trust`.

[tuning]
command = ["srun", "--gpus=1", "python", "-m", "graders_train"]
environment = ["WANDB_MODE"]

[tuning.models]
"gpt-4o-mini-2024-07-18" = "models/smollm2"     # a name on the wire -> a local folder

`generator` is what starts the process that answers chat, by default the trainer's command; or the address of a vLLM
server that serves the base models under these names and may load adapters.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graders.config.config import Config

#: Keys of the trainer's start message that are numbers or switches, with what they are where the file does not say.
SETTINGS: Mapping[str, Any] = {
    "threads": 0,
    "save_every": 10,
    "micro_batch": 8,
    "gradient_checkpointing": False,
    "max_completion_tokens": 512,
}
#: Keys beside them that are the server's own.
SERVER_SETTINGS: Mapping[str, Any] = {"generator_idle_s": 600.0, "quota_gb": 0.0, "retention_days": 0.0}
#: Of adapters, which `learning_rate_multiplier` multiplies, by method.
LEARNING_RATES: Mapping[str, Any] = {"supervised": 2e-4, "dpo": 5e-5, "reinforcement": 2e-5}
#: Samples of one prompt that a reinforcement step compares, at `compute_multiplier` 1.
GROUP = 8
LORA: Mapping[str, Any] = {"rank": 16, "alpha": 32}
#: Destination of the runs of jobs with a block of Weights & Biases: none, the job's folder, the service.
WANDB_MODES = ("off", "offline", "online")


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """
    Attributes:
        command: The command that starts the trainer.
        generator: The command that starts the process that answers chat, or the address of a vLLM server.
        generator_idle_s: Seconds without a request until that process is ended.
        quota_gb: Size of all jobs' folders together, above which no job is made; 0: no limit.
        retention_days: Days for which ended jobs keep more than the adapters of their models; 0: no limit.
        models: Name on the wire -> folder of the base model.
        environment: Names of variables that the trainer gets beside the usual ones.
        learning_rates: By method.
        settings: Of its start message.
        wandb: One of WANDB_MODES.
    """

    command: tuple[str, ...]
    generator: tuple[str, ...] | str
    generator_idle_s: float
    quota_gb: float
    retention_days: float
    models: Mapping[str, Path]
    environment: tuple[str, ...]
    learning_rates: Mapping[str, float]
    settings: Mapping[str, Any]
    wandb: str

    def arguments(self, method: str, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Hyperparameters that follow from a job's own: `learning_rate`, and `group` for reinforcement."""
        rate = self.learning_rates[method] * hyperparameters["learning_rate_multiplier"]
        arguments: dict[str, Any] = {"learning_rate": rate}
        if method == "reinforcement":
            arguments["group"] = max(2, round(GROUP * hyperparameters["compute_multiplier"]))
        return arguments


def tuning_config(config: Config) -> TuningConfig:
    """
    Raises:
        ConfigError: a key is unknown, or a value of another type than it should be.
    """
    table = dict(config.table("tuning"))
    command = _texts(config, "command", table.pop("command", [sys.executable, "-m", "graders_train"]))
    if not command:
        raise config.wrong("tuning.command", "expected a command, found an empty array")
    generator = table.pop("generator", list(command))
    if not isinstance(generator, str):
        generator = _texts(config, "generator", generator)
    if not generator:
        raise config.wrong("tuning.generator", "expected a command or an address, found nothing")
    environment = _texts(config, "environment", table.pop("environment", []))
    models = table.pop("models", {})
    if not isinstance(models, Mapping) or not all(isinstance(path, str) for path in models.values()):
        raise config.wrong("tuning.models", "expected a table of names and folders")
    wandb = table.pop("wandb", WANDB_MODES[0])
    if wandb not in WANDB_MODES:
        raise config.wrong("tuning.wandb", f"expected {', '.join(WANDB_MODES)}, found {wandb!r}")
    lora = config.checked("tuning.lora", table.pop("lora", {}), LORA)
    rates = config.checked("tuning.learning_rate", table.pop("learning_rate", {}), LEARNING_RATES)
    settings = dict(config.checked("tuning", table, {**SETTINGS, **SERVER_SETTINGS}))
    own = {key: settings.pop(key) for key in SERVER_SETTINGS}
    folders = {name: config.path_of(path).resolve() for name, path in models.items()}
    settings["lora"] = lora
    return TuningConfig(
        command=command,
        generator=generator,
        models=folders,
        environment=environment,
        learning_rates=rates,
        settings=settings,
        wandb=wandb,
        **own,
    )


def _texts(config: Config, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise config.wrong(f"tuning.{key}", f"expected an array of texts, found {value!r}")
    return tuple(value)
