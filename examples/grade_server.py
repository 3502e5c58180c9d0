"""A grader of one's own behind an address, for remote.grader.json: standard library only.

    python grade_server.py [PORT]

It gets {"sample": ..., "item": ...} by POST and answers {"score": NUMBER}.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8322


def grade(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """How much of the reference's length the output comes to, at most 1."""
    return min(1.0, len(sample["output_text"]) / max(1, len(item["answer"])))


class Handler(BaseHTTPRequestHandler):
    """Answers POST with a score."""

    # connections are used again; head and body leave together
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"score": grade(row["sample"], row["item"])}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/grade", flush=True)
        server.serve_forever()
