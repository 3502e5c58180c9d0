"""What is counted and logged: /metrics in Prometheus' format, the access log, and errors without what caused them."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator

import pytest

from graders.engine.backends import Backends
from graders.judges.scripted import ScriptedJudge, say
from graders.server import service
from graders.server.metrics import BUCKETS, MOST_MODELS, Metrics
from tests.server.support import BATCH, RunningServer, load_config_of, serving
from tests.specs import multi, python, score_model, string_check

SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+)\})? (\S+)$')


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with ScriptedJudge() as judge:
        judge.default = say({"steps": [], "result": 1.0})
        config = load_config_of(f'[models."*"]\nbase_url = "{judge.base_url}"\napi_key_env = ""\n')
        with Backends(config=config) as backends, serving(backends) as running:
            yield running


def test_prometheus_own_parser_reads_it() -> None:
    """Families, kinds and escaped labels, by the library that we do not use to write them."""
    parser = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics()
    metrics.request('a "route"\\n', 200, 0.3)
    metrics.sandbox("value")
    families = {family.name: family for family in parser.text_string_to_metric_families(metrics.text())}

    (request,) = families["graders_requests"].samples
    assert (families["graders_requests"].type, request.labels["route"], request.value) == (
        "counter",
        'a "route"\\n',
        1,
    )
    seconds = families["graders_request_seconds"]
    assert seconds.type == "histogram"
    assert {sample.value for sample in seconds.samples if sample.labels.get("le") in ("0.5", "+Inf")} == {1}
    assert families["graders_sandbox_outcomes"].samples[0].labels == {"outcome": "value"}


def parsed(text: str) -> dict[str, dict[str, float]]:
    """family -> labels -> value; every sample belongs to the family that was described before it."""
    families: dict[str, dict[str, float]] = {}
    name = kind = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in families
            families[name] = {}
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name
            kind = line.split(" ")[3]
        else:
            found = SAMPLE.match(line)
            assert found, line
            family = re.sub("_(bucket|sum|count)$", "", found[1]) if kind == "histogram" else found[1]
            assert family == name, line
            families[name][f"{found[1]} {found[2] or ''}".strip()] = float(found[3])
    assert text.endswith("\n")
    return families


def test_everything_is_counted(server: RunningServer) -> None:
    """Requests, rows, flags, judge tokens, sandbox outcomes, and the time it all took."""
    server.run(string_check(), "a", {"answer": "a"})
    server.run(string_check(), "a", {})
    server.run(score_model(model='odd "name"\n'), "a")
    server.run(python("def grade(sample, item):\n    return 1 / 0\n"), "a")
    server.run(multi("a", {"a": python()}), "a")
    server.run({}, "a")
    server.post(BATCH, {"grader": string_check(), "rows": [{"sample": "a", "item": {"answer": "b"}}] * 3})

    answer = server.ask("GET", "/metrics")
    found = parsed(answer.body.decode())

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    requests = found["graders_requests_total"]
    assert requests['graders_requests_total route="run",status="200"'] == 5
    assert requests['graders_requests_total route="run",status="400"'] == 1
    assert requests['graders_requests_total route="batch",status="200"'] == 1
    assert found["graders_rows_total"] == {
        'graders_rows_total type="string_check"': 5,
        'graders_rows_total type="score_model"': 1,
        'graders_rows_total type="python"': 1,
        'graders_rows_total type="multi"': 1,
    }
    flags = {labels: n for labels, n in found["graders_row_failures_total"].items() if n}
    assert flags == {
        'graders_row_failures_total flag="invalid_variable_error"': 1,
        'graders_row_failures_total flag="python_grader_runtime_error"': 1,
    }
    tokens = found["graders_judge_tokens_total"]
    assert tokens[r'graders_judge_tokens_total model="odd \"name\"\n",kind="prompt"'] == 10
    assert tokens[r'graders_judge_tokens_total model="odd \"name\"\n",kind="completion"'] == 5
    outcomes = found["graders_sandbox_outcomes_total"]
    assert outcomes['graders_sandbox_outcomes_total outcome="value"'] == 1
    assert outcomes['graders_sandbox_outcomes_total outcome="python_grader_runtime_error"'] == 1
    times = found["graders_request_seconds"]
    of_run = [
        times[f'graders_request_seconds_bucket route="run",le="{bound}"'] for bound in (*BUCKETS, "+Inf")
    ]
    assert of_run == sorted(of_run)
    assert of_run[-1] == times['graders_request_seconds_count route="run"'] == 6
    assert times['graders_request_seconds_sum route="run"'] > 0
    assert found["process_open_fds"]["process_open_fds"] > 3
    assert found["graders_compiled"]["graders_compiled"] >= 4


def test_names_of_judges_are_bounded() -> None:
    """Names of judges come from requests, so that past some number they are counted together."""
    from graders.usage import Usage

    metrics = Metrics()
    for n in range(3 * MOST_MODELS):
        metrics._count_tokens(f"model {n}", Usage(1, 1, 2).to_wire())
    tokens = parsed(metrics.text())["graders_judge_tokens_total"]

    assert len(tokens) <= 3 * (MOST_MODELS + 1)
    assert sum(tokens.values()) == 2 * 3 * MOST_MODELS


def test_the_access_log(server: RunningServer) -> None:
    """A line of JSON for each request, under the id that the client was given."""
    answer = server.run(string_check(), "a", {})
    until = time.monotonic() + 20
    while answer.headers["x-request-id"].encode() not in server.log.getvalue() and time.monotonic() < until:
        time.sleep(0.02)

    lines = [json.loads(line) for line in server.log.getvalue().splitlines()]
    line = next(line for line in lines if line["request_id"] == answer.headers["x-request-id"])
    assert (line["method"], line["route"], line["status"], line["type"], line["rows"]) == (
        "POST",
        "run",
        200,
        "string_check",
        1,
    )
    assert line["flags"] == ["invalid_variable_error"]
    assert line["bytes_out"] == len(answer.body)
    assert line["bytes_in"] > 100


def test_a_bug_is_logged_without_the_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in the error body with the request's id; the log has the place, and nothing that the request held."""

    def broken(body: object, known: object, required: object) -> object:
        raise KeyError("PAYLOADMARK")

    monkeypatch.setattr(service, "parameters", broken)
    with caplog.at_level(logging.ERROR, "graders.server"), serving() as running:
        answer = running.run(string_check(), "PAYLOADMARK")

    assert (answer.status, answer.error["type"]) == (500, "server_error")
    assert answer.headers["x-request-id"] in answer.error["message"]
    assert "PAYLOADMARK" not in answer.body.decode()
    logged = [record.getMessage() for record in caplog.records if record.name == "graders.server"]
    assert len(logged) == 1
    line = json.loads(logged[0])
    assert (line["error"], line["request_id"]) == ("KeyError", answer.headers["x-request-id"])
    assert line["at"][-1].startswith("test_observed.py:")
    assert "PAYLOADMARK" not in caplog.text
