"""promptfoo's own importer reads what `grader evals export` writes, and counts what we count."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from graders.evals.exchange.dashboard import exported_rows
from graders.store import Store
from tests.evals.support import client_of, counts, equals, eval_server, rows, run_of, sampled

#: The last release that runs with Node 20.
PROMPTFOO = "promptfoo@0.121.20"
#: With `errors` last: every criterion of the last two is an error, and one of the third.
ROWS = [
    {"item": {"input": "capital?", "answer": "Paris", "more": "Paris"}, "sample": {"output_text": "Paris"}},
    {"item": {"input": "capital?", "answer": "Rome", "more": "Paris"}, "sample": {"output_text": "Paris"}},
    {"item": {"input": "capital?", "answer": "Paris"}, "sample": {"output_text": "Paris"}},
    {"item": {"input": "capital?", "answer": "Paris"}},
]


@pytest.fixture(scope="module")
def promptfoo(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command, from PROMPTFOO or from npm."""
    if given := os.environ.get("PROMPTFOO"):
        return [given]
    if not shutil.which("npm"):
        pytest.skip("there is no npm")
    home = tmp_path_factory.mktemp("promptfoo")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), PROMPTFOO]
    try:
        done = subprocess.run(command, capture_output=True, timeout=900)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{PROMPTFOO} was not installed within 15 minutes")
    if done.returncode:
        pytest.skip(f"{PROMPTFOO} could not be installed: {done.stderr.decode()[-300:]}")
    return [str(home / "node_modules" / ".bin" / "promptfoo")]


def imported(promptfoo: list[str], lines: list[str], folder: Path) -> Any:
    """The rows as promptfoo has them after its import."""
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    env = {
        **os.environ,
        "HOME": str(folder),
        "PROMPTFOO_CONFIG_DIR": str(folder / "config"),
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "PROMPTFOO_DISABLE_UPDATE": "1",
    }
    for arguments in (["import", "items.jsonl"], ["export", "eval", "latest", "-o", "out.json"]):
        done = subprocess.run([*promptfoo, *arguments], cwd=folder, env=env, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return json.loads((folder / "out.json").read_text())["results"]


@pytest.mark.slow
def test_its_importer_counts_what_we_count(promptfoo: list[str], tmp_path: Path) -> None:
    """Passed, failed and errored items, with outputs, scores and tokens; an error is never a pass."""
    criteria = [equals(), equals("{{item.more}}", name="more")]
    with eval_server(script=lambda ask: "Paris") as server, client_of(server) as client:
        brought = run_of(client, criteria, rows(*ROWS))
        asked = run_of(client, [equals()], sampled({"item": {"question": "q", "answer": "Paris"}}))
        with Store(server.home) as store:
            both = [store.runs.get(run.id) for run in (brought, asked)]
            lines = [line for run in both if run is not None for line in exported_rows(store, run)]

    found = imported(promptfoo, lines, tmp_path)

    assert (counts(brought), counts(asked)) == ((4, 1, 1, 2), (1, 1, 0, 0))
    assert {name: found["stats"][name] for name in ("successes", "failures", "errors")} == {
        "successes": 2,
        "failures": 1,
        "errors": 2,
    }
    by_item = sorted(
        found["results"], key=lambda one: (one["promptIdx"], one["metadata"]["openai"]["dataSourceIdx"])
    )
    assert [one["success"] for one in by_item] == [True, False, False, False, True]
    assert [one.get("response", {}).get("output") for one in by_item] == [
        "Paris",
        "Paris",
        "Paris",
        [],
        "Paris",
    ]
    assert "no 'item.more' in this row" in by_item[2]["error"]
    assert "the row has no sample" in by_item[3]["error"]
    assert sorted(by_item[1]["namedScores"].values()) == [0, 1]
    assert by_item[4]["response"]["tokenUsage"]["total"] == 15
