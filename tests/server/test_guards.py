"""What one request or one client may take from all others is bounded."""

from __future__ import annotations

import gc
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.jsontext import has_more_values
from graders.server import Limits
from tests.server.support import BATCH, PROBLEMS, RUN, VALIDATE, RunningServer, serving
from tests.specs import label_model, string_check

GOOD = {"grader": string_check(), "model_sample": "a", "item": {"answer": "a"}}
LIMITS = Limits(json_values=1000, write_s=1.5, batches=2)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(limits=LIMITS) as running:
        yield running


# --- how much JSON -----------------------------------------------------------------------------------------------


def n_values(value: Any) -> int:
    """Values and, since a comma less is written for them, once more the empty arrays and objects."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(n_values, inner)) + (isinstance(value, (dict, list)) and not inner)


VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a\\",[{}]:é\n')),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.sampled_from('a\\",[{')), inner, max_size=5)
    ),
    max_leaves=30,
)


@settings(max_examples=40)
@given(VALUES, st.booleans())
def test_values_are_counted_without_parsing(value: Any, ascii: bool) -> None:
    """The count equals that of a parser; text in strings does not count."""
    text = json.dumps(value, ensure_ascii=ascii).encode()
    n = n_values(value)

    assert has_more_values(text, n - 1)
    assert not has_more_values(text, n)


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (b"[" + b"{}," * 999 + b"{}]", True),
        (b'["' + b"," * 5000 + b'"]', False),
        (b'["' + b'\\",' * 5000 + b'"]', False),
        (b'["' + b"\\\\" * 5000 + b'",' + b"1," * 2000 + b"1]", True),
        (b'"' + b"," * 5000, False),
        (b'{"a":' * 2000, True),
    ],
)
def test_commas_in_strings_do_not_refuse_a_body(text: bytes, more: bool) -> None:
    assert has_more_values(text, 1000) == more


BODIES = [
    # path, body, status, code
    pytest.param(
        RUN, {**GOOD, "item": {"answer": "a", "more": [{}] * 1000}}, 413, "too_many_values", id="an item"
    ),
    pytest.param(
        VALIDATE, {"grader": {**string_check(), "x": [{}] * 1000}}, 413, "too_many_values", id="a spec"
    ),
    pytest.param(BATCH, {"grader": string_check(), "rows": [1] * 1000}, 413, "too_many_values", id="rows"),
    pytest.param(RUN, {**GOOD, "item": {"answer": "a", "text": "{}," * 100_000}}, 200, None, id="only text"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), BODIES)
def test_a_body_has_so_many_values_at_most(
    server: RunningServer, path: str, body: Any, status: int, code: str | None
) -> None:
    """Refused before it is parsed, which nobody else could interrupt."""
    answer = server.post(path, body)

    assert answer.status == status
    if code:
        assert answer.error["code"] == code
        assert "more than 1000 values" in answer.error["message"]


def test_a_line_of_ndjson_has_so_many_values_at_most(server: RunningServer) -> None:
    """A line with too many values fails alone, and the rows around it are graded."""
    rows = [
        {"sample": "a", "item": {"answer": "a"}},
        {"sample": "a", "item": [{}] * 1000},
        GOOD | {"grader": 1},
    ]
    head = json.dumps({"grader": string_check()})
    body = "\n".join((head, *map(json.dumps, rows))).encode()

    answer = server.post(BATCH, body, {"content-type": "application/x-ndjson"})

    results = [json.loads(line) for line in answer.body.splitlines()]
    assert [result["reward"] for result in results] == [1.0, 0.0, 1.0]
    assert results[1]["metadata"]["errors"]["sample_parse_error"]


# --- slow readers ------------------------------------------------------------------------------------------------


def unread(running: RunningServer, n_rows: int = 40_000, buffer: int = 4096) -> socket.socket:
    """A client that asks for megabytes of results and has read nothing yet."""
    rows = b'{"sample":"a","item":{"answer":"a"}}\n' * n_rows
    body = json.dumps({"grader": string_check()}).encode() + b"\n" + rows
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect(("127.0.0.1", running.port))
    head = f"POST {BATCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.slow
def test_a_client_that_does_not_read_is_given_up(server: RunningServer) -> None:
    """M7 of the review: as many of them as there are batches kept everybody else's out for ever."""
    connections = [unread(server) for _ in range(LIMITS.batches)]
    server.wait_for("graders_batches_under_way", 0)

    answer = server.post(
        BATCH, {"grader": string_check(), "rows": [{"sample": "a", "item": {"answer": "a"}}]}
    )

    assert answer.status == 200
    assert answer.json()["reward"] == 1.0
    for connection in connections:
        connection.close()


@pytest.mark.slow
def test_a_client_that_reads_slowly_gets_all(server: RunningServer) -> None:
    """The server gives up a client that reads less than a buffer in write_s, however long the whole takes."""
    connection = unread(server, 40_000, 2**20)
    connection.settimeout(60)
    started, found = time.monotonic(), bytearray()
    while not found.endswith(b"0\r\n\r\n"):
        part = connection.recv(256 * 1024)
        assert part, f"closed after {len(found)} bytes"
        found += part
        time.sleep(0.05)

    assert found.count(b'"reward":1.0') == 40_000
    assert time.monotonic() - started > 2 * LIMITS.write_s


