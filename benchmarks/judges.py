"""What a judge's call costs here, beside a plain loop over httpx2 and the official client.

    python benchmarks/judges.py [rounds]

200 rows against a judge on loopback that answers after 50 ms, 200 in flight allowed, so 0.05 s is the least
possible. The judge runs in a process of its own. The ways take turns within each round; the best and the median of
all rounds are printed, with the CPU time of this process for one call. Connections are made anew in every round.

The plain loops do none of what a judge needs (no validation, retry, limit or usage): they are what the transports
cost by themselves. Ours is measured through `Grader.run_batch`, with all of it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import graders
from graders.endpoints.contract import Reply
from graders.models import Client, Config

ROWS, DELAY_S, IN_FLIGHT = 200, 0.05, 200
SPEC = {
    "type": "score_model",
    "name": "judge",
    "model": "m",
    "input": [
        {"role": "developer", "content": "You grade answers."},
        {"role": "user", "content": "Question: {{item.question}}\nAnswer: {{sample.output_text}}"},
    ],
}
ITEM = {"question": "What is six times seven? " * 10}
SERVER = """
import sys, threading
from graders.judges.scripted import ScriptedJudge, say
with ScriptedJudge(say({"steps": [], "result": 0.5}, delay_s=float(sys.argv[1]))) as judge:
    print(judge.base_url, flush=True)
    sys.stdin.read()
"""


def rows() -> list[dict[str, Any]]:
    return [{"id": str(n), "sample": f"It is {n}.", "item": ITEM} for n in range(ROWS)]


def ours(base_url: str, transport: str) -> None:
    table = {"base_url": base_url, "max_in_flight": IN_FLIGHT, "transport": transport}
    with graders.Backends(config=Config({"models": {"*": table}})) as backends:
        results = list(graders.compile(SPEC, backends=backends).run_batch(rows()))
    assert [result.reward for result in results] == [0.5] * ROWS


def body_of(row: dict[str, Any]) -> dict[str, Any]:
    text = f"Question: {row['item']['question']}\nAnswer: {row['sample']}"
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def plain_httpx2(base_url: str) -> None:
    import httpx2

    async def run() -> None:
        limits = httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
            answers = [client.post(f"{base_url}/chat/completions", json=body_of(row)) for row in rows()]
            assert all(answer.json()["choices"] for answer in await asyncio.gather(*answers))

    asyncio.run(run())


def openai_client(base_url: str) -> None:
    import openai

    async def run() -> None:
        async with openai.AsyncOpenAI(api_key="none", base_url=base_url) as client:
            answers = [client.chat.completions.create(**body_of(row)) for row in rows()]
            assert all(answer.choices for answer in await asyncio.gather(*answers))

    asyncio.run(run())


class Aiohttp:
    """aiohttp behind the contract of our transports, where it is installed."""

    def __init__(self) -> None:
        self._session: Any = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        async with (
            asyncio.timeout(timeout_s),
            self._session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            data = await response.read()
            return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, data)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def over_aiohttp(base_url: str) -> None:
    table = {"base_url": base_url, "max_in_flight": IN_FLIGHT}
    client = Client(Config({"models": {"*": table}}), transport=Aiohttp())
    with graders.Backends(models=client) as backends:
        results = list(graders.compile(SPEC, backends=backends).run_batch(rows()))
    assert [result.reward for result in results] == [0.5] * ROWS


def at_defaults(base_url: str) -> None:
    config = Config({"models": {"*": {"base_url": base_url}}})
    with graders.Backends(config=config) as backends:
        results = list(graders.compile(SPEC, backends=backends).run_batch(rows()))
    assert [result.reward for result in results] == [0.5] * ROWS


WAYS: dict[str, Callable[[str], None]] = {
    "local-graders, run_batch": lambda url: ours(url, "auto"),
    "the same at the defaults": at_defaults,
    "local-graders over httpx2": lambda url: ours(url, "httpx2"),
    "plain httpx2 loop": plain_httpx2,
    "openai client, plain loop": openai_client,
}


if importlib.util.find_spec("aiohttp"):
    WAYS["local-graders over aiohttp"] = over_aiohttp


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(DELAY_S)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    base_url = server.stdout.readline().strip()
    walls: dict[str, list[float]] = {name: [] for name in WAYS}
    cpus: dict[str, list[float]] = {name: [] for name in WAYS}
    try:
        # the first round pays for imports
        for way in WAYS.values():
            way(base_url)
        for _ in range(rounds):
            for name, way in WAYS.items():
                wall, cpu = time.perf_counter(), time.process_time()
                way(base_url)
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(time.process_time() - cpu)
    finally:
        server.terminate()
        server.wait()
    print(
        f"{ROWS} rows, {DELAY_S * 1000:g} ms each, {IN_FLIGHT} in flight, {rounds} rounds; the least is {DELAY_S:g} s"
    )
    print(f"{'':<28}{'best s':>8}{'median s':>10}{'CPU ms a call, best':>21}{'median':>8}")
    for name in WAYS:
        waited, used = sorted(walls[name]), sorted(c / ROWS * 1000 for c in cpus[name])
        print(
            f"{name:<28}{waited[0]:>8.3f}{statistics.median(waited):>10.3f}{used[0]:>21.2f}{statistics.median(used):>8.2f}"
        )
    base = "local-graders, run_batch"
    for name in list(WAYS)[1:]:
        ratio = statistics.median(other / ours for other, ours in zip(walls[name], walls[base], strict=True))
        print(f"{name} takes {ratio:.1f} times as long as local-graders (median of the rounds)")


if __name__ == "__main__":
    main()
