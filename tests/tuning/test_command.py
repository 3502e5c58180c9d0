"""grader jobs against a server that tunes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graders.cli import main
from tests.tuning.support import MODEL, ended, rows, tuning_server, upload


def grader(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out + captured.err


def test_jobs_are_made_followed_listed_and_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tuning_server("train") as (server, client):
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        body = tmp_path / "job.json"
        body.write_text(
            json.dumps({"model": MODEL, "training_file": upload(client, rows()), "metadata": {"team": "a"}})
        )
        code, printed = grader(capsys, "jobs", "create", str(body))
        job_id = printed.strip()
        assert code == 0
        code, printed = grader(capsys, "jobs", "events", "-f", job_id)
        assert code == 0
        assert printed.splitlines()[-1].endswith("info: The job has successfully completed")
        assert printed.count("Step 3/6") == 1
        model = ended(client, job_id).fine_tuned_model
        code, printed = grader(capsys, "jobs", "list", "--metadata", "team=a")
        assert printed.split() == [job_id, "succeeded", MODEL, model]
        assert grader(capsys, "jobs", "list", "--metadata", "team=b") == (0, "")
        assert json.loads(grader(capsys, "jobs", "show", job_id)[1])["status"] == "succeeded"
        code, printed = grader(capsys, "jobs", "pause", job_id)
        assert code == 1
        assert "Cannot pause a job with status 'succeeded'" in printed


def test_a_server_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    code, printed = grader(capsys, "jobs", "list")
    assert code == 3
    assert "grader serve --tuning" in printed


def test_a_job_is_exported_with_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tuning_server("wait") as (server, client):
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        file = upload(client, rows())
        job_id = client.fine_tuning.jobs.create(model=MODEL, training_file=file, validation_file=file).id
        toml = tmp_path / "graders.toml"
        toml.write_text(f'[tuning.models]\n"{MODEL}" = "base"\n[tuning.lora]\nrank = 4\n')
        out = tmp_path / "out"
        code, printed = grader(
            capsys, "jobs", "export", job_id, "--to", "trl", "--out", str(out), "--config", str(toml)
        )
        assert (code, printed.splitlines()[0]) == (0, f"cd {out} && python train.py")
        assert sorted(path.name for path in out.iterdir()) == [
            "job.json",
            "train.jsonl",
            "train.py",
            "valid.jsonl",
        ]
        job = json.loads((out / "job.json").read_text())
        assert (job["model"], job["lora"]["rank"]) == (str(tmp_path / "base"), 4)
        assert len((out / "train.jsonl").read_text().splitlines()) == 10


def model_folder(path: Path, *, config: str = "{}", weights: str = "model.safetensors") -> Path:
    path.mkdir()
    for name, text in (("config.json", config), (weights, ""), ("tokenizer.json", "{}")):
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, '[tuning.models]\n"m" = {folder}\n'),
        ("[judge]\nvotes = 3", '[judge]\nvotes = 3\n\n[tuning.models]\n"m" = {folder}\n'),
        (
            '[tuning]\nthreads = 1\n[tuning.models] # of ours\n"a" = "b"\n[tuning.lora]\nrank = 4\n',
            '[tuning]\nthreads = 1\n[tuning.models] # of ours\n"m" = {folder}\n"a" = "b"\n[tuning.lora]\nrank = 4\n',
        ),
    ],
)
def test_a_model_is_entered_in_the_configuration(
    before: str | None,
    after: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, toml = model_folder(tmp_path / "base"), tmp_path / "graders.toml"
    named = []
    if before is not None:
        toml.write_text(before)
        named = ["--config", str(toml)]
    assert grader(capsys, "jobs", "add-model", "m", str(folder), *named)[0] == 0
    assert toml.read_text() == after.format(folder=json.dumps(str(folder)))


@pytest.mark.parametrize(
    ("folder", "toml", "says"),
    [
        ({"config": '{"auto_map": {}}'}, "", "code of its own"),
        ({"weights": "pytorch_model.bin"}, "", "no *.safetensors"),
        ({}, '[tuning.models]\n"m" = "x"\n', "already"),
        ({}, 'tuning = { models = { "a" = "b" } }\n', "yourself"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_with_the_reason(
    folder: dict[str, str], toml: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_folder(tmp_path / "base", **folder)
    config = tmp_path / "graders.toml"
    config.write_text(toml)
    code, printed = grader(capsys, "jobs", "add-model", "m", str(path), "--config", str(config))
    assert code == 1
    assert says in printed
    assert config.read_text() == toml
