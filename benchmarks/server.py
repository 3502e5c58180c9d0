"""The server against a bare starlette route that parses the body and echoes JSON, in one run.

    python benchmarks/server.py                     # both servers started here, slices of load by turns
    python benchmarks/server.py --seconds 2 --rounds 5

The load comes from one process over 16 keep-alive connections, each sending its next request when it has its answer.
Slices alternate, so that what else the machine does hits both; medians of the rounds are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CONNECTIONS = 16
PATH = "/v1/fine_tuning/alpha/graders/run"
CHECK = {
    "type": "string_check",
    "name": "check",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
EXACT = {
    "grader": CHECK,
    "model_sample": "The capital of France is Paris.",
    "item": {"answer": "Paris", "id": 17},
}
HANGING = {
    "grader": {
        "type": "python",
        "name": "hangs",
        "source": "def grade(sample, item):\n    while True:\n        pass\n",
    },
    "model_sample": "x",
}
SLEEPING = {
    "grader": {
        "type": "python",
        "name": "sleeps",
        "source": "import time\ndef grade(sample, item):\n    time.sleep(600)\n",
    },
    "model_sample": "x",
}

BARE = f"""
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def echo(request):
    return JSONResponse(await request.json())

app = Starlette(routes=[Route("{PATH}", echo, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=0, access_log=False)
"""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of load: answers a second, the server's processor time for each, and how long they took."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class Connection(asyncio.Protocol):
    """Sends the same request again and again."""

    def __init__(self, request: bytes, until: float, took: list[float], expect: bytes) -> None:
        self.request = request
        self.until = until
        self.took = took
        self.expect = expect
        self.data = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.started = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        length_of = re.search(rb"(?i)content-length: (\d+)", head)
        assert length_of is not None
        length = int(length_of[1])
        if len(body) < length:
            return
        if self.expect not in body:
            self.done.set_exception(RuntimeError(f"unexpected answer: {self.data[:400]!r}"))
            self.transport.close()
            return
        now = time.perf_counter()
        self.took.append(now - self.started)
        self.data = b""
        if now < self.until:
            self._send()
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"the server closed the connection: {error}"))


async def load(
    server: Server, body: dict[str, Any], expect: bytes, seconds: float, connections: int = CONNECTIONS
) -> Slice:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    request = http_request(body)
    started, cpu_s = time.perf_counter(), server.cpu_s()
    made = [
        await loop.create_connection(
            lambda: Connection(request, started + seconds, took, expect), "127.0.0.1", server.port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))
    rate = len(took) / (time.perf_counter() - started)
    cpu_us = (server.cpu_s() - cpu_s) / len(took) * 1e6
    took.sort()
    return Slice(rate, cpu_us, took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000)


def http_request(body: dict[str, Any], timeout_s: float | None = None) -> bytes:
    data = json.dumps(body).encode()
    more = f"x-stainless-read-timeout: {timeout_s}\r\n" if timeout_s else ""
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{more}content-length: {len(data)}\r\n\r\n"
    return head.encode() + data


@dataclass(frozen=True, slots=True)
class Server:
    """A server process and the port that it says it listens on."""

    process: subprocess.Popen[bytes]
    port: int

    def cpu_s(self) -> float:
        """User and system time of the process, without what it started."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(command: list[str]) -> Server:
    read, write = os.pipe()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=write)
    os.close(write)
    said = b""
    while not (found := re.search(rb"http://127\.0\.0\.1:(\d+)", said)):
        more = os.read(read, 4096)
        if not more:
            raise SystemExit(f"the server did not start: {said.decode()}")
        said += more
    drain(read)
    return Server(process, int(found[1]))


def drain(descriptor: int) -> None:
    """Read a server's log and throw it away, as a log collector on the machine would."""
    subprocess.Popen(["cat"], stdin=descriptor, stdout=subprocess.DEVNULL)
    os.close(descriptor)


async def hang(
    port: int, n_requests: int, seconds: float, body: dict[str, Any]
) -> list[asyncio.StreamWriter]:
    """Start requests whose graders do not end."""
    writers = []
    for _ in range(n_requests):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(http_request(body, seconds))
        await writer.drain()
        writers.append(writer)
    return writers


async def measure(bare: Server, ours: Server, seconds: float, rounds: int) -> None:
    slices: dict[str, list[Slice]] = {"bare": [], "string_check": [], "8 sleeping": [], "8 spinning": []}
    for _ in range(rounds):
        slices["bare"].append(await load(bare, EXACT, b"answer", seconds))
        slices["string_check"].append(await load(ours, EXACT, b'"reward":0.0', seconds))
        for name, body in (("8 sleeping", SLEEPING), ("8 spinning", HANGING)):
            writers = await hang(ours.port, 8, 60.0, body)
            await asyncio.sleep(0.5)
            slices[name].append(await load(ours, EXACT, b'"reward":0.0', seconds))
            for writer in writers:
                writer.close()
            await asyncio.sleep(0.5)
    base = slices["bare"]
    for name, found in slices.items():
        rates = sorted(one.rate for one in found)
        shares = [one.rate / other.rate for one, other in zip(found, base, strict=True)]
        cpu_us = sorted(one.cpu_us for one in found)
        p50 = statistics.median(one.p50_ms for one in found)
        p99 = statistics.median(one.p99_ms for one in found)
        print(
            f"{name:<14} {statistics.median(rates):6.0f}/s ({rates[0]:.0f} to {rates[-1]:.0f})  "
            f"{statistics.median(shares):.2f} of bare (best {max(shares):.2f})  {cpu_us[0]:.0f} us of processor at best, "
            f"{statistics.median(cpu_us):.0f} in the median  "
            f"p50 {p50:.2f} ms  p99 {p99:.2f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of one slice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-access-log", action="store_true", help="as the bare server, which writes none")
    arguments = parser.parse_args()
    quiet = ["--no-access-log"] if arguments.no_access_log else []
    serve = [sys.executable, "-m", "graders.cli", "serve", "--port", "0"]
    servers: list[Server] = []
    try:
        servers += map(start, ([sys.executable, "-c", BARE], [*serve, *quiet]))
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(measure(servers[0], servers[1], arguments.seconds, arguments.rounds))
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(30)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


if __name__ == "__main__":
    main()
