"""The three methods, each as a TRL trainer made from a start message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import models, rows
from .world import gathered, on_first, on_processor, processes

if TYPE_CHECKING:
    from transformers import Trainer

    from .pipe import Pipe


def trainer(start: Mapping[str, Any], pipe: Pipe | None, output: Path) -> Trainer:
    """The trainer for a start message (README.md has its fields).

    Raises:
        RowError: A row cannot be used for training with this model.
        OSError: The model's folder cannot be read.
    """
    return METHODS[start["method"]](start, pipe, output)


def _common(start: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """Arguments of every TRL configuration. The supervisor's batch is split over processes and micro-batches."""
    hyper = start["hyperparameters"]
    batch = max(1, int(hyper["batch_size"]) // processes().num_processes)
    micro = max(size for size in range(1, batch + 1) if batch % size == 0 and size <= start["micro_batch"])
    return {
        "output_dir": str(output),
        "seed": start["seed"],
        "data_seed": start["seed"],
        "num_train_epochs": hyper["n_epochs"],
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": start["micro_batch"],
        "gradient_accumulation_steps": batch // micro,
        "learning_rate": start["learning_rate"],
        "lr_scheduler_type": "linear",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": ["wandb"] if start.get("wandb") else [],
        "disable_tqdm": True,
        "bf16": False,
        "use_cpu": on_processor(),
        "gradient_checkpointing": start["gradient_checkpointing"],
    }


def _supervised(start: Mapping[str, Any], pipe: Pipe | None, output: Path) -> Trainer:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    base = models.load(start["model"])
    most = models.context_tokens(base)

    def dataset(path: str | None) -> Any:
        return Dataset.from_list(rows.tokenized(rows.read(path), base.tokenizer, most)) if path else None

    return SFTTrainer(
        model=base.model,
        processing_class=base.tokenizer,
        args=SFTConfig(
            **_common(start, output),
            max_length=most,
            completion_only_loss=True,
        ),
        train_dataset=dataset(start["train"]),
        eval_dataset=dataset(start["validation"]),
        peft_config=models.lora(**start["lora"]),
    )


def _dpo(start: Mapping[str, Any], pipe: Pipe | None, output: Path) -> Trainer:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    base = models.load(start["model"])

    def dataset(path: str | None) -> Any:
        return Dataset.from_list(list(rows.pairs(rows.read(path)))) if path else None

    return DPOTrainer(
        model=base.model,
        processing_class=base.tokenizer,
        args=DPOConfig(
            **_common(start, output),
            beta=start["hyperparameters"]["beta"],
            max_length=models.context_tokens(base),
        ),
        train_dataset=dataset(start["train"]),
        eval_dataset=dataset(start["validation"]),
        peft_config=models.lora(**start["lora"]),
    )


def _reinforcement(start: Mapping[str, Any], pipe: Pipe | None, output: Path) -> Trainer:
    """Group relative policy optimisation (Shao et al. 2024, "DeepSeekMath"), one update for each generation."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    base = models.load(start["model"])
    hyper = start["hyperparameters"]
    group = start["group"]
    common = _common(
        {**start, "hyperparameters": {**hyper, "batch_size": hyper["batch_size"] * group}}, output
    )
    split = {"now": "train"}

    class ReinforcementTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is not typed here
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return _epoch_sampler(super()._get_train_sampler(dataset))

        def _get_eval_sampler(self, eval_dataset: Any) -> Any:
            return _epoch_sampler(super()._get_eval_sampler(eval_dataset))

        def evaluate(self, *arguments: Any, **options: Any) -> Any:
            split["now"] = "valid"
            try:
                return super().evaluate(*arguments, **options)
            finally:
                split["now"] = "train"

    def dataset(path: str | None) -> Any:
        return Dataset.from_list(list(rows.prompts(rows.read(path)))) if path else None

    options = {"use_vllm": True, **start["vllm"]} if start.get("vllm") else {}
    common["per_device_eval_batch_size"] = hyper["eval_samples"] * max(
        1, start["micro_batch"] // hyper["eval_samples"]
    )
    return ReinforcementTrainer(
        model=base.model,
        processing_class=base.tokenizer,
        reward_funcs=_rewards(pipe, split),
        args=GRPOConfig(
            **common,
            num_generations=group,
            num_generations_eval=hyper["eval_samples"],
            max_completion_length=start["max_completion_tokens"],
            temperature=1.0,
            # evaluate the base model once, not again for a resumed job
            eval_on_start=bool(start["validation"]) and start["resumed"] is None,
            **options,
        ),
        train_dataset=dataset(start["train"]),
        eval_dataset=dataset(start["validation"]),
        peft_config=models.lora(**start["lora"]),
    )


def _epoch_sampler(sampler: Any) -> Any:
    """TRL's sampler with an order that depends only on seed and epoch, so that a resumed job sees the same rows.

    TRL's own sampler uses one random generator over all epochs, which a resumed job would restart.
    """

    class EpochSampler(type(sampler)):  # type: ignore[misc]  # the class is TRL's
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[int]:
            self.generator.manual_seed(self.seed + self.epoch)
            return super().__iter__()  # type: ignore[no-any-return]  # TRL is not typed

    sampler.__class__ = EpochSampler
    return sampler


def _rewards(pipe: Pipe | None, split: Mapping[str, str]) -> Callable[..., list[float | None]]:
    """TRL's reward function, which requests rewards over the pipe for all processes together."""

    def graded(
        prompts: Any, completions: Any, item: list[str], trainer_state: Any, **_: Any
    ) -> list[float | None]:
        pairs = [
            (completion[0]["content"], json.loads(text))
            for completion, text in zip(completions, item, strict=True)
        ]
        everyone, own = gathered(pairs)

        def ask() -> list[float | None]:
            assert pipe is not None
            samples, items = zip(*everyone, strict=True)
            # a validation measures the step before it, training the one under way
            step = trainer_state.global_step + (split["now"] == "train")
            return pipe.rewards(samples, items, split=split["now"], step=step)

        return on_first(ask)[own]

    return graded


METHODS: dict[str, Callable[[Mapping[str, Any], Pipe | None, Path], Trainer]] = {
    "supervised": _supervised,
    "dpo": _dpo,
    "reinforcement": _reinforcement,
}
