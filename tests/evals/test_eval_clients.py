"""The official clients, old and new, Python and Node: scripts of users run unchanged but for base_url."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from graders.judges.scripted import ReceivedRequest, ScriptedJudge, Step, completion
from graders.server.service import Recording
from tests.evals.support import eval_server
from tests.server.support import RunningServer
from tests.server.test_official_clients import OPENAI_NODE, install

CLIENTS = Path(__file__).parent / "clients"
KEY = "sk-local"
#: The first client whose types are today's, which the official notebooks of 2025 were run with.
OPENAI_1 = "openai==1.99.9"
ALL = ["completed", 1, 1, 0, 0]
#: Of answers, whose ids differ as those of real servers do.
NUMBERS = count()
#: What each of the users' scripts sees: status, then total, passed, failed, errored of its run, and what it reads beside.
EXPECTED = {
    "guide": ["completed", 2, 1, 1, 0, 2, 30, 1],
    "bulk": 9,
    "regression": [ALL, ALL],
    "structured": [ALL, ALL],
    "tools": [ALL, ALL],
    "no_tool_was_used": ["completed", 1, 0, 1, 0, [1, 0]],
    "built_in_tools": ["completed", 1, 0, 0, 1, True],
    "images": [*ALL, "<image>http://i/x.png</image>"],
    "audio": ALL,
    "listing": ["changed", {"k": "v"}, [True, True, True], 404],
    "canceled": ["in_progress", "canceled", "canceled", True],
    "item_reference": [*ALL, [["system", "Be brief."], ["user", "Hi"]]],
    "monitoring": [3, ["completed", 3, 3, 0, 0], ["completed", 3, 3, 0, 0]],
    "responses_logs": [["completed", 2, 2, 0, 0], ["completed", 2, 2, 0, 0]],
    "refused": ["testing_criteria[0].operation", "data_source_config.type", "data_source_config.item_schema"],
    "receipts": [*ALL, [1, 1, 1, 1, 1]],
    "azure": ["azure", *ALL],
    "many": list(range(1, 50, 2)),
}


def answer(received: ReceivedRequest) -> Step:
    """A model that categorizes tickets, calls the tool it is given, fills the schema it is asked for, and judges."""
    body = received.json
    form = body.get("response_format", {}).get("json_schema", {})
    if "result" in form.get("schema", {}).get("properties", {}):
        result = form["schema"]["properties"]["result"]
        verdict = (
            "good" if "enum" in result else 1.0 if result.get("description", "").endswith("0 to 1.") else 6.0
        )
        return Step(body=completion(received, json.dumps({"steps": [], "result": verdict})))
    if form:
        return Step(body=completion(received, '{"symbols": ["x"]}'))
    if body.get("tools"):
        call = {
            "id": "c",
            "type": "function",
            "function": {"name": "extract", "arguments": '{"symbols": [{"name": "x"}]}'},
        }
        made = completion(received, None, finish="tool_calls")
        made["choices"][0]["message"]["tool_calls"] = [call]
        return Step(body=made)
    made = completion(received, "Hardware")
    made["id"] += f"-{next(NUMBERS)}"
    return Step(body=made, delay_s=60.0 if body["model"] == "slow" else 0.0)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with ScriptedJudge() as model:
        model.default = answer
        config = f'[models."*"]\nbase_url = "{model.base_url}"\napi_key_env = ""\n'
        with eval_server(config, token=KEY, recording=Recording()) as running:
            yield running


def seen_by(command: list[str], server: RunningServer, **options: Any) -> dict[str, Any]:
    done = subprocess.run([*command, server.url, KEY], capture_output=True, timeout=300, **options)
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_the_newest_python_client(server: RunningServer) -> None:
    """Every scenario, as the installed client of 3.x runs it."""
    seen = seen_by([sys.executable, str(CLIENTS / "scenarios.py")], server)

    assert seen.pop("version").startswith("3.")
    assert seen == EXPECTED


@pytest.mark.slow
def test_an_old_python_client(server: RunningServer, tmp_path: Path) -> None:
    """The same scripts with 1.99, in an environment of its own."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install(
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", OPENAI_1], "openai 1.99"
    )

    seen = seen_by([str(python), str(CLIENTS / "scenarios.py")], server)

    assert seen.pop("version") == "1.99.9"
    assert seen == EXPECTED


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm")
def test_the_newest_node_client(server: RunningServer, tmp_path: Path) -> None:
    """Create, upload, run, iterate, cancel without a content type, delete."""
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    install(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", OPENAI_NODE],
        "the npm client",
        cwd=tmp_path,
    )
    shutil.copy(CLIENTS / "scenarios.mjs", tmp_path)

    assert seen_by(["node", "scenarios.mjs"], server, cwd=tmp_path) == {
        "counts": {"total": 3, "errored": 0, "failed": 1, "passed": 2},
        "items": ["pass", "fail", "pass"],
        "canceled": "canceled",
        "deleted": True,
        "gone": True,
        "missing": 404,
    }
