"""The batch endpoint: every row answered, in order, as the run endpoint would; whatever the rows and clients do."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from graders.engine.backends import Backends
from graders.judges.scripted import ScriptedJudge, fail, say
from graders.server import Limits
from tests.server.support import BATCH, Answer, RunningServer, load_config_of, serving
from tests.specs import multi, python, score_model, string_check, text_similarity

NDJSON = "application/x-ndjson"
LIMITS = Limits(batches=2, batch_window=8, timeout_s=20)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(limits=LIMITS) as running:
        yield running


@pytest.fixture
def judged() -> Iterator[tuple[RunningServer, ScriptedJudge]]:
    with ScriptedJudge() as judge:
        config = load_config_of(
            f'[models."*"]\nbase_url = "{judge.base_url}"\napi_key_env = ""\nmax_attempts = 1\n'
        )
        with Backends(config=config) as backends, serving(backends, limits=LIMITS) as running:
            yield running, judge


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == NDJSON
    return [json.loads(line) for line in answer.body.splitlines()]


def ndjson(head: dict[str, Any], rows: list[Any]) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in (head, *rows))


GRADERS = [
    pytest.param(string_check(), id="string_check"),
    pytest.param(text_similarity(evaluation_metric="rouge_l"), id="text_similarity"),
    pytest.param(python("def grade(sample, item):\n    return len(sample['output_text'])\n"), id="python"),
    pytest.param(multi("a + p", {"a": string_check(), "p": python()}), id="multi"),
]


@pytest.mark.parametrize("grader", GRADERS)
@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_rows_come_as_from_the_run_endpoint(server: RunningServer, grader: dict[str, Any], form: str) -> None:
    """Each line is what the run endpoint answers for that row, with the row's id, in the rows' order."""
    rows = [
        {"id": f"row {n}", "sample": "x" * n, "item": {"answer": "xxx"} if n % 5 else {}} for n in range(30)
    ]
    if form == "json":
        answer = server.post(BATCH, {"grader": grader, "rows": rows})
    else:
        answer = server.post(BATCH, ndjson({"grader": grader}, rows), {"content-type": NDJSON})

    found = lines(answer)
    assert [line.pop("id") for line in found] == [row["id"] for row in rows]
    for row, line in list(zip(rows, found, strict=True))[::7]:
        alone = server.run(grader, row["sample"], row["item"]).json()
        alone["metadata"]["execution_time"] = line["metadata"]["execution_time"]
        assert line == alone


ODD_ROWS = [
    # row, its id, reward, flags
    pytest.param({"sample": "a", "item": {"answer": "a"}}, "0", 1.0, [], id="no id: its number"),
    pytest.param({"id": 7, "model_sample": "a", "item": {"answer": "a"}}, "7", 1.0, [], id="the run endpoint's word"),
    pytest.param({"id": "m", "sample": [{"role": "assistant", "content": "a"}], "item": {"answer": "a"}}, "m", 1.0, [], id="messages"),
    pytest.param({"id": "n", "item": {}}, "n", 0.0, ["sample_parse_error"], id="no sample"),
    pytest.param({"id": "p", "sample": "a", "item": []}, "p", 0.0, ["sample_parse_error"], id="item is no object"),
    pytest.param({"id": "q", "sample": "a"}, "q", 0.0, ["invalid_variable_error"], id="missing variable"),
    pytest.param(3, "0", 0.0, ["sample_parse_error"], id="no object"),
    pytest.param({"id": {"a": 1}, "sample": "a", "item": {"answer": "a"}}, '{"a": 1}', 1.0, [], id="an id of any JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "row_id", "reward", "flags"), ODD_ROWS)
def test_invalid_rows_are_flagged_at_their_position(
    server: RunningServer, row: Any, row_id: str, reward: float, flags: list[str]
) -> None:
    """A row that cannot be graded costs the others nothing."""
    good = {"id": "good", "sample": "a", "item": {"answer": "a"}}
    found = lines(server.post(BATCH, {"grader": string_check(), "rows": [row, good]}))

    assert [line["id"] for line in found] == [row_id, "good"]
    assert found[0]["reward"] == reward
    assert [flag for flag, set_ in found[0]["metadata"]["errors"].items() if set_ is True] == flags
    assert found[1]["reward"] == 1.0


def test_a_line_that_is_no_json_is_flagged(server: RunningServer) -> None:
    """Blank lines are nothing; a broken one is a failed row."""
    body = (
        json.dumps({"grader": string_check(reference="a")}).encode()
        + b'\n\n{"sample": "a"}\n{broken\n \n{"sample": "a"}'
    )
    found = lines(server.post(BATCH, body, {"content-type": NDJSON}))

    assert [line["reward"] for line in found] == [1.0, 0.0, 1.0]
    assert found[1]["metadata"]["errors"]["sample_parse_error"]


@pytest.mark.parametrize("rows", [[], None])
def test_a_batch_without_rows_is_empty(server: RunningServer, rows: list[Any] | None) -> None:
    """A batch without rows has an empty answer."""
    if rows is None:
        answer = server.post(BATCH, ndjson({"grader": string_check()}, []), {"content-type": NDJSON})
    else:
        answer = server.post(BATCH, {"grader": string_check(), "rows": rows})

    assert (answer.status, answer.body) == (200, b"")


def test_results_stream(judged: tuple[RunningServer, ScriptedJudge]) -> None:
    """Rows whose answers are there are sent while others wait."""
    running, judge = judged
    quick, slow = say({"steps": [], "result": 0.5}), say({"steps": [], "result": 1.0}, delay_s=600)
    judge.default = lambda received: (slow if received.texts[-1].endswith("1") else quick)(received)
    rows = [{"sample": str(n)} for n in range(2)]
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request(
        "POST",
        BATCH,
        json.dumps({"grader": score_model(), "rows": rows}),
        {"content-type": "application/json"},
    )
    response = connection.getresponse()

    first = json.loads(response.readline())
    connection.close()
    assert first["reward"] == 0.5
    running.wait_for("graders_judge_under_way", 0)


def test_a_client_that_leaves_ends_the_work(judged: tuple[RunningServer, ScriptedJudge]) -> None:
    """Rows under way are given up, and their places are free again."""
    running, judge = judged
    judge.default = say({"steps": [], "result": 0.5}, delay_s=60)
    body = json.dumps({"grader": score_model(), "rows": [{"sample": str(n)} for n in range(100)]})
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("POST", BATCH, body, {"content-type": "application/json"})
    running.wait_for("graders_judge_under_way", 8)

    connection.close()

    running.wait_for("graders_judge_under_way", 0)
    running.wait_for("graders_batches_under_way", 0)
    running.wait_for("graders_buffered_bytes", 0)
    assert len(judge.received) <= 8


def test_too_many_batches_are_refused(judged: tuple[RunningServer, ScriptedJudge]) -> None:
    """One more than is admitted is told to come back; one that ends makes room."""
    running, judge = judged
    judge.default = say({"steps": [], "result": 0.5}, delay_s=60)
    body = json.dumps({"grader": score_model(), "rows": [{"sample": "x"}]})
    connections = [http.client.HTTPConnection("127.0.0.1", running.port, timeout=30) for _ in range(2)]
    for connection in connections:
        connection.request("POST", BATCH, body, {"content-type": "application/json"})
    running.wait_for("graders_batches_under_way", 2)

    refused = running.post(BATCH, {"grader": string_check(), "rows": []})
    for connection in connections:
        connection.close()
    running.wait_for("graders_batches_under_way", 0)

    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    assert running.post(BATCH, {"grader": string_check(), "rows": []}).status == 200


def test_a_judge_that_refuses_the_key_ends_the_batch(judged: tuple[RunningServer, ScriptedJudge]) -> None:
    """The last line says why no later row was graded, in the service's error body."""
    running, judge = judged
    judge.default = fail(401, "no such key", "invalid_api_key")
    found = lines(
        running.post(BATCH, {"grader": score_model(), "rows": [{"sample": str(n)} for n in range(50)]})
    )

    assert set(found[-1]) == {"error"}
    assert found[-1]["error"]["code"] == "model_grader_server_error"
    assert len(judge.received) <= 10


def test_equal_questions_are_asked_once(judged: tuple[RunningServer, ScriptedJudge]) -> None:
    """Equal questions are asked once if the request allows merging."""
    running, judge = judged
    judge.default = say({"steps": [], "result": 0.5})
    rows = [{"sample": "same"}] * 20
    found = lines(running.post(BATCH, {"grader": score_model(), "rows": rows, "merge": True}))

    assert [line["reward"] for line in found] == [0.5] * 20
    assert len(judge.received) == 1
