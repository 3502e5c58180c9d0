"""A judge on loopback that answers what the test says, over the real wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


class Judge:
    """The server's script and record.

    Attributes:
        config: Path of a graders.toml that sends every model here.
        requests: The bodies received since the last `answer`.
    """

    def __init__(self, config: Path, base_url: str) -> None:
        self.config = config
        self.base_url = base_url
        self.requests: list[dict[str, Any]] = []
        self._reply: Any = ""

    def answer(self, reply: str | dict[str, Any]) -> None:
        """From now on answer with this text, or with {"refusal": text}."""
        self._reply = reply
        self.requests.clear()

    def messages(self) -> list[dict[str, Any]]:
        """The messages of the first request; [] when none came."""
        return list(self.requests[0]["messages"]) if self.requests else []

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(body)
        refusal = self._reply.get("refusal") if isinstance(self._reply, dict) else None
        content = None if refusal else self._reply
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": refusal},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }


@contextmanager
def judge_server() -> Iterator[Judge]:
    """A running judge; ends with the block."""
    with TemporaryDirectory() as folder:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                data = json.dumps(judge.completion(body)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        config = Path(folder, "graders.toml")
        config.write_text(f'[models."*"]\nbase_url = "{base_url}"\nstructured = "json_schema"\n')
        judge = Judge(config, base_url)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield judge
        finally:
            server.shutdown()
            server.server_close()
