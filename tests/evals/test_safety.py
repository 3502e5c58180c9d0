"""The store's server: one at a time, no keys on disk, and nothing hostile gets through."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graders.judges.scripted import ScriptedJudge, say
from graders.server.service import Recording
from tests.evals.support import client_of, custom, ended, equals, eval_server, rows, sampled
from tests.server.support import process


@pytest.mark.slow
def test_two_servers_on_one_store(tmp_path: Path) -> None:
    """The second says who has it and what to do, and ends with 3; without a store it serves."""
    env = {"GRADERS_HOME": str(tmp_path)}
    with process(env=env) as (child, _):
        again = subprocess.run(
            [sys.executable, "-m", "graders.cli", "serve", "--port", "0"],
            env={**os.environ, **env},
            capture_output=True,
            timeout=60,
        )
        with process("--no-store", env=env) as (_, port):
            assert port

    assert again.returncode == 3
    said = again.stderr.decode()
    assert f"pid {child.pid}" in said
    assert "GRADERS_HOME" in said
    assert "--no-store" in said


ATTACKS = [
    # method, path, content type
    ("POST", "/v1/files", "multipart/form-data; boundary=x"),
    ("POST", "/v1/evals/eval_1/runs/evalrun_1", None),
    ("POST", "/v1/evals/eval_1/runs/evalrun_1/cancel", "text/plain"),
    ("DELETE", "/v1/evals/eval_1", None),
    ("DELETE", "/v1/files/file-1", None),
    ("POST", "/v1/evals", "application/json"),
    ("POST", "/v1/chat/completions", "application/json"),
]


@pytest.mark.parametrize(("method", "path", "content_type"), ATTACKS)
def test_a_foreign_page_changes_nothing(method: str, path: str, content_type: str | None) -> None:
    """Requests of a foreign page are refused, also forms and requests without a body, which need no preflight."""
    headers = {"origin": "https://evil.example", **({"content-type": content_type} if content_type else {})}
    with eval_server(recording=Recording()) as server:
        answer = server.ask(method, path, b"{}" if content_type else None, headers)

        assert (answer.status, answer.error["code"]) == (403, "unknown_origin")


def test_no_key_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the store has the client's or the model's key."""
    monkeypatch.setenv("MODEL_KEY", "sk-upstream-secret")
    with ScriptedJudge() as model:
        model.default = say("Paris")
        config = f'[models."*"]\nbase_url = "{model.base_url}"\napi_key_env = "MODEL_KEY"\n'
        with (
            eval_server(config, token="client-secret", recording=Recording()) as server,
            client_of(server).with_options(api_key="client-secret") as client,
        ):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], store=True)
            made = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])
            row = {"item": {"question": "q", "answer": "Paris"}}
            assert (
                ended(
                    client, client.evals.runs.create(made.id, data_source=sampled(row))
                ).result_counts.passed
                == 1
            )
            kept = b"".join(path.read_bytes() for path in server.home.rglob("*") if path.is_file())

    assert b"Paris" in kept
    assert b"secret" not in kept


DEEP = b"[" * 100_000 + b"]" * 100_000
BODIES = [
    ("/v1/evals", DEEP),
    ("/v1/evals", b'{"metadata": ' + DEEP + b"}"),
    ("/v1/evals", b'{"data_source_config": {"type": "custom", "item_schema": {"a": ' + DEEP + b"}}}"),
    ("/v1/evals", b'{"name": "\xff"}'),
    ("/v1/evals", b'{"name": NaN}'),
    ("/v1/chat/completions", DEEP),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_hostile_bodies_are_refused(path: str, body: bytes) -> None:
    with eval_server(recording=Recording()) as server:
        answer = server.ask("POST", path, body, {"content-type": "application/json"})

        assert answer.status == 400
        assert answer.error["message"]


def test_hostile_rows_are_problems_of_the_run() -> None:
    """A line of a file that is nested without end, and numbers that are none."""
    for line in (b'{"item": ' + DEEP + b"}", b'{"item": {"a": NaN}}', b'{"item": {"a": "\xff"}}'):
        with eval_server() as server, client_of(server) as client:
            file = client.files.create(file=("x", line), purpose="evals")
            made = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])
            source: Any = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
            run = ended(client, client.evals.runs.create(made.id, data_source=source))

            assert (run.status, run.error.code) == ("failed", "invalid_data_source"), line[:30]


def test_a_deleted_run_under_way_ends() -> None:
    """A run under way ends if it or its eval is deleted, and the server goes on."""

    async def never(ask: Any) -> str:
        await asyncio.sleep(60)
        return ""

    with eval_server(script=never) as server, client_of(server) as client:
        for delete_eval in (True, False):
            made = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])
            row = {"item": {"question": "q", "answer": "a"}}
            run = client.evals.runs.create(made.id, data_source=sampled(row))
            server.wait_for("graders_runs_under_way", 1)
            if delete_eval:
                client.evals.delete(made.id)
            else:
                client.evals.runs.delete(run.id, eval_id=made.id)
            server.wait_for("graders_runs_under_way", 0)
        fine = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])
        data = rows({"item": {"answer": "a"}, "sample": {"output_text": "a"}})
        assert ended(client, client.evals.runs.create(fine.id, data_source=data)).result_counts.passed == 1
