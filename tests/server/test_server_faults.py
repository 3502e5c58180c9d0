"""Clients that are slow, gone, too many or malicious, and graders that hang: bounded, and nobody else's trouble."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from graders.engine.backends import Backends
from graders.judges.scripted import ScriptedJudge, say
from graders.server import Limits
from graders.server import serving as serving_module
from graders.server.metrics import resident_bytes
from graders.server.resources import graders as routes
from tests.cases import first
from tests.server.support import RUN, VALIDATE, RunningServer, load_config_of, serving, wait_until
from tests.specs import multi, python, score_model, string_check, text_similarity

LIMITS = Limits(head_s=1.5, body_s=2.0, head_bytes=16_384, body_bytes=1 << 20, code=6)
HANGS = python("def grade(sample, item):\n    while True:\n        pass\n")
GOOD = {"grader": string_check(), "model_sample": "a", "item": {"answer": "a"}}
DEADLINE = "x-stainless-read-timeout"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with ScriptedJudge() as judge:
        judge.default = say({"steps": [], "result": 1.0}, delay_s=60)
        config = load_config_of(f'[models."*"]\nbase_url = "{judge.base_url}"\napi_key_env = ""\n')
        with Backends(config=config) as backends, serving(backends, limits=LIMITS) as running:
            yield running


@pytest.fixture(autouse=True)
def nothing_is_left(server: RunningServer) -> Iterator[None]:
    """After every fault the server answers, and holds nothing of it any more."""
    yield
    assert server.post(RUN, GOOD).json()["reward"] == 1.0
    for name in ("graders_buffered_bytes", "graders_code_under_way", "graders_judge_under_way"):
        server.wait_for(name, 0)


def request(body: bytes, head: str = "", length: int | None = None, path: str = RUN) -> bytes:
    length = len(body) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {length}\r\n{head}\r\n"
    ).encode() + body


def rest(connection: socket.socket) -> bytes:
    """All that still comes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def one(connection: socket.socket) -> bytes:
    """The next whole response."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += received(connection, 1)
    length = int(re.search(rb"content-length: (\d+)", found)[1])  # type: ignore[index]  # every answer has a length
    while len(found.partition(b"\r\n\r\n")[2]) < length:
        found += received(connection, 65536)
    return found


def received(connection: socket.socket, n_bytes: int) -> bytes:
    """What comes next of a connection that the server still holds."""
    part = connection.recv(n_bytes)
    assert part, "the server has ended the connection"
    return part


SLOW = [
    pytest.param([b""], id="says nothing"),
    pytest.param([b"POST / HTTP/1.1\r\n"], id="stops in its headers"),
    pytest.param([b"G"] + [b"x-a: b\r\n"] * 60, id="a header at a time"),
    pytest.param([b"\r\n"] * 60, id="blank lines"),
]


@pytest.mark.parametrize("parts", first(2, SLOW))
def test_headers_have_to_come_in_time(server: RunningServer, parts: list[bytes]) -> None:
    """A connection that sends its headers too slowly is ended, before the client's 30 s are over."""
    with server.connect() as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05 if len(parts) > 1 else 0)
        except OSError:
            # the server has ended the connection already
            return
        rest(connection)


def test_headers_after_a_request_have_to_come_in_time_too(server: RunningServer) -> None:
    """Headers of a second request on a connection have the same time limit."""
    with server.connect() as connection:
        connection.sendall(request(json.dumps(GOOD).encode()))
        assert one(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"POST ")
        rest(connection)


def test_endless_headers_are_not_kept(server: RunningServer) -> None:
    """Headers that do not end are refused and not kept."""
    with server.connect() as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 200_000)
        except ConnectionError:
            return
        answer = rest(connection)
        assert not answer or (b"400 Bad Request" in answer and b'"error"' in answer)


@pytest.mark.slow
def test_a_body_has_to_come_in_time(server: RunningServer) -> None:
    """408, which a retry may mend, and the connection ends."""
    with server.connect() as connection:
        connection.sendall(request(b'{"grader":', length=1000))
        answer = rest(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    assert b"connection: close" in answer


@pytest.mark.parametrize("sent", [0, 20, None])
def test_half_closed_connections_are_ended(server: RunningServer, sent: int | None) -> None:
    """A client that stops writing, in its headers, its body or after all of it, costs nothing."""
    whole = request(json.dumps(GOOD).encode())
    with server.connect() as connection:
        connection.sendall(whole[:sent] if sent is not None else whole[:-5])
        connection.shutdown(socket.SHUT_WR)
        rest(connection)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00", b"hello\r\n\r\n", b"GET / FTP/1.1\r\n\r\n", b"\x00" * 100]
)
def test_invalid_http_gets_the_error_body(server: RunningServer, garbage: bytes) -> None:
    """Gets the error body, and the end of the connection."""
    with server.connect() as connection:
        connection.sendall(garbage)
        answer = rest(connection)

    assert answer.startswith(b"HTTP/1.1 4")
    _head, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body)["error"]["code"]


