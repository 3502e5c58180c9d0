"""The transports: one HTTP exchange over our own HTTP/1.1 and over httpx2, proxies and certificates."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graders.endpoints.transport import TRANSPORTS, DirectTransport, _proxied
from graders.errors import ModelStop
from graders.judges.scripted import ReceivedRequest, Step, completion
from graders.models import Client, Config, ScriptedJudge
from tests.judges.support import ask, config_of

GOOD = b'{"a": 1}'
EXCHANGES: list[Any] = [
    # what the server does, what comes of it: the body, or the error and a word of it
    pytest.param(Step(200, GOOD), GOOD, id="content-length"),
    pytest.param(Step(200, GOOD, chunked=True), GOOD, id="chunked"),
    pytest.param(Step(200, GOOD, close=True), GOOD, id="then closed"),
    pytest.param(Step(raw=b"HTTP/1.0 200 OK\r\n\r\n" + GOOD), GOOD, id="until the end"),
    pytest.param(
        Step(raw=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + GOOD),
        GOOD,
        id="after a 100",
    ),
    pytest.param(Step(204, b""), b"", id="204"),
    pytest.param(Step(503, b"busy"), b"busy", id="an error status is a response"),
    pytest.param(Step(200, GOOD, trickle_s=0.001), GOOD, id="trickled"),
    pytest.param(Step(drop=True), OSError, id="dropped"),
    pytest.param(Step(reset=True), OSError, id="reset"),
    pytest.param(Step(200, GOOD, cut_at=3), OSError, id="cut"),
    pytest.param(Step(200, GOOD, cut_at=3, chunked=True), OSError, id="cut in a chunk"),
    pytest.param(Step(raw=b"SSH-2.0-x\r\n\r\n"), OSError, id="not HTTP"),
    pytest.param(Step(200, GOOD, delay_s=30), TimeoutError, id="no answer in time"),
    pytest.param(Step(200, GOOD, stall_at=3), TimeoutError, id="stalled"),
]


@pytest.fixture(scope="module")
def judge() -> Iterator[ScriptedJudge]:
    with ScriptedJudge() as judge:
        yield judge


@pytest.mark.parametrize("way", ["direct", "httpx2", "auto"])
@pytest.mark.parametrize(("step", "outcome"), EXCHANGES)
def test_both_transports_see_the_same(judge: ScriptedJudge, step: Step, outcome: Any, way: str) -> None:
    """A whole response whatever its status; else OSError, or TimeoutError when it took too long. One request each."""
    judge.clear()
    judge.queue(step)
    timeout_s = 0.4 if outcome is TimeoutError else 10.0

    async def exchange() -> Any:
        transport = TRANSPORTS[way]()
        try:
            return await transport.post(judge.base_url + "/x?y=1", {"x-a": "b"}, b'{"model": ""}', timeout_s)
        finally:
            await transport.aclose()

    if isinstance(outcome, bytes):
        reply = asyncio.run(exchange())
        assert reply.body == outcome
        assert reply.status == (step.status if step.raw is None else 200)
    else:
        with pytest.raises(outcome):
            asyncio.run(exchange())
    assert len(judge.received) == 1
    assert judge.received[0].path == "/v1/x?y=1"
    assert judge.received[0].headers["x-a"] == "b"


def test_connections_are_kept_and_used_again(judge: ScriptedJudge) -> None:
    """A hundred requests, ten at a time, over ten connections."""
    judge.clear()
    opened: set[int] = set()

    class Counting(DirectTransport):
        async def _connect(self, parts: Any) -> Any:
            connection = await super()._connect(parts)
            opened.add(id(connection))
            return connection

    async def run() -> None:
        client = Client(config_of(judge, max_in_flight=10), transport=Counting())
        await asyncio.gather(*(client.answer(ask(str(n))) for n in range(100)))
        await client.aclose()

    asyncio.run(run())
    assert len(judge.received) == 100
    assert len(opened) == 10


def test_a_header_cannot_smuggle_a_line(judge: ScriptedJudge) -> None:
    judge.clear()

    async def run() -> None:
        await DirectTransport().post(judge.base_url, {"x": "a\r\ncontent-length: 0"}, b"", 5)

    with pytest.raises(ConnectionError, match="line break"):
        asyncio.run(run())
    assert not judge.received


def test_a_proxy_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through httpx2: the request reaches the proxy, with the whole address; no_proxy is heeded."""
    for name in ("HTTP_PROXY", "http_proxy", "no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedJudge() as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        config = Config({"models": {"*": {"base_url": "http://judge.invalid/v1"}}})
        reply = asyncio.run(_one(Client(config)))
        assert reply.verdict == 0.5
        assert proxy.received[0].path == "http://judge.invalid/v1/chat/completions"
    monkeypatch.setenv("no_proxy", "judge.invalid")
    assert not _proxied("http://judge.invalid/v1")


async def _one(client: Client) -> Any:
    try:
        return await client.answer(ask())
    finally:
        await client.aclose()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_an_untrusted_certificate_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is not trusted ends the run at once, with what to do; trusted, it works."""
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [*request.split(), *names, "-keyout", files[0], "-out", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
    body = json.dumps(completion(ReceivedRequest(0, "", {}, {"model": "m"}), '{"result": 0.5}')).encode()

    def serve() -> None:
        for _ in range(2):
            try:
                with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    head = f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
                    connection.sendall(head.encode() + body)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = Client(Config({"models": {"*": {"base_url": url, "transport": "direct"}}}))

    with pytest.raises(ModelStop, match=r"is not trusted: .*SSL_CERT_FILE"):
        asyncio.run(_one(client))
    monkeypatch.setenv("SSL_CERT_FILE", files[1])
    assert asyncio.run(_one(Client(Config({"models": {"*": {"base_url": url}}})))).verdict == 0.5
    thread.join(5)
    listener.close()
