"""An exported job: its wire object, its rows, and its training arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.config.tuning import TuningConfig
from graders.training_files.conversation import DataRow


class NotExportable(ValueError):
    """Raised when the other trainer does not support the method."""


@dataclass(frozen=True, slots=True)
class JobExport:
    """The input of every target's writer.

    Attributes:
        job: The wire's job object.
        train, validation: Its rows; None for no validation.
        arguments: The result of `arguments_of`.
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
    """The training arguments of a job, under our own names.

    Args:
        job: The wire's job object, in which "auto" becomes a number once its files were validated.
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
