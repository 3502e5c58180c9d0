"""A judge on loopback that every tool of the comparison asks: OpenAI's wire, 20 ms an answer, three rows that go wrong.

    python judge.py rows.jsonl 8391 [well]

It gives the verdict that is right for the row (is the output the answer?), in the form that the request asks for: a
tool call, JSON by a schema, or text. Rows are known by their question. DOWN always gets HTTP 500, FLAKY gets 503 the
first time, MUMBLED gets a text without a verdict; with "well" all get verdicts. GET /asked says how many requests each row had.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

ANSWER_S = 0.02
DOWN, FLAKY, MUMBLED = "r23", "r31", "r41"


def filled(schema: dict[str, Any], right: bool, root: dict[str, Any]) -> Any:
    """A value of a JSON schema that says whether the row is right."""
    if "$ref" in schema:
        return filled(root["$defs"][schema["$ref"].rpartition("/")[2]], right, root)
    for key in ("anyOf", "allOf"):
        if key in schema:
            return filled(schema[key][0], right, root)
    if "enum" in schema:
        options = schema["enum"]
        # autoevals' choices: C is "the same", D "they disagree"
        wanted = {True: ("C", "A", "Y", "pass"), False: ("D", "N", "fail")}[right]
        return next((one for one in wanted if one in options), options[0 if right else -1])
    kind = schema.get("type")
    if kind == "object":
        return {name: filled(part, right, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [filled(schema["items"], right, root)]
    top = schema.get("maximum", 1)
    return {"boolean": right, "number": top * right, "integer": int(top * right)}.get(
        str(kind), "compared the texts"
    )


def text_of(prompt: str, right: bool) -> str:
    """An answer in prose or JSON, as the prompt wants it."""
    if "GRADE:" in prompt:
        return f"They were compared.\n\nGRADE: {'C' if right else 'I'}"
    score = (
        (10 if right else 0)
        if "0 to 10" in prompt or "0-10" in prompt or "0 and 10" in prompt
        else float(right)
    )
    return json.dumps(
        {"pass": right, "score": score, "result": score, "reason": "compared the texts", "steps": []}
    )


class Judge(BaseHTTPRequestHandler):
    rows: ClassVar[dict[str, dict[str, Any]]] = {}
    faults = True
    asked: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()
    protocol_version = "HTTP/1.1"

    def log_message(self, *parts: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send(200, dict(self.asked))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = json.dumps(body.get("messages", body.get("input")), ensure_ascii=False)
        # the row's question stands last: some tools have examples before it
        row_id = max(self.rows, key=lambda name: prompt.rfind(self.rows[name]["question"]))
        with self.lock:
            self.asked[row_id] += 1
            times = self.asked[row_id]
        time.sleep(ANSWER_S)
        if self.faults and row_id == DOWN:
            self.send(500, {"error": {"message": "the judge is down", "type": "server_error"}})
        elif self.faults and row_id == FLAKY and times == 1:
            self.send(503, {"error": {"message": "overloaded", "type": "server_error"}})
        else:
            row = self.rows[row_id]
            self.send(
                200,
                self.completion(
                    body, prompt, row["output"] == row["answer"], self.faults and row_id == MUMBLED
                ),
            )

    def completion(self, body: dict[str, Any], prompt: str, right: bool, mumbled: bool) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        form = body.get("response_format", {}).get("json_schema", {}).get("schema")
        if mumbled:
            message["content"] = "Hard to say."
        elif body.get("tools"):
            function = body["tools"][0]["function"]
            schema = function["parameters"]
            call = {"name": function["name"], "arguments": json.dumps(filled(schema, right, schema))}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
        elif form:
            message["content"] = json.dumps(filled(form, right, form))
        else:
            message["content"] = text_of(prompt, right)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body.get("model", "judge"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }

    def send(self, status: int, document: object) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(ThreadingHTTPServer):
    # all 50 rows may be asked at once; the default of 5 would make most connections wait a second
    request_queue_size = 128


if __name__ == "__main__":
    Judge.rows = {row["id"]: row for row in map(json.loads, Path(sys.argv[1]).read_text().splitlines())}
    Judge.faults = "well" not in sys.argv
    Server(("127.0.0.1", int(sys.argv[2])), Judge).serve_forever()
