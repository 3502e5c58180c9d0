"""A server that is killed, again and again, at any moment: nothing is lost, nothing counts twice."""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from graders.judges.scripted import ReceivedRequest, ScriptedJudge, Step, completion
from tests.evals.support import custom, equals, sampled
from tests.server.support import process

KILLS, IN_FLIGHT = 12, 64


def request(port: int, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            method,
            f"/v1{path}",
            None if body is None else json.dumps(body),
            {"content-type": "application/json"},
        )
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [10_000])
def test_a_killed_server_counts_each_row_once(tmp_path: Path, n_rows: int) -> None:
    """Every row ends with its own answer, once; at most the rows under way are asked about again for each kill."""
    asked: Counter[str] = Counter()
    chance = random.Random(12)

    def answer(received: ReceivedRequest) -> Step:
        (question,) = received.texts
        asked[question] += 1
        return Step(body=completion(received, question), delay_s=0.01)

    rows = [{"item": {"question": f"q{n}", "answer": f"q{n}"}} for n in range(n_rows)]
    with ScriptedJudge() as model:
        model.default = answer
        config = tmp_path / "graders.toml"
        config.write_text(
            f'[models."*"]\nbase_url = "{model.base_url}"\napi_key_env = ""\n[evals]\nin_flight = {IN_FLIGHT}\n'
        )
        env = {"GRADERS_HOME": str(tmp_path / "home")}
        run: Any = None
        for kill in range(KILLS + 1):
            with process("--config", str(config), "--no-access-log", env=env) as (child, port):
                if run is None:
                    criteria = [equals(), equals("q", "like", name="like")]
                    made = request(
                        port, "POST", "/evals", {"data_source_config": custom(), "testing_criteria": criteria}
                    )
                    run = request(port, "POST", f"/evals/{made['id']}/runs", {"data_source": sampled(*rows)})
                path = f"/evals/{run['eval_id']}/runs/{run['id']}"
                until = time.monotonic() + (chance.uniform(0.05, n_rows / 8000) if kill < KILLS else 300)
                while time.monotonic() < until and run["status"] in ("queued", "in_progress"):
                    run = request(port, "GET", path)
                    time.sleep(0.01)
                child.kill()

    assert (run["status"], run["result_counts"]) == (
        "completed",
        {"total": n_rows, "errored": 0, "failed": 0, "passed": n_rows},
    )
    assert [one["passed"] for one in run["per_testing_criteria_results"]] == [n_rows, n_rows]
    assert run["per_model_usage"][0]["invocation_count"] == n_rows
    assert len(asked) == n_rows
    assert sum(asked.values()) - n_rows <= KILLS * IN_FLIGHT
    with sqlite3.connect(tmp_path / "home" / "graders.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*), count(DISTINCT n) FROM items").fetchone() == (n_rows, n_rows)
        assert db.execute("SELECT count(*) FROM scores").fetchone() == (2 * n_rows,)
        wrong = "SELECT count(*) FROM items WHERE json_extract(item, '$.answer') != json_extract(shown, '$.output[0].content')"
        assert db.execute(wrong).fetchone() == (0,)
    db.close()
