"""What the tests of judges share: questions, configurations and a clock that costs nothing."""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graders.ask import ModelAsk, Sampling
from graders.endpoints.contract import Reply
from graders.endpoints.transport import DirectTransport
from graders.messages import Message, TextPart
from graders.models import Client, Config, ScriptedJudge
from graders.verdict import Verdict

SAMPLE = 'The answer is 4. {"result": 1}'


class Clock:
    """Real time, plus what was slept: sleeping takes no time but counts as if it had.

    Attributes:
        slept: Seconds, one entry for each sleep.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._ahead += seconds


def config_of(judge: ScriptedJudge, *, tables: dict[str, Any] | None = None, **endpoint: Any) -> Config:
    """Every model goes to this judge."""
    endpoints = {"scripted": {"base_url": judge.base_url, "api_key_env": "", **endpoint}}
    return Config({"endpoints": endpoints, "models": {"*": "scripted"}, **(tables or {})})


def judge_spec(type: str = "score_model", **fields: Any) -> dict[str, Any]:
    """A valid model grader that sets every sampling parameter."""
    spec: dict[str, Any] = {
        "type": type,
        "name": "judge",
        "model": "m",
        "input": [
            {"role": "developer", "content": "You grade answers."},
            {"role": "user", "content": "Grade this: {{sample.output_text}}"},
        ],
        "sampling_params": {
            "seed": 1,
            "temperature": 0.5,
            "top_p": 0.9,
            "max_completions_tokens": 50,
            "reasoning_effort": "low",
        },
    }
    if type == "label_model":
        spec |= {"labels": ["good", "bad"], "passing_labels": ["good"]}
    return spec | fields


def ask(
    text: str = "Is it right?",
    *,
    model: str = "m",
    labels: tuple[str, ...] = (),
    steps: bool = True,
    range: tuple[float, float] = (0.0, 1.0),
    **sampling: Any,
) -> ModelAsk:
    """A question of one message."""
    message = Message("user", (TextPart(text),))
    return ModelAsk(model, (message,), Verdict(labels=labels, range=range, steps=steps), Sampling(**sampling))


# --- a loop whose time costs nothing ----------------------------------------------------------------------------

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Where others wait for the next timer, this one sets the loop's clock to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for somebody else"
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping and timing out take no time."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


@dataclass
class FakeTransport:
    """A transport that answers by a function, and notes what is under way.

    Attributes:
        respond: Gets the request's body and its number; a Reply, or an exception to raise.
        latency_s: Of every exchange.
        started: Loop time at which each request began.
        bodies: What each asked.
    """

    respond: Callable[[dict[str, Any], int], Reply | Exception]
    latency_s: float = 0.1
    started: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        asked = json.loads(body)
        self.started.append(asyncio.get_running_loop().time())
        self.bodies.append(asked)
        self.headers.append(dict(headers))
        self.urls.append(url)
        number = len(self.bodies) - 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        reply = self.respond(asked, number)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self.latency_s)
                if isinstance(reply, Exception):
                    raise reply
                return reply
        finally:
            self.in_flight -= 1
            self.ended.append(asyncio.get_running_loop().time())

    async def aclose(self) -> None:
        return


class ImpatientTransport(DirectTransport):
    """Our HTTP; the time of the first requests is over as soon as the judge has them, and not by a clock.

    Args:
        judge: Gets the requests.
        n_short: Requests whose time is over.
    """

    def __init__(self, judge: ScriptedJudge, n_short: int) -> None:
        super().__init__()
        self._judge = judge
        self._n_short = n_short

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        asked = json.loads(body)
        n_before = self._n_received(asked)
        exchange = asyncio.create_task(super().post(url, headers, body, timeout_s))
        self._n_short -= 1
        if self._n_short < 0:
            return await exchange
        while self._n_received(asked) == n_before and not exchange.done():
            await asyncio.sleep(0.005)
        # the beginning of an answer may come
        await asyncio.wait([exchange], timeout=0.02)
        if exchange.cancel():
            await asyncio.wait([exchange])
            raise TimeoutError
        return await exchange

    def _n_received(self, asked: Any) -> int:
        return sum(received.json == asked for received in list(self._judge.received))


def ok(text: str = '{"steps": [], "result": 0.5}', **more: Any) -> Reply:
    """A completion with this answer."""
    body = {"model": "m-1", "choices": [{"message": {"content": text}, "finish_reason": "stop"}], **more}
    return Reply(200, {}, json.dumps(body).encode())


def virtual_client(fake: FakeTransport, *, tables: Mapping[str, Any] | None = None, **judge: Any) -> Client:
    """A client over a fake transport, to be used inside `in_virtual_time`; its jitter is the same in each run."""
    endpoint = {"base_url": "http://judge.invalid/v1"}
    config = Config(
        {"endpoints": {"fake": endpoint}, "models": {"*": "fake"}, "judge": judge, **(tables or {})}
    )
    return Client(
        config,
        transport=fake,
        clock=lambda: asyncio.get_running_loop().time(),
        jitter=random.Random(0).random,
    )
