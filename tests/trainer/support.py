"""The trainer as a process: a tiny model for it, what it is told and what it says.

It runs in an environment with torch and TRL, which TRAINER_PYTHON names; `.ci/run trl` makes one.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.evals.support import client_of, eval_server
from tests.server.support import RunningServer
from tests.tuning.support import MODEL

PYTHON = os.environ.get("TRAINER_PYTHON", "")
PROJECT = Path(__file__).parents[2]
#: Where the packages are, for an environment in which they are not installed.
ROOTS = (PROJECT, PROJECT / "trainer", PROJECT / "sandbox")
STEPWISE = Path(__file__).with_name("stepwise.py")
WARM = Path(__file__).with_name("warm.py")
#: The socket of the process with the trainer's libraries (warm.py), which conftest.py starts.
ADDRESS = Path(tempfile.gettempdir()) / f"warm-trainer-{os.getpid()}"
#: How many times as long as promised something may take: other work at the same time costs a process seconds of its own.
#: TRAINER_SLOWER=1 holds the promise itself, on a machine with nothing else to do.
SLOWER = float(os.environ.get("TRAINER_SLOWER", "2"))
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
    "seed": 42,
    "resume": False,
    "threads": 1,
    "save_every": 3,
    "micro_batch": 16,
    "gradient_checkpointing": False,
    "lora": {"rank": 8, "alpha": 16},
    "max_completion_tokens": 8,
}
#: method -> rows, learning rate, hyperparameters; each takes STEPS steps
METHODS: dict[str, tuple[Sequence[object], float, dict[str, float]]] = {
    "supervised": (SUPERVISED, 2e-3, {"n_epochs": 4, "batch_size": 4}),
    "dpo": (PAIRS, 5e-4, {"n_epochs": 4, "batch_size": 3, "beta": 0.1}),
    "reinforcement": (PROMPTS, 3e-3, {"n_epochs": 8, "batch_size": 2, "eval_interval": 6, "eval_samples": 4}),
}
STEPS = 16
#: Says something to the trainer after one of its messages.
Listener = Callable[[Mapping[str, Any], subprocess.Popen[str]], object]


def command(*program: str) -> list[str]:
    """What starts the trainer as a user does, or another program in its environment, with one thread a process."""
    roots = os.pathsep.join(map(str, ROOTS))
    return ["env", f"PYTHONPATH={roots}", "OMP_NUM_THREADS=1", *(program or (PYTHON, "-m", "graders_train"))]


def warm(*arguments: str) -> list[str]:
    """What starts the trainer, or what Python does with these arguments in its environment, without imports."""
    return [sys.executable, "-S", str(WARM), "run", str(ADDRESS), *(arguments or ("-m", "graders_train"))]


@contextmanager
def warm_trainer() -> Iterator[None]:
    """A process that has the trainer's libraries, from which those of `warm` are made."""
    # of an earlier process of this number that was killed
    ADDRESS.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(ADDRESS))
        listening.listen(64)
        number = listening.fileno()
        keep = command(PYTHON, str(WARM), "keep", str(number))
        # its input ends with this process, and ends it
        process = subprocess.Popen(keep, stdin=subprocess.PIPE, pass_fds=[number])
    try:
        yield
    finally:
        process.communicate()
        ADDRESS.unlink()


def trainer_toml(model: Path, *, keys: str = "", trainer: Sequence[str] = ()) -> str:
    """graders.toml that tunes a model as MODEL.

    Args:
        keys: More of [tuning].
        trainer: What starts the trainer; by default `warm`.
    """
    start_trainer = json.dumps(list(trainer) or warm())
    return f'[tuning]\ncommand = {start_trainer}\nthreads = 1\n{keys}[tuning.models]\n"{MODEL}" = "{model}"\n'


@contextmanager
def trainer_server(
    model: Path, *, keys: str = "", trainer: Sequence[str] = (), tables: str = ""
) -> Iterator[tuple[RunningServer, openai.OpenAI]]:
    """A server with the real trainer. Arguments are those of `trainer_toml`, and more tables of the file."""
    with eval_server(trainer_toml(model, keys=keys, trainer=trainer) + tables, tuning=True) as server:
        yield server, client_of(server)


def write_tiny(folder: Path) -> Path:
    """Write the tiny random model."""
    program = "import sys; from graders_train.models import write_tiny; write_tiny(sys.argv[1])"
    subprocess.run(warm("-c", program, str(folder)), check=True, capture_output=True)
    return folder


def start(method: str, model: Path, folder: Path, **changed: object) -> dict[str, Any]:
    """A start message, with its rows written beside the job's folder."""
    rows, rate, hyperparameters = METHODS[method]
    train = folder.parent / f"{method}.jsonl"
    train.write_text("\n".join(map(json.dumps, rows)))
    return {
        **COMMON,
        "type": "start",
        "method": method,
        "model": str(model),
        "train": str(train),
        "validation": str(train),
        "folder": str(folder),
        "hyperparameters": hyperparameters,
        "learning_rate": rate,
        "group": 16,
        **changed,
    }


def vowels(sample: str, item: object) -> float:
    """A reward that a random model can raise: the share of vowels."""
    return sum(letter in "aeiou" for letter in sample) / max(1, len(sample))


def train(
    message: Mapping[str, Any],
    listen: Listener = lambda message, process: None,
    reward: Callable[[str, Any], float | None] = vowels,
    trainer: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Everything that the trainer says until its output ends. It waits after each step until `listen` has heard of it.

    Args:
        trainer: What starts the stepwise trainer; by default `warm`.
    """
    said = []
    with subprocess.Popen(
        list(trainer) or warm(str(STEPWISE)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tell(process, message)
        for line in process.stdout:
            said.append(json.loads(line))
            if said[-1]["type"] == "rewards":
                values = [reward(*pair) for pair in zip(said[-1]["samples"], said[-1]["items"], strict=True)]
                tell(process, {"type": "rewards", "number": said[-1]["number"], "values": values})
            listen(said[-1], process)
            if said[-1]["type"] == "step" and process.poll() is None:
                # the trainer may have ended, or its input
                with suppress(OSError, ValueError):
                    tell(process, {"type": "rewards"})
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


def at_every(steps: int, do: Callable[[subprocess.Popen[str]], object]) -> Listener:
    """Do it after every so many steps, but not where the trainer only says once more what was before it went on."""
    resumed_at = 0

    def listen(message: Mapping[str, Any], process: subprocess.Popen[str]) -> None:
        nonlocal resumed_at
        if message["type"] == "ready":
            resumed_at = message["step"]
        elif message["type"] == "step" and message["step"] > resumed_at and message["step"] % steps == 0:
            do(process)

    return listen


def adapters(folder: Path) -> dict[str, str]:
    """A digest of the weights of each adapter in a job's folder: of the model, and of the checkpoints that are kept."""
    files = folder.glob("*/adapter_model.safetensors")
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