# --- headers -----------------------------------------------------------------------------------------------------


def test_every_answer_forbids_sniffing(server: RunningServer) -> None:
    """Results, errors and the page."""
    for path in ("/healthz", "/", "/nothing"):
        assert server.ask("GET", path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "hosts", [("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost",) * 2]
)
def test_several_host_headers_are_refused(server: RunningServer, hosts: tuple[str, str]) -> None:
    """Two host headers are refused, since a proxy may have looked at the other one."""
    with server.connect() as connection:
        lines = "".join(f"host: {host}\r\n" for host in hosts)
        connection.sendall(f"GET /healthz HTTP/1.1\r\n{lines}connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 400 ")


# --- who waits for whom ------------------------------------------------------------------------------------------


def test_a_large_spec_does_not_hold_up_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large specs are compiled on threads of their own, so that small ones are answered meanwhile."""
    import graders

    entered, release = threading.Event(), threading.Event()
    compile_ = graders.compile

    def slowly(spec: Any, **options: Any) -> Any:
        if len(spec["reference"]) > 40_000:
            entered.set()
            assert release.wait(60)
        return compile_(spec, **options)

    monkeypatch.setattr(graders, "compile", slowly)
    with serving() as running:
        large = threading.Thread(target=running.run, args=(string_check(reference="x" * 50_000),))
        large.start()
        try:
            assert entered.wait(60)
            answer = running.run(string_check(reference="y"))
        finally:
            release.set()
            large.join()

    assert answer.status == 200


# --- the review's inputs -----------------------------------------------------------------------------------------


def text_of_a_spec(text: str) -> dict[str, Any]:
    return {"spec": text}


def heavy() -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Each input of the review that kept `/healthz` waiting, by name: path, and how the body is made."""

    def run(spec: Any, item: Any = None) -> bytes:
        return json.dumps({"grader": spec, "model_sample": "a", "item": item or {}}).encode()

    labels = [f"{'label ' * 10}{n}" for n in range(60_000)]
    deep = '{"' + "k" * 3200 + '":'
    return {
        "27 MB of {}": (RUN, lambda: b'{"grader":[' + b"{}," * 9_000_000 + b"{}]}"),
        "200,000 unknown keys": (VALIDATE, lambda: json.dumps({"grader": {**string_check(), **{f"k{n}": 1 for n in range(200_000)}}}).encode()),
        "5,000 unknown keys": (VALIDATE, lambda: json.dumps({"grader": {**string_check(), **{f"k{n}": 1 for n in range(5000)}}}).encode()),
        "a variable and blanks": (VALIDATE, lambda: json.dumps({"grader": string_check(input="{{a" + " " * 1_000_000)}).encode()),
        "60,000 labels": (VALIDATE, lambda: json.dumps({"grader": label_model(labels=labels, passing_labels=["x"])}).encode()),
        "9,000 labels": (VALIDATE, lambda: json.dumps({"grader": label_model(labels=labels[:9000], passing_labels=["x"])}).encode()),
        "a value put in 3,000 times": (RUN, lambda: run(string_check(input="{{item.a}}" * 3000), {"a": "a" * 3_000_000})),
        "JSON put in 3,000 times": (RUN, lambda: run(string_check(input="{{item.a}}" * 3000), {"a": ["a" * 3000] * 1000})),
        "deep keys": (PROBLEMS, lambda: json.dumps(text_of_a_spec(deep * 900 + "1" + "}" * 900)).encode()),
        "a text of 10 MB of {}": (PROBLEMS, lambda: json.dumps(text_of_a_spec("[" + "{}," * 3_000_000 + "{}]")).encode()),
    }  # fmt: skip


@pytest.mark.slow
def test_the_server_answers_during_heavy_requests() -> None:
    """While each is under way, /healthz comes within 100 ms, beyond what this machine takes by itself.

    A fault is there each time, and a busy moment of the machine is not: the quickest of five rounds counts.
    """
    with served() as running:
        quiet = [healthz(running) for _ in range(30)]
        most = 0.1 + statistics.quantiles(quiet, n=20)[-1]
        slow = {}
        for name, (path, make) in heavy().items():
            body = make()
            waits = (longest_wait(running, path, body) for _ in range(5))
            if (first := next(waits)) > most and all(seconds > most for seconds in waits):
                slow[name] = first
            del body
            gc.collect()

    assert slow == {}


def longest_wait(running: RunningServer, path: str, body: bytes) -> float:
    """How long /healthz took at most while this request was under way, one outlier left out; seconds."""
    request = threading.Thread(target=running.post, args=(path, body), kwargs={"timeout": 120})
    request.start()
    times = [0.0, 0.0]
    while request.is_alive():
        times.append(healthz(running))
        time.sleep(0.005)
    request.join()
    return sorted(times)[-2]


def healthz(running: RunningServer) -> float:
    started = time.perf_counter()
    assert running.ask("GET", "/healthz").status == 200
    return time.perf_counter() - started


@contextmanager
def served() -> Iterator[RunningServer]:
    """`grader serve` in a process of its own, so that the client's interpreter does not hold it up."""
    command = [sys.executable, "-m", "graders.cli", "serve", "--port", "0", "--no-access-log"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = b""
        while not (found := re.search(rb"http://127\.0\.0\.1:(\d+)", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield RunningServer(int(found[1]))
        finally:
            process.terminate()
