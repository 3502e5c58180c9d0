"""Trainers and servers that are killed at any moment: nothing is lost, said twice, or left running."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.server.support import wait_until
from tests.tuning.support import config, ended, messages
from tests.tuning.test_supervisor import alive, create, pids, serve, steps

KILLS = 50
STEPS = 200  # of the stub's jobs


@pytest.mark.slow
def test_fifty_kills_of_trainer_server_and_both_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Each after a step of its own, since a trainer that dies three times without one fails its job."""
    home, toml, moments, kills = tmp_path / "home", tmp_path / "graders.toml", random.Random(18), 0
    toml.write_text(config("long"))
    server, client = serve(home, toml)
    try:
        while kills < KILLS:
            job_id, reached = create(client), 0
            while kills < KILLS and reached < STEPS:
                wait_until(lambda: max(steps(client, job_id), default=0) > reached)  # noqa: B023  # waited for at once
                time.sleep(moments.random() * 0.03)
                whom = moments.choice(("trainer", "server", "both"))
                if whom != "server":
                    kill(pids(home, job_id)[-1])
                if whom != "trainer":
                    server.send_signal(signal.SIGKILL)
                    server.wait()
                    server, client = serve(home, toml)
                kills += 1
                reached = max(steps(client, job_id), default=0)
            job = ended(client, job_id)
            assert job.status == "succeeded", job.error
            assert steps(client, job_id) == list(range(1, STEPS + 1))
            checkpoints = client.fine_tuning.jobs.checkpoints.list(job_id)
            assert [one.step_number for one in checkpoints] == [200, 180, 160]
            said = messages(client, job_id)
            created = [text for text in said if text.startswith("Checkpoint created at step")]
            assert [int(text.split()[4]) for text in created] == list(range(20, STEPS + 1, 20))
            assert sum("successfully completed" in text for text in said) == 1
            wait_until(lambda: not any(map(alive, pids(home, job_id))))  # noqa: B023  # waited for at once
    finally:
        server.terminate()
        server.wait(60)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
