"""The trainer behind its pipe: a tiny random model learns, resumes to the byte, and leaves when nobody listens."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.trainer.support import (
    METHODS,
    NEEDS_TRAINER,
    SUPERVISED,
    adapter,
    at_step,
    start,
    tell,
    train,
    vowels,
)

pytestmark = NEEDS_TRAINER


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
