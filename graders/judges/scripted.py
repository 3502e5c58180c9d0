"""A judge on loopback with scripted responses, for tests and for trying a configuration without cost.

    with ScriptedJudge() as judge:
        judge.default = say({"result": 0.5})
        judge.queue(Step(429, headers={"retry-after": "2"}), say({"result": 1.0}))
        ...                                # point a client at judge.base_url
        judge.received                     # the received requests

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

from graders.judges.script import USAGE, Answer, ReceivedRequest, Step, completion, fail, result_key, say

__all__ = [
    "USAGE",
    "Answer",
    "ReceivedRequest",
    "ScriptedJudge",
    "Step",
    "completion",
    "fail",
    "result_key",
    "say",
]


class ScriptedJudge:
    """The server, a context manager.

    Attributes:
        default: The answer to requests for which none is queued.
        received: All requests so far, in order of arrival.
        peak: The largest number of requests in flight at once.
        aborted: Number of connections that the client closed before the end of the answer.
    """

    def __init__(self, default: Answer | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.default: Answer = default or say({"steps": [], "result": 0.5})
        self.received: list[ReceivedRequest] = []
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
        """Queue answers to the next requests (for this model, "" for any), each used once."""
        with self._lock:
            self._queues[model].extend(answers)

    def clear(self) -> None:
        """Clear the received requests and the queued answers."""
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
            self._loop.create_server(lambda: _HttpProtocol(self), sock=self._socket)
        )
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def next_step(self, received: ReceivedRequest) -> Step:
        """Record a request and choose its answer."""
        with self._lock:
            self.received.append(received)
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            queue = self._queues[received.model] or self._queues[""]
            answer = queue.popleft() if queue else self.default
        return answer if isinstance(answer, Step) else answer(received)


class _HttpProtocol(asyncio.Protocol):
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
        received = ReceivedRequest(time.monotonic(), path, headers, json.loads(body) if body else {})
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
            # stalls until the client closes the connection
            await asyncio.Event().wait()
        if step.cut_at is not None or step.close:
            self._end(step.reset)

    def _end(self, reset: bool) -> None:
        if reset:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
