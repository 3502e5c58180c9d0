"""A running server, and clients that say exactly what they send."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graders.engine.backends import Backends
from graders.models import load_config
from graders.server import Limits, app
from graders.server.serving import listen, server

RUN = "/v1/fine_tuning/alpha/graders/run"
VALIDATE = "/v1/fine_tuning/alpha/graders/validate"
BATCH = "/v1/graders/batch"
PROBLEMS = "/v1/graders/problems"


@dataclass
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The `error` object; its four keys are there, and no other."""
        error: dict[str, Any] = self.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert error["message"]
        assert error["type"]
        return error


@dataclass
class RunningServer:
    """A server on a thread of this process.

    Attributes:
        home: The folder of its store.
    """

    port: int
    log: io.BytesIO = field(default_factory=io.BytesIO)
    home: Path = Path()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """One request on a connection of its own. A body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            sent = {"content-type": "application/json"} if body is not None else {}
            connection.request(method, path, body, {**sent, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(
        self, path: str, body: Any, headers: dict[str, str] | None = None, timeout: float = 60
    ) -> Answer:
        return self.ask("POST", path, body, headers, timeout)

    def run(self, grader: Any, sample: Any = "Paris", item: Any = None, **headers: str) -> Answer:
        body = {"grader": grader, "model_sample": sample}
        return self.post(RUN, body if item is None else {**body, "item": item}, headers)

    def metric(self, name: str) -> float:
        """The value of one line of /metrics, 0 when it is not there."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("GET", "/metrics").body.decode(), re.M)
        return float(found[1]) if found else 0.0

    def wait_for(self, name: str, value: float, seconds: float = 60) -> None:
        """Until /metrics says so."""
        until = time.monotonic() + seconds
        while (found := self.metric(name)) != value:
            assert time.monotonic() < until, f"{name} is {found}, not {value}"
            time.sleep(0.02)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def wait_until(met: Callable[[], object], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def serving(
    backends: Backends | None = None, *, limits: Limits | None = None, **options: Any
) -> Iterator[RunningServer]:
    """A server that ends with the block."""
    own = backends or Backends(config=load_config_of(""))
    log = io.BytesIO()
    running = server(app(backends=own, limits=limits, access_log=log, **options), limits=limits)
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])), daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not running.started:
        assert thread.is_alive()
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.005)
    try:
        yield RunningServer(listener.getsockname()[1], log)
    finally:
        running.should_exit = True
        thread.join(60)
        if backends is None:
            own.close()
        assert not thread.is_alive(), "the server did not end"


def load_config_of(text: str) -> Any:
    """A configuration that does not depend on the machine."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        return load_config(file.name)


class ServerProcess(subprocess.Popen[bytes]):
    """`grader serve`.

    Attributes:
        said: Its standard error so far.
        reader: The thread that reads it.
    """

    said = b""
    reader: threading.Thread

    def exit_status(self, seconds: float = 60) -> int:
        """The status, once it has ended and all that it said is read."""
        status = self.wait(seconds)
        self.reader.join(seconds)
        return status


@contextmanager
def process(
    *arguments: str, env: dict[str, str] | None = None, port: int = 0
) -> Iterator[tuple[ServerProcess, int]]:
    """`grader serve` as a process of its own, and its port."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "graders.cli", "serve", "--port", str(port), *arguments]
    home = tempfile.TemporaryDirectory()
    child = ServerProcess(
        command,
        stdout=subprocess.DEVNULL,
        stderr=write,
        env={**os.environ, "GRADERS_HOME": home.name, **(env or {})},
    )
    os.close(write)
    heard = threading.Event()

    def listen() -> None:
        while more := os.read(read, 65536):
            child.said += more
            if b"Ctrl-C to stop" in child.said:
                heard.set()
        heard.set()
        os.close(read)

    child.reader = threading.Thread(target=listen, daemon=True)
    child.reader.start()
    try:
        assert heard.wait(60)
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", child.said)
        assert found, child.said
        yield child, int(found[1])
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.exit_status()
        home.cleanup()
