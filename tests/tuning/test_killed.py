"""Trainers and servers that are killed at any moment: nothing is lost, said twice, or left running."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import openai
import pytest

from tests.server.support import wait_until
from tests.tuning.support import config, ended, messages
from tests.tuning.test_supervisor import alive, create, pids, serve, steps

KILLS = 50
# steps of the stub's jobs
STEPS = 200
# the longest time for a trainer to start and to make a step
START_S = 300


@pytest.mark.slow
def test_fifty_kills_of_trainer_server_and_both_lose_and_repeat_nothing(tmp_path: Path) -> None:
    home, toml = tmp_path / "home", tmp_path / "graders.toml"
    toml.write_text(config("long"))
    for client, job_id in killed_jobs(home, toml, KILLS, STEPS, create, lambda job_id: pids(home, job_id)):
        checkpoints = client.fine_tuning.jobs.checkpoints.list(job_id)
        assert [one.step_number for one in checkpoints] == [200, 180, 160]
        said = messages(client, job_id)
        created = [text for text in said if text.startswith("Checkpoint created at step")]
        assert [int(text.split()[4]) for text in created] == list(range(20, STEPS + 1, 20))


def killed_jobs(
    home: Path,
    toml: Path,
    kills: int,
    n_steps: int,
    make: Callable[[openai.OpenAI], str],
    pids_of: Callable[[str], list[int]],
    longest_s: float = 0.03,
) -> Iterator[tuple[openai.OpenAI, str]]:
    """Jobs that succeed, each step told once and nothing left running, although -9 ends the trainer, the server or both.

    Each kill comes after a step of its own, since a trainer that dies three times without one fails its job.

    Args:
        kills: In all; the last job goes on undisturbed once there were so many.
        n_steps: Of a job.
        make: Creates a job; its id.
        pids_of: Process ids of a job's trainers, the last one's last.
        longest_s: From a step to the kill, at most.

    Yields:
        A client, and the job's id.
    """
    moments, n = random.Random(18), 0
    server, client = serve(home, toml)
    try:
        while n < kills:
            job_id, reached = make(client), 0
            while n < kills and reached < n_steps:
                wait_until(lambda: max(steps(client, job_id), default=0) > reached, START_S)  # noqa: B023  # at once
                time.sleep(moments.random() * longest_s)
                whom = moments.choice(("trainer", "server", "both"))
                if whom != "server":
                    kill(pids_of(job_id)[-1])
                if whom != "trainer":
                    server.send_signal(signal.SIGKILL)
                    server.wait()
                    server, client = serve(home, toml)
                n += 1
                reached = max(steps(client, job_id), default=0)
            job = ended(client, job_id, seconds=START_S)
            assert job.status == "succeeded", job.error
            assert steps(client, job_id) == list(range(1, n_steps + 1))
            assert sum("successfully completed" in text for text in messages(client, job_id)) == 1
            wait_until(lambda: not any(map(alive, pids_of(job_id))))  # noqa: B023  # at once
            yield client, job_id
    finally:
        server.terminate()
        server.wait(60)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
