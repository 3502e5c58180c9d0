"""Trainers and servers that are killed at any moment: nothing is lost, said twice, or left running."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.tuning.support import config, ended, messages
from tests.tuning.test_supervisor import alive, create, pids, serve, steps, wait_until

KILLS = 50


@pytest.mark.slow
def test_fifty_kills_of_trainer_server_and_both_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Each after a step of its own, since a trainer that dies three times without one fails its job."""
    home, toml, moments = tmp_path / "home", tmp_path / "graders.toml", random.Random(18)
    toml.write_text(config("long"))
    server, client = serve(home, toml)
    try:
        job_id = create(client)
        reached = 0
        for _ in range(KILLS):
            wait_until(lambda: max(steps(client, job_id), default=0) > reached)  # noqa: B023  # waited for at once
            time.sleep(moments.random() * 0.03)
            whom = moments.choice(("trainer", "server", "both"))
            if whom != "server":
                kill(pids(home, job_id)[-1])
            if whom != "trainer":
                server.send_signal(signal.SIGKILL)
                server.wait()
                server, client = serve(home, toml)
            reached = max(steps(client, job_id), default=0)
            if client.fine_tuning.jobs.retrieve(job_id).status == "succeeded":
                break
        job = ended(client, job_id)
        assert job.status == "succeeded", job.error
        assert steps(client, job_id) == list(range(1, 201))
        checkpoints = client.fine_tuning.jobs.checkpoints.list(job_id)
        assert [one.step_number for one in checkpoints] == [200, 180, 160]
        said = messages(client, job_id)
        created = [text for text in said if text.startswith("Checkpoint created at step")]
        assert [int(text.split()[4]) for text in created] == list(range(20, 201, 20))
        assert sum("successfully completed" in text for text in said) == 1
        assert len(pids(home, job_id)) > 20
        wait_until(lambda: not any(map(alive, pids(home, job_id))))
    finally:
        server.terminate()
        server.wait(60)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
