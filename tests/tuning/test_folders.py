"""Room of jobs' folders: the quota that refuses jobs, and what is removed of jobs that ended long ago."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from graders.store import JobRecord, Store
from graders.tuning import supervisor
from graders.tuning.folders import DAY_S, GB, sizes, sweep
from tests.tuning.support import MODEL, ended, rows, tuning_server, upload

NAME = f"ft:{MODEL}:local::abcd1234"
WRITTEN = (
    "state/step-2/optimizer.pt",
    "train.jsonl",
    "log",
    "model/adapter",
    "ckpt-step-2/adapter",
    "ckpt-step-4/adapter",
)
LONG_AGO = {"status": "succeeded", "finished_at": int(time.time() - 31 * DAY_S)}


def add_job(store: Store, **fields: Any) -> Path:
    """The folder of a new job with a tuned model, and checkpoints of steps 2 and 4 of which the first was deleted."""
    record = JobRecord(
        id="ftjob-1",
        created_at=0,
        model=MODEL,
        training_file="f",
        validation_file=None,
        suffix=None,
        seed=1,
        method="{}",
        hyperparameters="{}",
        integrations=None,
        metadata=None,
        **{"fine_tuned_model": NAME, **fields},
    )
    store.jobs.add(record)
    store.jobs.add_checkpoint(record.id, 4, f"{NAME}:ckpt-step-4", "{}")
    folder = store.home / "jobs" / record.id
    for name in WRITTEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x" * 10)
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("fields", "days", "kept"),
    [
        (LONG_AGO, 30, ["ckpt-step-4", "model"]),
        ({**LONG_AGO, "status": "failed", "fine_tuned_model": None}, 30, ["ckpt-step-4"]),
        (LONG_AGO, 0, None),
        (LONG_AGO, 32, None),
        ({"status": "paused"}, 30, None),
    ],
)
def test_ended_jobs_keep_the_adapters_of_their_models(
    fields: dict[str, Any], days: float, kept: list[str] | None, tmp_path: Path
) -> None:
    with Store(tmp_path) as store:
        folder = add_job(store, **fields)
        before = names_in(folder)
        sweep(store, days)
        assert names_in(folder) == (before if kept is None else kept)
        assert store.jobs.get("ftjob-1") is not None


def test_a_folder_is_deleted_with_its_last_model(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        folder = add_job(store, **LONG_AGO)
        # what a link names is not the job's
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (folder / "link").symlink_to(elsewhere)
        for name in (NAME, f"{NAME}:ckpt-step-4"):
            store.jobs.delete_model(name)
        sweep(store, 30)
        assert not folder.exists()
        assert elsewhere.exists()
        # again, with nothing there
        sweep(store, 30)


def test_sizes_are_those_of_all_files(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert sizes(store) == {}
        add_job(store, **LONG_AGO)
        assert sizes(store) == {"ftjob-1": 10 * len(WRITTEN)}


def test_a_job_beyond_the_quota_is_refused_with_a_remedy() -> None:
    # room for the rows of one job, and for nothing beside them
    quota = len("".join(json.dumps(row) + "\n" for row in rows())) + 0.5
    with tuning_server("train", tuning_keys=f"quota_gb = {quota / GB:.15f}\n") as (_, client):
        file = upload(client, rows())
        first = ended(client, client.fine_tuning.jobs.create(model=MODEL, training_file=file).id)
        with pytest.raises(openai.BadRequestError) as refused:
            client.fine_tuning.jobs.create(model=MODEL, training_file=file)
        assert refused.value.code == "quota_exceeded"
        assert first.id in refused.value.message
        assert [job.id for job in client.fine_tuning.jobs.list()] == [first.id]


def test_a_server_sweeps_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SWEEP_S", 0.0)
    with tuning_server("train", tuning_keys="retention_days = 1e-9\n") as (server, client):
        job = ended(
            client, client.fine_tuning.jobs.create(model=MODEL, training_file=upload(client, rows())).id
        )
        folder, until = server.home / "jobs" / job.id, time.monotonic() + 60
        adapters = ["ckpt-step-2", "ckpt-step-4", "ckpt-step-6", "model"]
        while names_in(folder) != adapters:
            assert time.monotonic() < until, names_in(folder)
            time.sleep(0.02)
        said: Any = client.chat.completions.create(
            model=job.fine_tuned_model, messages=[{"role": "user", "content": "hello"}]
        )
        assert said.choices[0].message.content == "model: hello"
