"""/v1/files: streamed to disk, content-addressed, listed part by part, and nothing taken on trust."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from graders.server import Limits
from graders.server.metrics import resident_bytes
from graders.store import Store
from tests.server.support import Answer, RunningServer, serving

LIMITS = Limits(file_bytes=200_000, files_bytes=500_000)
BOUNDARY = "----here"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path) as opened:
        yield opened


@pytest.fixture
def server(store: Store) -> Iterator[RunningServer]:
    with serving(store=store, limits=LIMITS) as running:
        yield running


def client_of(server: RunningServer, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, **options)


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        + content
        + b"\r\n"
    )


END = f"--{BOUNDARY}--\r\n".encode()
ROW = part("file", b"{}\n", "rows.jsonl")
PURPOSE = part("purpose", b"evals")


def send(
    server: RunningServer, body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}"
) -> Answer:
    return server.post("/v1/files", body, {"content-type": content_type})


def left_behind(store: Store) -> list[Path]:
    return [path for name in ("files", "incoming") for path in (store.home / name).iterdir()]


def test_the_official_client_uploads_lists_and_deletes(server: RunningServer) -> None:
    """Upload, retrieve, content, list, delete."""
    with client_of(server) as client:
        made = client.files.create(file=("tickets.json", b'{"item": {}}\n'), purpose="evals")
        again = client.files.create(
            file=("b.jsonl", b"{}"),
            purpose="fine-tune",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )

        assert (made.object, made.filename, made.bytes, made.purpose) == ("file", "tickets.json", 13, "evals")
        assert (made.status, made.expires_at) == ("processed", None)
        assert made.id.startswith("file-")
        assert again.expires_at == again.created_at + 3600
        assert client.files.retrieve(made.id) == made
        assert client.files.content(made.id).read() == b'{"item": {}}\n'
        assert [file.id for file in client.files.list()] == [again.id, made.id]
        assert [file.id for file in client.files.list(order="asc", limit=1)] == [made.id, again.id]
        assert [file.id for file in client.files.list(purpose="evals")] == [made.id]
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            client.files.retrieve(made.id)


def test_a_download_is_no_page(server: RunningServer) -> None:
    """A browser saves it, whatever it holds."""
    made = send(server, PURPOSE + part("file", b"<script>alert(1)</script>", "x.html") + END).json()

    answer = server.ask("GET", f"/v1/files/{made['id']}/content")

    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "attachment"


REFUSED = [
    # body, status, param, part of the message
    pytest.param(PURPOSE + END, 400, "file", "Missing required parameter: 'file'", id="no file"),
    pytest.param(ROW + END, 400, "purpose", "Missing required parameter: 'purpose'", id="no purpose"),
    pytest.param(ROW + part("purpose", b"x") + END, 400, "purpose", "'evals'", id="another purpose"),
    pytest.param(ROW + ROW + PURPOSE + END, 400, "file", "two fields 'file'", id="two files"),
    pytest.param(ROW + PURPOSE, 400, None, "before its last boundary", id="cut off"),
    pytest.param(b"no form at all", 400, None, "could not parse", id="no form"),
    pytest.param(b"", 400, None, "before its last boundary", id="empty"),
    pytest.param(b"".join(part(f"p{n}", b"") for n in range(70)) + END, 400, None, "more than 64 fields", id="many fields"),
    pytest.param(part("x", b"y" * 20_000) + END, 400, "x", "longer than", id="a long field"),
    pytest.param(
        PURPOSE + part("file", b"x" * 200_001, "x") + END, 413, "file", "limit is 200000 bytes", id="a byte too large"
    ),
    pytest.param(
        PURPOSE + part("file", b"x" * 3_000_000, "x") + END, 413, "file", "limit is 200000 bytes", id="far too large"
    ),
    pytest.param(
        ROW + PURPOSE + part("expires_after[anchor]", b"created_at") + part("expires_after[seconds]", b"5") + END,
        400, "expires_after.seconds", "from 3600 to 2592000", id="expires too soon",
    ),
    pytest.param(
        ROW + PURPOSE + part("expires_after[seconds]", b"3600") + END, 400, "expires_after.anchor", "'created_at'",
        id="no anchor",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "param", "message"), REFUSED)
def test_a_refused_upload_leaves_no_file(
    server: RunningServer, store: Store, body: bytes, status: int, param: str | None, message: str
) -> None:
    """The service's error body, and no byte on disk."""
    answer = send(server, body)

    assert answer.status == status
    assert answer.error["param"] == param
    assert re.search(message, answer.error["message"])
    assert left_behind(store) == []


def test_other_content_types_are_refused(server: RunningServer) -> None:
    for content_type in ("application/json", "multipart/form-data", "multipart/mixed; boundary=x"):
        assert send(server, ROW, content_type).status == 415, content_type


def test_the_quota_is_for_all_files(server: RunningServer, store: Store) -> None:
    """The quota is for all files together; a file that does not fit leaves nothing."""
    for n in range(2):
        assert send(server, PURPOSE + part("file", b"%d" % n * 200_000, "x") + END).status == 200

    answer = send(server, PURPOSE + part("file", b"2" * 200_000, "x") + END)

    assert (answer.status, answer.error["code"]) == (400, "quota_exceeded")
    assert len(left_behind(store)) == 2


@pytest.mark.parametrize("name", ["../../../etc/x.jsonl", "/etc/x.jsonl", "..\\x.jsonl"])
def test_a_name_is_never_a_path(server: RunningServer, store: Store, name: str) -> None:
    made = send(server, PURPOSE + part("file", b"{}", name) + END).json()

    assert made["filename"] == "x.jsonl"
    assert [len(path.name) for path in left_behind(store)] == [64]


def test_an_upload_that_stops_is_given_up(store: Store) -> None:
    """The server removes what came once no byte has come for body_s, and when the client leaves."""
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: multipart/form-data; boundary={BOUNDARY}\r\n"
        "content-length: 100000\r\n\r\n"
    ).encode()
    with serving(store=store, limits=Limits(body_s=1.0)) as server, server.connect() as slow:
        slow.sendall(head + PURPOSE + ROW)
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    with serving(store=store) as server:
        with server.connect() as leaving:
            leaving.sendall(head + PURPOSE + ROW)
        server.wait_for('graders_requests_total{route="create_file",status="499"}', 1)

    assert left_behind(store) == []


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """40 MB go through a server whose bodies may take 1 MB, and it keeps less than half of them at any time."""
    limits = Limits(body_bytes=1024**2, buffered_bytes=1024**2)
    content = b"x" * 1024**2
    held: list[int] = []

    def parts() -> Iterator[bytes]:
        yield PURPOSE + f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"\r\n\r\n'.encode()
        for _ in range(40):
            yield content
            held.append(resident_bytes())
        yield b"\r\n" + END

    before = resident_bytes()
    with Store(tmp_path) as store, serving(store=store, limits=limits) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(
            "POST",
            "/v1/files",
            parts(),
            {"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
            encode_chunked=True,
        )
        made = json.loads(connection.getresponse().read())
        connection.close()

        assert made["bytes"] == 40 * 1024**2
    assert max(held) - before < 20 * 1024**2


def test_a_server_without_a_store_answers_404() -> None:
    with serving() as server:
        answer = server.ask("GET", "/v1/files")

        assert (answer.status, answer.error["code"]) == (404, "no_store")
