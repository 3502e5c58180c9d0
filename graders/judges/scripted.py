"""A judge on loopback that answers what a script says, byte for byte: for tests, and for trying a config without cost.

    with ScriptedJudge() as judge:
        judge.default = say({"result": 0.5})
        judge.queue(Step(429, headers={"retry-after": "2"}), say({"result": 1.0}))
        ...                                # point a client at judge.base_url
        judge.received                     # what arrived, and when

Standard library only; one thread with an event loop, so hundreds of requests may be in flight.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived.

    Attributes:
        at: time.monotonic() of its last byte.
        path: With the query.
        headers: Names in lower case.
        json: The body; {} when there is none.
    """

    at: float
    path: str
    headers: Mapping[str, str]
    json: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.json.get("model", ""))

    @property
    def texts(self) -> list[str]:
        """The text of every message, its text parts joined, in order."""
        messages = self.json.get("messages") or self.json.get("input") or []
        contents = [message["content"] for message in messages]
        return [
            content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
            for content in contents
        ]


@dataclass(frozen=True, slots=True)
class Step:
    """One response.

    Attributes:
        body: Bytes as they are; a dict as JSON.
        delay_s: Before the first byte.
        cut_at: Bytes of the body after which the connection ends, whatever content-length promised.
        stall_at: Bytes of the body after which nothing more comes, with the connection left open.
        trickle_s: Between pieces of seven bytes of the body.
        reset: End with a TCP reset; with cut_at after those bytes, else instead of any response.
        drop: End the connection without a response.
        close: Say `connection: close` and do it.
        chunked: Send the body in chunks, without a content-length.
        raw: Sent as it is, instead of an HTTP response.
    """

    status: int = 200
    body: bytes | dict[str, Any] | list[Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut_at: int | None = None
    stall_at: int | None = None
    trickle_s: float = 0.0
    reset: bool = False
    drop: bool = False
    close: bool = False
    chunked: bool = False
    raw: bytes | None = None

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer: TypeAlias = Step | Callable[[Received], Step]


def completion(
    received: Received, content: Any, *, refusal: str | None = None, finish: str = "stop",
    usage: Mapping[str, Any] | None = USAGE, model: str = "", logprobs: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """The body of an answer, in the form of the API that was asked: /responses or /chat/completions."""
    model = model or received.model
    if "/responses" in received.path:
        part = (
            {"type": "refusal", "refusal": refusal}
            if refusal
            else {"type": "output_text", "text": content or ""}
        )
        body: dict[str, Any] = {
            "id": "resp_1", "object": "response", "model": model,
            "status": "completed" if finish == "stop" else "incomplete",
            "incomplete_details": None
            if finish == "stop"
            else {"reason": {"length": "max_output_tokens"}.get(finish, finish)},
            "output": [{"type": "message", "role": "assistant", "content": [part]}],
        }  # fmt: skip
        if usage is not None:
            body["usage"] = {
                "input_tokens": usage.get("prompt_tokens"),
                "output_tokens": usage.get("completion_tokens"),
                "total_tokens": usage.get("total_tokens"),
                "input_tokens_details": usage.get("prompt_tokens_details"),
                "output_tokens_details": usage.get("completion_tokens_details"),
            }
        return body
    choice = {
        "index": 0, "finish_reason": finish,
        "message": {"role": "assistant", "content": content, "refusal": refusal},
    }  # fmt: skip
    if logprobs is not None:
        choice["logprobs"] = {"content": logprobs}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
    }
    if usage is not None:
        body["usage"] = dict(usage)
    return body


def result_key(received: Received) -> str:
    """The key that the request wants the result under: `result`, or the made-up name in its instructions."""
    for text in reversed(received.texts):
        at = text.rfind('"result_')  # the instructions stand at the end, after whatever a sample says
        if at >= 0:
            return text[at + 1 : text.index('"', at + 1)]
    return "result"


def say(answer: Any, *, delay_s: float = 0.0, **more: Any) -> Answer:
    """Answer with a verdict (a dict, whose `result` is put under the key the request asked for) or a text."""

    def step(received: Received) -> Step:
        content = answer
        if isinstance(answer, dict):
            key = result_key(received)
            content = json.dumps({(key if name == "result" else name): v for name, v in answer.items()})
        return Step(body=completion(received, content, **more), delay_s=delay_s)

    return step


def fail(status: int, message: str = "", code: str | None = None, **more: Any) -> Step:
    """An error in the API's own form."""
    return Step(status, {"error": {"message": message, "type": "error", "param": None, "code": code}}, **more)


class ScriptedJudge:
    """The server. Starts with the `with` block and ends with it.

    Attributes:
        default: What is answered when nothing is queued for the request.
        received: All requests so far, in order of arrival.
        peak: The most requests that were in flight at once.
        aborted: Connections that the client closed while its answer was still under way.
    """

    def __init__(self, default: Answer | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.default: Answer = default or say({"steps": [], "result": 0.5})
        self.received: list[Received] = []
        self.in_flight = 0
        self.peak = 0
        self.aborted = 0
        self._queues: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._socket = socket.create_server((host, port), backlog=1024)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted-judge", daemon=True)

    @property
    def base_url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}/v1"

    def queue(self, *answers: Answer, model: str = "") -> None:
        """Answer the next requests (for this model, "" any) with these, each once."""
        with self._lock:
            self._queues[model].extend(answers)

    def clear(self) -> None:
        """Forget what was received and what is queued."""
        with self._lock:
            self._queues.clear()
            self.received.clear()
            self.peak = self.in_flight

    def __enter__(self) -> ScriptedJudge:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), sock=self._socket)
        )
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def next_step(self, received: Received) -> Step:
        """What this request is answered with; records it."""
        with self._lock:
            self.received.append(received)
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            queue = self._queues[received.model] or self._queues[""]
            answer = queue.popleft() if queue else self.default
        return answer if isinstance(answer, Step) else answer(received)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 on one connection, one request after the other."""

    def __init__(self, judge: ScriptedJudge) -> None:
        self._judge = judge
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._task is not None and not self._task.done():
            self._judge.aborted += 1
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        path = lines[0].split(" ")[1]
        received = Received(time.monotonic(), path, headers, json.loads(body) if body else {})
        step = self._judge.next_step(received)
        self._task = asyncio.get_running_loop().create_task(self._respond(step))

    async def _respond(self, step: Step) -> None:
        try:
            await self._send(step)
        finally:
            self._judge.in_flight -= 1

    async def _send(self, step: Step) -> None:
        if step.delay_s:
            await asyncio.sleep(step.delay_s)
        if step.drop or (step.reset and step.cut_at is None):
            return self._end(step.reset)
        if step.raw is not None:
            self._transport.write(step.raw)
            return self._end(reset=False)
        data = step.data()
        framing = {"transfer-encoding": "chunked"} if step.chunked else {"content-length": str(len(data))}
        head = {
            "content-type": "application/json",
            **framing,
            **{k.lower(): v for k, v in step.headers.items()},
        }
        if step.close:
            head["connection"] = "close"
        lines = [f"HTTP/1.1 {step.status} Scripted", *(f"{name}: {value}" for name, value in head.items())]
        start = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        stop = next((at for at in (step.cut_at, step.stall_at) if at is not None), None)
        part = data if stop is None else data[:stop]
        if step.chunked:
            half = len(part) // 2
            part = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (part[:half], part[half:]) if c)
            part += b"0\r\n\r\n" if stop is None else b""
        if step.trickle_s:
            self._transport.write(start)
            for at in range(0, len(part), 7):
                await asyncio.sleep(step.trickle_s)
                self._transport.write(part[at : at + 7])
        else:
            self._transport.write(start + part)
        if step.stall_at is not None:
            await asyncio.Event().wait()  # until the client gives up
        if step.cut_at is not None or step.close:
            self._end(step.reset)

    def _end(self, reset: bool) -> None:
        if reset:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
