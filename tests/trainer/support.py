"""The trainer as a process: a tiny model for it, what it is told and what it says.

It runs in an environment with torch and TRL, which TRAINER_PYTHON names; `.ci/run trl` makes one.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("TRAINER_PYTHON", "")
PROJECT = Path(__file__).parents[2]
#: Where the packages are, for an environment in which they are not installed.
ROOTS = (PROJECT, PROJECT / "trainer", PROJECT / "sandbox")
#: Of every test with the trainer.
NEEDS_TRAINER = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="TRAINER_PYTHON names no Python with torch and TRL"),
]

SUPERVISED = [
    {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": f"number {n}"}]}
    for n in range(16)
]
PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"q{n}"}],
        "chosen": [{"role": "assistant", "content": "yes"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }
    for n in range(12)
]
PROMPTS = [{"prompt": [{"role": "user", "content": f"q{n}"}], "item": {"n": n}} for n in range(4)]
COMMON = {
    "seed": 42, "resume": False, "threads": 1, "save_every": 3, "micro_batch": 16, "gradient_checkpointing": False,
    "lora": {"rank": 8, "alpha": 16}, "max_completion_tokens": 8,
}  # fmt: skip
#: method -> rows, learning rate, hyperparameters
METHODS: dict[str, tuple[Sequence[object], float, dict[str, float]]] = {
    "supervised": (SUPERVISED, 2e-3, {"n_epochs": 3, "batch_size": 4}),
    "dpo": (PAIRS, 5e-4, {"n_epochs": 2, "batch_size": 4, "beta": 0.1}),
    "reinforcement": (PROMPTS, 3e-3, {"n_epochs": 6, "batch_size": 2, "eval_interval": 6, "eval_samples": 4}),
}
#: Says something to the trainer after one of its messages.
Listener = Callable[[Mapping[str, Any], subprocess.Popen[str]], object]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))}


def write_tiny(folder: Path) -> Path:
    """Write the tiny random model."""
    program = "import sys; from graders_train.models import write_tiny; write_tiny(sys.argv[1])"
    subprocess.run([PYTHON, "-c", program, str(folder)], env=environment(), check=True, capture_output=True)
    return folder


def start(method: str, model: Path, folder: Path, **changed: object) -> dict[str, Any]:
    """A start message, with its rows written beside the job's folder."""
    rows, rate, hyperparameters = METHODS[method]
    train = folder.parent / f"{method}.jsonl"
    train.write_text("\n".join(map(json.dumps, rows)))
    return {
        **COMMON, "type": "start", "method": method, "model": str(model), "train": str(train), "validation": str(train),
        "folder": str(folder), "hyperparameters": hyperparameters, "learning_rate": rate, "group": 16, **changed,
    }  # fmt: skip


def vowels(sample: str, item: object) -> float:
    """A reward that a random model can raise: the share of vowels."""
    return sum(letter in "aeiou" for letter in sample) / max(1, len(sample))


def train(
    message: Mapping[str, Any],
    listen: Listener = lambda message, process: None,
    reward: Callable[[str, Any], float | None] = vowels,
) -> list[dict[str, Any]]:
    """Everything that the trainer says until its output ends."""
    said = []
    with subprocess.Popen(
        [PYTHON, "-m", "graders_train"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        tell(process, message)
        for line in process.stdout:
            said.append(json.loads(line))
            if said[-1]["type"] == "rewards":
                values = [reward(*pair) for pair in zip(said[-1]["samples"], said[-1]["items"], strict=True)]
                tell(process, {"type": "rewards", "number": said[-1]["number"], "values": values})
            listen(said[-1], process)
    return said


def tell(process: subprocess.Popen[str], message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def at_step(number: int, do: Callable[[subprocess.Popen[str]], object]) -> Listener:
    def listen(message: Mapping[str, Any], process: subprocess.Popen[str]) -> None:
        if message["type"] == "step" and message["step"] == number:
            do(process)

    return listen


def adapter(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "adapter_model.safetensors").read_bytes()).hexdigest()
