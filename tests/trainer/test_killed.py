"""Real trainers and servers that are killed at any moment: the adapters are those of a job that nothing came between."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import openai

from tests.trainer.support import NEEDS_TRAINER, SUPERVISED, adapters, command, trainer_toml
from tests.tuning.support import MODEL, ended, upload
from tests.tuning.test_killed import killed_jobs
from tests.tuning.test_supervisor import serve

pytestmark = NEEDS_TRAINER

#: Each costs a start of the trainer. TRAINER_KILLS=50 makes fifty of them.
KILLS = int(os.environ.get("TRAINER_KILLS", "3"))
EPOCHS = 30
STEPS = 4 * EPOCHS


def create(client: openai.OpenAI) -> str:
    hyperparameters: Any = {"n_epochs": EPOCHS, "batch_size": 4}
    file_id = upload(client, SUPERVISED)
    made = client.fine_tuning.jobs.create(
        model=MODEL, training_file=file_id, hyperparameters=hyperparameters, seed=1
    )
    return made.id


def test_kills_of_trainer_server_and_both_leave_the_adapters_of_an_undisturbed_job(
    model: Path, tmp_path: Path
) -> None:
    """The model and the three checkpoints that are kept, to the byte."""
    started = tmp_path / "pids"
    program = f'echo $$ >> {shlex.quote(str(started))}; exec "$@"'
    toml = tmp_path / "graders.toml"
    toml.write_text(
        trainer_toml(model, keys="save_every = 1\n", trainer=["sh", "-c", program, "sh", *command()])
    )
    server, client = serve(tmp_path / "alone", toml)
    try:
        job = ended(client, create(client), seconds=300, look_s=0.5)
        wanted = adapters(tmp_path / "alone" / "jobs" / job.id)
    finally:
        server.terminate()
        server.wait(60)
    assert len(wanted) == 4

    def pids(job_id: str) -> list[int]:
        return [int(line) for line in started.read_text().split()]

    home = tmp_path / "home"
    for _, job_id in killed_jobs(home, toml, KILLS, STEPS, create, pids, longest_s=0.5):
        assert adapters(home / "jobs" / job_id) == wanted