@pytest.fixture(scope="module")
def patient() -> Iterator[RunningServer]:
    """A server that waits for a large body on a busy machine too."""
    with Backends() as backends, serving(backends, limits=Limits(body_bytes=1 << 20)) as running:
        yield running


@pytest.mark.parametrize("length_known", [True, False])
def test_a_body_of_50_megabytes_is_refused_and_not_kept(patient: RunningServer, length_known: bool) -> None:
    """Read to the end so that the client sees the answer, and not kept."""
    part = b" " * 65536
    before = resident_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", patient.port, timeout=60)
    headers = {"content-type": "application/json"}
    if length_known:
        headers["content-length"] = str(50 << 20)
    connection.request(
        "POST", VALIDATE, (part for _ in range(50 << 4)), headers, encode_chunked=not length_known
    )
    response = connection.getresponse()

    assert response.status == 413
    assert json.loads(response.read())["error"]["code"] == "request_too_large"
    assert resident_bytes() - before < 30 << 20
    connection.request("POST", RUN, json.dumps(GOOD), headers={"content-type": "application/json"})
    assert connection.getresponse().status == 200, "the connection is still good"
    connection.close()


def test_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    """Several at once on a connection are answered in their order."""
    bodies = [json.dumps({**GOOD, "model_sample": sample}).encode() for sample in ("a", "b", "a")]
    with server.connect() as connection:
        connection.sendall(
            b"".join(
                request(body, "connection: close\r\n" if n == 2 else "") for n, body in enumerate(bodies)
            )
        )
        answer = rest(connection)

    rewards = [
        json.loads(part.partition(b"\r\n\r\n")[2])["reward"] for part in answer.split(b"HTTP/1.1 200 OK")[1:]
    ]
    assert rewards == [1.0, 0.0, 1.0]


def test_connections_beyond_the_limit_are_closed() -> None:
    """The next ones are closed; those who are connected go on."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(limits=Limits(connections=50)))
        first = stack.enter_context(server.connect())
        first.sendall(request(json.dumps(GOOD).encode()))
        assert one(first).startswith(b"HTTP/1.1 200")
        others = [stack.enter_context(server.connect()) for _ in range(55)]
        assert rest(others[-1]) == b""
        first.sendall(request(json.dumps(GOOD).encode()))
        assert one(first).startswith(b"HTTP/1.1 200")


def hang(server: RunningServer, seconds: float) -> socket.socket:
    connection = server.connect()
    connection.settimeout(30)
    body = json.dumps({"grader": HANGS, "model_sample": "x"}).encode()
    connection.sendall(request(body, f"{DEADLINE}: {seconds}\r\nconnection: close\r\n"))
    return connection


@pytest.mark.slow
def test_hanging_graders_cost_their_places_until_their_deadlines(server: RunningServer) -> None:
    """Others are answered meanwhile; then each is a row with its flag. One too many is told to come back."""
    hanging = [hang(server, 10.0) for _ in range(LIMITS.code)]
    server.wait_for("graders_code_under_way", LIMITS.code)

    answered = [server.post(RUN, GOOD).json()["reward"] for _ in range(20)]
    refused = server.run(python())

    assert answered == [1.0] * 20
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert "python graders" in refused.error["message"]
    assert int(refused.headers["retry-after"]) >= 1
    for connection in hanging:
        answer = rest(connection)
        connection.close()
        errors = json.loads(answer.partition(b"\r\n\r\n")[2])["metadata"]["errors"]
        assert answer.startswith(b"HTTP/1.1 200")
        assert errors["python_grader_server_error_type"] == "timeout" or errors["unresponsive_reward_error"]
    assert server.run(python()).json()["reward"] == 1.0


def test_clients_that_leave_end_their_graders(server: RunningServer) -> None:
    """The place is free long before the deadline."""
    hanging = [hang(server, 60.0) for _ in range(LIMITS.code)]
    server.wait_for("graders_code_under_way", LIMITS.code)

    for connection in hanging:
        connection.close()

    server.wait_for("graders_code_under_way", 0, seconds=50)
    assert server.run(python()).json()["reward"] == 1.0
    wait_until(lambda: server.metric('graders_requests_total{route="run",status="499"}') >= LIMITS.code)


def test_a_client_that_leaves_ends_its_judge(server: RunningServer) -> None:
    """The question to the judge is given up."""
    connection = server.connect()
    connection.sendall(request(json.dumps({"grader": score_model(), "model_sample": "x"}).encode()))
    server.wait_for("graders_judge_under_way", 1)

    connection.close()

    server.wait_for("graders_judge_under_way", 0)


def test_a_judge_that_does_not_answer_is_a_flag_at_the_deadline(server: RunningServer) -> None:
    """200 with the judge's flag, once the client's own time is nearly over."""
    answer = server.run(score_model(), **{DEADLINE: "1.5"})

    errors = answer.json()["metadata"]["errors"]
    assert answer.status == 200
    assert errors["model_grader_server_error"] or errors["unresponsive_reward_error"]


def long_row(n_members: int) -> dict[str, object]:
    """A row that a metric works on for some tenths of a second for each member."""
    text = "".join(random.Random(0).choices("abcdefgh ", k=90_000))
    members = {f"m{n}": text_similarity(reference="{{item.answer}}") for n in range(n_members)}
    formula = "+".join(members)
    return {"grader": multi(formula, members), "model_sample": text, "item": {"answer": text[::-1]}}


@pytest.mark.slow
def test_a_metric_over_long_texts_does_not_block_others(server: RunningServer) -> None:
    """Small rows are answered while it works."""
    ended = threading.Event()
    results = []

    def long() -> None:
        results.append(server.post(RUN, long_row(12)))
        ended.set()

    thread = threading.Thread(target=long)
    thread.start()
    answered = 0
    while not ended.is_set():
        assert server.post(RUN, GOOD).status == 200
        answered += 1
    thread.join()

    assert results[0].status == 200
    assert results[0].json()["reward"] > 0
    # two would be answered if the metric held up the server: one before and one after
    assert answered >= 3


def test_a_metric_that_works_past_the_deadline_is_a_flag(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric cannot be interrupted, but the client gets its answer at the deadline."""
    monkeypatch.setattr(routes, "LATE_S", 0.01)
    row = long_row(2)
    # the grader is compiled from here on
    server.post(RUN, {**row, "model_sample": "x"})

    answer = server.post(RUN, row, {DEADLINE: "0.01"})

    assert answer.status == 200
    assert answer.json()["metadata"]["errors"]["unresponsive_reward_error"]


