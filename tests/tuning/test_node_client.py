"""The official Node client, the one that the reference was written for and the newest: fine-tuning from upload to chat."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server.test_official_clients import install
from tests.tuning.support import tuning_server

SCENARIOS = Path(__file__).parent / "clients" / "scenarios.mjs"
EXPECTED = {
    "supervised": ["succeeded", None, True],
    "dpo": ["succeeded", 0.1],
    "reinforcement": "succeeded",
    "completions": "succeeded",
    "events": [True, True],
    "page": 10,
    "validating": 3,
    "best": [3, 6],
    "chat": "ckpt-step-6: Hello",
    "streamed": "model: Hello",
    "production": ["chatbot-v2"],
    "integrations": [
        {
            "type": "wandb",
            "wandb": {
                "project": "openai-fine-tuning",
                "entity": "my-team",
                "name": "gpt4-mini-v1",
                "tags": ["production"],
            },
        }
    ],
    # clients poll only while a job is queued or running
    "workflow": ["queued"] * 3,
    "bulk": ["succeeded"] * 3,
    "controlled": ["paused", "queued", "cancelled"],
    "permissions": [2, 2, True],
    "errors": ["bad", "missing"],
}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm")
@pytest.mark.parametrize("version", ["6.9.1", "latest"])
def test_jobs_from_upload_to_chat(version: str, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    command = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        f"openai@{version}",
    ]
    install(command, "the npm client", cwd=tmp_path)
    shutil.copy(SCENARIOS, tmp_path)
    with tuning_server("train") as (server, _), tuning_server("wait") as (waiting, _):
        done = subprocess.run(
            ["node", "scenarios.mjs", server.url, waiting.url],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED
