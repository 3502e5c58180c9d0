"""`grader serve` as a process: how it starts, what it says, how it ends, and what a client sees of that."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ports import reserved_port
from tests.server.support import RUN, VALIDATE, Answer, process
from tests.specs import python, string_check

KEY = "sk-KEYMARK"
SECRET = "PAYLOADMARK"
QUIET = {"GRADERS_CONFIG": "", "OPENAI_API_KEY": ""}


def post(port: int, body: Any, path: str = RUN, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", path, data, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        return Answer(response.status, {}, response.read())
    finally:
        connection.close()


def row(sample: str, answer: str) -> dict[str, Any]:
    return {"grader": string_check(), "model_sample": sample, "item": {"answer": answer}}


def wait_for_a_row(port: int, **headers: str) -> None:
    """Until the server runs a row's program."""
    until = time.monotonic() + 60
    seen = b""
    while b"graders_code_under_way 1" not in seen:
        assert time.monotonic() < until, "no row is under way"
        time.sleep(0.02)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/metrics", headers=headers)
        seen = connection.getresponse().read()
        connection.close()


REFUSED = [
    pytest.param(["--host", "0.0.0.0"], 2, "needs a token", id="others without a token"),
    pytest.param(["--host", "::"], 2, "needs a token", id="the same in IPv6"),
    pytest.param(["--host", "example.invalid"], 2, "needs a token", id="a name without a token"),
    pytest.param(["--token", "@/nonexistent/token"], 2, "cannot read the token", id="no token file"),
    pytest.param(
        ["--host", "192.0.2.1", "--token", "x"], 3, "cannot listen on 192.0.2.1", id="not our address"
    ),
    pytest.param(["--port", "70000"], 2, "0<=x<=65535", id="no port"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), REFUSED)
def test_refusals_to_start(arguments: list[str], code: int, says: str) -> None:
    """Said at once, with what to do next, and nothing is listened on."""
    done = subprocess.run(
        [sys.executable, "-m", "graders.cli", "serve", "--port", "0", *arguments],
        capture_output=True,
        timeout=60,
    )

    assert done.returncode == code
    assert says in done.stderr.decode()
    assert done.stdout == b""


def test_a_taken_port_is_reported() -> None:
    """A port that is taken is reported with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "graders.cli", "serve", "--port", str(taken.getsockname()[1])],
            capture_output=True,
            timeout=60,
        )

    assert done.returncode == 3
    assert "--port 0 takes any free one" in done.stderr.decode()


def test_an_unreadable_configuration_is_reported(tmp_path: Path) -> None:
    """An unreadable configuration ends the start with the file's name."""
    config = tmp_path / "graders.toml"
    config.write_text("[models\n")
    done = subprocess.run(
        [sys.executable, "-m", "graders.cli", "serve", "--port", "0", "--config", str(config)],
        capture_output=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "graders.toml" in done.stderr.decode()


def test_requests_are_logged_and_a_drain_finishes_rows(tmp_path: Path) -> None:
    """Start, requests, a drain on SIGTERM; the log has all of them, and nothing of what they held."""
    token = tmp_path / "token"
    token.write_text(KEY + "\n")
    key = {"authorization": f"Bearer {KEY}"}
    raising = python(f"def grade(sample, item):\n    raise ValueError('{SECRET}')\n")
    with process("--token", f"@{token}", env=QUIET) as (child, port):
        assert post(port, row(SECRET, SECRET), **key).json()["reward"] == 1.0
        assert SECRET in post(port, {"grader": raising, "model_sample": SECRET}, **key).body.decode()
        assert post(port, {"grader": {"type": SECRET}}, VALIDATE, **key).status == 400
        assert post(port, b"{" + SECRET.encode(), **key).status == 400
        assert post(port, row(SECRET, ""), f"/{SECRET}?key={KEY}", **key).status == 404
        assert post(port, row(SECRET, ""), authorization=f"Bearer {KEY}{SECRET}").status == 401
        with socket.create_connection(("127.0.0.1", port)) as garbage:
            garbage.sendall(SECRET.encode() + b"\r\n\r\n")
            garbage.recv(1000)

        waiting: list[Answer] = []
        sleeping = python("import time\ndef grade(sample, item):\n    time.sleep(4)\n    return 1.0\n")
        asking = threading.Thread(
            target=lambda: waiting.append(post(port, {"grader": sleeping, "model_sample": "x"}, **key))
        )
        asking.start()
        wait_for_a_row(port, **key)
        child.send_signal(signal.SIGTERM)
        assert child.exit_status() == 0
        asking.join()
        said = child.said.decode()

    assert waiting[0].json()["reward"] == 1.0, "what was under way was finished"
    assert SECRET not in said
    assert KEY not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    lines = [line for line in lines if line["route"] != "counters"]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("run", 200),
        ("run", 200),
        ("validate", 400),
        ("run", 400),
        ("none", 404),
        ("none", 401),
        ("run", 200),
    ]
    assert lines[1]["flags"] == ["python_grader_runtime_error"]
    assert all(line["request_id"].startswith("req_") and line["ms"] >= 0 for line in lines)
    assert "sandbox: linux-" in said
    assert "stopped" in said


@pytest.mark.slow
def test_a_row_that_does_not_end_is_cut_when_the_drain_is_over() -> None:
    """Its client is told, in the error body, that a retry may help; the server ends."""
    hanging = python("import time\ndef grade(sample, item):\n    time.sleep(100)\n")
    answers: list[Answer] = []
    with process("--drain", "1", env=QUIET) as (child, port):
        asking = threading.Thread(
            target=lambda: answers.append(post(port, {"grader": hanging, "model_sample": "x"}))
        )
        asking.start()
        wait_for_a_row(port)
        child.send_signal(signal.SIGTERM)
        assert child.exit_status() == 0
        asking.join()

    assert (answers[0].status, answers[0].error["code"]) == (503, "shutting_down")


def test_ctrl_c_twice_does_not_wait() -> None:
    """The second one ends what is under way."""
    hanging = python("import time\ndef grade(sample, item):\n    time.sleep(100)\n")
    with process(env=QUIET) as (child, port), socket.create_connection(("127.0.0.1", port)) as connection:
        body = json.dumps({"grader": hanging, "model_sample": "x"}).encode()
        connection.sendall(
            b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (RUN.encode(), len(body), body)
        )
        wait_for_a_row(port)
        child.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.exit_status() == 0


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_restarts_answer_no_request_wrongly(sign: signal.Signals) -> None:
    """No request is answered wrongly: each gets its own answer whole, or a connection that ends without one."""
    with reserved_port() as port:
        restarted_under_load(sign, port)


def restarted_under_load(sign: signal.Signals, port: int) -> None:
    """Restart a server on the port by a signal while eight clients ask, and check each answer."""
    stop = threading.Event()
    answered, lost = [0], [0]
    wrong: list[str] = []
    count = threading.Lock()

    def ask(worker: int) -> None:
        connection: http.client.HTTPConnection | None = None
        n = 0
        while not stop.is_set():
            n += 1
            sample = f"{worker} {n}"
            good = n % 2 == 0
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                body = json.dumps(row(sample, sample if good else "no"))
                connection.request("POST", RUN, body, {"content-type": "application/json"})
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException):
                with count:
                    lost[0] += 1
                if connection:
                    connection.close()
                connection = None
                time.sleep(0.02)
                continue
            if response.status != 200 or json.loads(text)["reward"] != float(good):
                wrong.append(f"{sample}: {response.status} {text!r}")
            with count:
                answered[0] += 1

    workers = [threading.Thread(target=ask, args=(worker,)) for worker in range(8)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(3):
            with process("--no-access-log", env=QUIET, port=port) as (child, _):
                before = answered[0]
                until = time.monotonic() + 30
                while answered[0] < before + 200 and time.monotonic() < until:
                    time.sleep(0.05)
                child.send_signal(sign)
                child.exit_status()
                assert answered[0] > before
    finally:
        stop.set()
        for worker in workers:
            worker.join(30)

    assert wrong == []
    assert answered[0] >= 600
    assert lost[0] > 0, "the restarts were felt"


def test_help_explains_base_url_and_tokens() -> None:
    """The help says what the server is for, how a client is pointed at it, and what a token is for."""
    done = subprocess.run(
        [sys.executable, "-m", "graders.cli", "serve", "--help"],
        capture_output=True,
        timeout=60,
        env=os.environ,
    )
    text = done.stdout.decode()

    assert done.returncode == 0
    for word in ("base_url", "OPENAI_BASE_URL", "GRADERS_TOKEN", "--drain", "Ctrl-C"):
        assert word in text