def test_bodies_beyond_the_memory_are_refused() -> None:
    """Bodies under way that fill their memory: the next one is told to come back."""
    with serving(limits=Limits(buffered_bytes=1000, body_s=60)) as running:
        with running.connect() as connection:
            connection.sendall(request(b" " * 800, length=900))
            running.wait_for("graders_buffered_bytes", 800)
            refused = running.run(string_check(), "x" * 300)
        running.wait_for("graders_buffered_bytes", 0)

        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert running.run(string_check(), "x" * 300).status == 200


def test_requests_beyond_the_limit_are_refused() -> None:
    """The next one is told to come back; whether the server lives can still be asked."""
    with ScriptedJudge() as judge:
        judge.default = say({"steps": [], "result": 1.0}, delay_s=60)
        config = load_config_of(f'[models."*"]\nbase_url = "{judge.base_url}"\napi_key_env = ""\n')
        with Backends(config=config) as backends, serving(backends, limits=Limits(requests=1)) as running:
            with running.connect() as connection:
                connection.sendall(
                    request(json.dumps({"grader": score_model(), "model_sample": "x"}).encode())
                )
                until = time.monotonic() + 60
                while (refused := running.run(string_check())).status != 429:
                    assert time.monotonic() < until

                assert refused.error["code"] == "rate_limit_exceeded"
                assert running.ask("GET", "/healthz").status == 200
                assert running.ask("GET", "/metrics").status == 200
            until = time.monotonic() + 60
            while running.run(string_check()).status == 429:
                assert time.monotonic() < until


@pytest.mark.slow
def test_long_texts_beyond_the_limit_are_refused() -> None:
    """Rows with long texts queue for two threads; one too many gets a 429, and small rows go on."""
    with serving(limits=Limits(large=1)) as running:
        row = long_row(1)
        # the grader is compiled from here on
        running.post(RUN, {**row, "model_sample": "x", "item": {"answer": "y"}})
        slow = long_row(24)
        first = threading.Thread(target=lambda: running.post(RUN, slow))
        first.start()
        running.wait_for("graders_large_under_way", 1)
        refused = running.post(RUN, row)
        # a request between two rows is answered
        while refused.status == 200 and first.is_alive():
            refused = running.post(RUN, row)
        small = running.post(RUN, GOOD)
        first.join()

    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert "long texts" in refused.error["message"]
    assert small.status == 200


@pytest.mark.slow
def test_time_limits_hold_without_httptools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same patience where httptools is not installed."""
    monkeypatch.setattr(serving_module, "find_spec", lambda name: None)
    with serving(limits=LIMITS) as running:
        assert running.post(RUN, GOOD).json()["reward"] == 1.0
        with running.connect() as connection:
            connection.sendall(request(json.dumps(GOOD).encode()))
            assert one(connection).startswith(b"HTTP/1.1 200")
            connection.sendall(b"POST ")
            rest(connection)
        with running.connect() as connection:
            connection.sendall(b"\x00" * 100)
            assert b'"code":"invalid_http"' in rest(connection)
        with running.connect() as connection:
            connection.sendall(request(b"{", length=1000))
            assert b'"code":"request_timeout"' in rest(connection)
