"""The trainer behind its pipe: a tiny random model learns, resumes to the byte, and leaves when nobody listens.

Runs in an environment with torch and TRL, which TRAINER_PYTHON names; `.ci/run trainer` makes one.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("TRAINER_PYTHON", "")
TRAINER = Path(__file__).parents[2] / "trainer"
pytestmark = [
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
METHODS: dict[str, tuple[Sequence[object], dict[str, float]]] = {
    "supervised": (SUPERVISED, {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 10}),
    "dpo": (PAIRS, {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 10, "beta": 0.1}),
    "reinforcement": (
        PROMPTS,
        {
            "n_epochs": 6, "batch_size": 2, "learning_rate_multiplier": 150, "compute_multiplier": 2,
            "eval_interval": 6, "eval_samples": 4,
        },
    ),
}  # fmt: skip
#: Says something to the trainer after one of its messages.
Listener = Callable[[Mapping[str, Any], subprocess.Popen[str]], object]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    program = "import sys; from graders_train.models import write_tiny; write_tiny(sys.argv[1])"
    subprocess.run([PYTHON, "-c", program, str(folder)], env=_environment(), check=True, capture_output=True)
    return folder


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TRAINER)}


def start(method: str, model: Path, folder: Path, **changed: object) -> dict[str, Any]:
    """A start message, with its rows written beside the job's folder."""
    rows, hyperparameters = METHODS[method]
    train = folder.parent / f"{method}.jsonl"
    train.write_text("\n".join(map(json.dumps, rows)))
    return {
        **COMMON, "type": "start", "method": method, "model": str(model), "train": str(train), "validation": str(train),
        "folder": str(folder), "hyperparameters": hyperparameters, **changed,
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
        text=True, env=_environment(),
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


@pytest.mark.parametrize("method", METHODS)
def test_killed_and_stopped_jobs_end_equal_to_the_byte(method: str, model: Path, tmp_path: Path) -> None:
    """A job that was killed, and one that was stopped, resume to the adapter of an undisturbed one."""
    whole, killed, stopped = (tmp_path / name for name in ("whole", "killed", "stopped"))

    said = train(start(method, model, whole))
    train(start(method, model, killed), at_step(5, lambda process: process.send_signal(signal.SIGKILL)))
    train(start(method, model, killed, resume=True))
    halted = train(start(method, model, stopped), at_step(4, lambda process: tell(process, {"type": "stop"})))
    resumed = train(start(method, model, stopped, resume=True))

    assert said[-1]["type"] == "done"
    steps = [message["step"] for message in said if message["type"] == "step"]
    assert steps == list(range(1, said[-1]["step"] + 1))
    assert any(message["type"] == "checkpoint" for message in said)
    assert halted[-1]["type"] == "stopped"
    assert resumed[0] == {"type": "ready", "step": halted[-1]["step"]}
    assert adapter(whole) == adapter(killed) == adapter(stopped)


def test_the_end_of_input_ends_the_trainer(model: Path, tmp_path: Path) -> None:
    """A trainer whose supervisor is gone saves and leaves: the pipe is the lease."""

    def close(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.close()

    said = train(start("supervised", model, tmp_path / "job"), at_step(2, close))

    assert said[-1]["type"] == "stopped"
    assert (tmp_path / "job" / "state" / f"checkpoint-{said[-1]['step']}" / "complete").exists()


def test_a_failed_reward_is_no_number(model: Path, tmp_path: Path) -> None:
    """Rows without a reward are left out of their group; training goes on."""
    said = train(
        start("reinforcement", model, tmp_path / "job", validation=None),
        reward=lambda sample, item: None if item["n"] == 0 else vowels(sample, item),
    )

    assert said[-1]["type"] == "done"


def test_a_row_without_anything_to_learn_fails_the_job(model: Path, tmp_path: Path) -> None:
    """The message names the row and the reason."""
    message = start("supervised", model, tmp_path / "job")
    rows = [
        *SUPERVISED,
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!", "weight": 0}]},
    ]
    Path(message["train"]).write_text("\n".join(map(json.dumps, rows)))

    said = train(message)

    assert (said[-1]["type"], said[-1]["code"]) == ("failed", "invalid_training_file")
    assert "Example 17" in said[-1]["message"]
