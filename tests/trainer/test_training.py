"""The trainer behind its pipe: a tiny random model learns, resumes to the byte, and leaves when nobody listens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.trainer.support import (
    METHODS,
    NEEDS_TRAINER,
    PYTHON,
    STEPS,
    STEPWISE,
    SUPERVISED,
    adapters,
    at_every,
    at_step,
    command,
    start,
    tell,
    train,
    vowels,
)

pytestmark = NEEDS_TRAINER


@pytest.fixture(scope="module", params=METHODS)
def undisturbed(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, str]]:
    """A method, and the adapters of a job that nothing came between, by a process of its own."""
    folder = tmp_path_factory.mktemp(request.param) / "job"
    said = train(start(request.param, model, folder), trainer=command(PYTHON, str(STEPWISE)))
    assert said[-1] == {**said[-1], "type": "done", "step": STEPS}
    assert [message["step"] for message in said if message["type"] == "step"] == list(range(1, STEPS + 1))
    kept = adapters(folder)
    assert set(kept) == {"model"} | {message["folder"] for message in said if message["type"] == "checkpoint"}
    assert len(set(kept.values())) == len(kept) - 1, (
        "the model is the last checkpoint, and no other equals it"
    )
    return request.param, kept


def test_equal_seeds_give_equal_bytes(
    undisturbed: tuple[str, dict[str, str]], model: Path, tmp_path: Path
) -> None:
    method, wanted = undisturbed
    train(start(method, model, tmp_path / "job"))
    assert adapters(tmp_path / "job") == wanted


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_jobs_stopped_at_every_seventh_step_and_killed_end_equal_to_the_byte(
    undisturbed: tuple[str, dict[str, str]], model: Path, tmp_path: Path
) -> None:
    method, wanted = undisturbed
    folder = tmp_path / "job"
    stop = at_every(7, lambda process: tell(process, {"type": "stop"}))
    killed = at_step(10, kill)

    # a stop is obeyed at the end of the step after; what was killed goes on from its last state, one in three steps
    assert train(start(method, model, folder), stop)[-1] == {"type": "stopped", "step": 8}
    assert train(start(method, model, folder, resume=True), killed)[0] == {"type": "ready", "step": 8}
    again = train(start(method, model, folder, resume=True), stop)
    assert (again[0], again[-1]) == ({"type": "ready", "step": 9}, {"type": "stopped", "step": 15})
    assert train(start(method, model, folder, resume=True), stop)[-1]["type"] == "done"
    assert adapters(folder) == wanted


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
    hyperparameters = {**METHODS["reinforcement"][2], "n_epochs": 2}
    said = train(
        start("reinforcement", model, tmp_path / "job", validation=None, hyperparameters=hyperparameters),
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
