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
