"""What holds whatever servers do, over random servers in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from graders.ask import ModelReply
from graders.endpoints.contract import Reply
from graders.errors import GradeError, ModelStop
from graders.result import FLAGS
from tests.judges.support import FakeTransport, ask, in_virtual_time, ok, virtual_client


def error(status: int, message: str = "", **headers: str) -> Reply:
    return Reply(
        status,
        {k.replace("_", "-"): v for k, v in headers.items()},
        json.dumps({"error": {"message": message}}).encode(),
    )


@dataclass(frozen=True)
class Event:
    """What a server does with one request.

    Attributes:
        waits: The Retry-After it names, seconds.
        lesson: Whether it says what it does not support.
    """

    name: str
    reply: Any
    waits: float = 0.0
    lesson: bool = False


retry_after = st.integers(0, 40).map(
    lambda s: Event(f"429 after {s}", lambda: error(429, retry_after=str(s)), waits=float(s))
)
EVENTS = st.one_of(
    st.just(Event("ok", ok)),
    retry_after,
    st.integers(0, 20).map(
        lambda s: Event(f"503 after {s}", lambda: error(503, retry_after=str(s)), waits=float(s))
    ),
    st.sampled_from(
        [
            Event("500", lambda: error(500, "oops")),
            Event("cut", lambda: ConnectionError("cut")),
            Event("no answer", lambda: TimeoutError()),
            Event("page", lambda: Reply(200, {}, b"<html>")),
            Event("no choice", lambda: Reply(200, {}, b'{"choices": []}')),
            Event("empty", lambda: ok("")),
            Event("prose", lambda: ok("fine, I think")),
            Event("two", lambda: ok('{"result": 1} {"result": 0}')),
            Event("refusal", lambda: ok("", choices=[{"message": {"refusal": "no"}}])),
            Event(
                "length", lambda: ok("", choices=[{"message": {"content": "{"}, "finish_reason": "length"}])
            ),
            Event("400", lambda: error(400, "bad")),
            Event("no schema", lambda: error(400, "response_format is not supported"), lesson=True),
            Event("no seed", lambda: error(422, "seed: extra fields not permitted"), lesson=True),
        ]
    ),
)


@given(
    scripts=st.lists(st.lists(EVENTS, min_size=1, max_size=8), min_size=1, max_size=6),
    attempts=st.integers(1, 5),
    timeout_s=st.sampled_from([1.0, 20.0, 600.0]),
    in_flight=st.integers(1, 4),
    latency_s=st.sampled_from([0.0, 0.3, 2.0]),
)
@settings(max_examples=150, deadline=None)
def test_invariants_hold_for_any_server(
    scripts: list[list[Event]], attempts: int, timeout_s: float, in_flight: int, latency_s: float
) -> None:
    """Attempts, waits, the deadline and the number in flight keep their bounds; a verdict or one failure comes."""
    happened: defaultdict[str, list[Event]] = defaultdict(list)

    def respond(body: dict[str, Any], number: int) -> Any:
        name = body["messages"][0]["content"].split("\n")[0]
        script, so_far = scripts[int(name)], happened[name]
        event = script[len(so_far)] if len(so_far) < len(script) else Event("ok", ok)
        so_far.append(event)
        return event.reply()

    fake = FakeTransport(respond, latency_s)
    answers: list[Any] = []
    ends: list[float] = []

    async def all_of_them() -> None:
        client = virtual_client(fake, max_attempts=attempts, timeout_s=timeout_s, max_in_flight=in_flight)

        async def one(number: int) -> Any:
            try:
                return await client.answer(ask(str(number), seed=1))
            except GradeError as error:
                return error
            finally:
                ends.append(asyncio.get_running_loop().time())

        answers.extend(await asyncio.gather(*map(one, range(len(scripts)))))

    in_virtual_time(all_of_them())

    assert fake.peak <= in_flight
    for answer in answers:
        assert isinstance(answer, (ModelReply, GradeError))
        if isinstance(answer, ModelReply):
            assert answer.verdict == 0.5
        else:
            assert answer.flag in FLAGS
            assert answer.flag.startswith("model_grader_")
            # only a pause beyond every deadline stops the run
            assert not isinstance(answer, ModelStop) or timeout_s < 41
    asked: defaultdict[str, list[int]] = defaultdict(list)
    for place, body in enumerate(fake.bodies):
        asked[body["messages"][0]["content"].split("\n")[0]].append(place)
    for name, places in asked.items():
        events = happened[name]
        lessons = sum(event.lesson for event in events)
        assert len(places) - lessons <= attempts
        assert all(fake.started[place] <= timeout_s for place in places)
        for before, after, event in zip(places, places[1:], events, strict=False):
            assert fake.started[after] >= _end_of(fake, before, latency_s) + event.waits - 1e-6
    assert max(ends) <= timeout_s + 1e-6
    # a 429 holds back everybody at that endpoint
    for place, body in enumerate(fake.bodies):
        name = body["messages"][0]["content"].split("\n")[0]
        event = happened[name][asked[name].index(place)]
        if event.name.startswith("429") and fake.started[place] + latency_s < timeout_s:
            closed = _end_of(fake, place, latency_s)
            assert not any(closed + 1e-9 < started < closed + event.waits - 1e-6 for started in fake.started)


def _end_of(fake: FakeTransport, place: int, latency_s: float) -> float:
    return fake.started[place] + latency_s


def test_a_long_pause_fails_at_once() -> None:
    """A Retry-After beyond the deadline fails now, and says when to come back."""
    fake = FakeTransport(lambda body, n: error(429, "later", retry_after="90"))

    async def run() -> tuple[float, GradeError]:
        client = virtual_client(fake, timeout_s=60)
        try:
            await client.answer(ask())
        except GradeError as failed:
            return asyncio.get_running_loop().time(), failed
        raise AssertionError("there was no verdict to give")

    at, failed = in_virtual_time(run())

    assert at == 0.1
    assert "wants no request for another 90 s" in str(failed)
    # no other question has the time, either
    assert isinstance(failed, ModelStop)


def test_delays_have_full_jitter() -> None:
    """Delays lie anywhere below a bound that doubles; two questions that fail together do not come back together."""
    fake = FakeTransport(lambda body, n: error(500, "oops"), latency_s=0.0)

    async def run() -> None:
        client = virtual_client(fake, max_attempts=6)
        await asyncio.gather(*(client.answer(ask(str(n))) for n in range(20)), return_exceptions=True)

    in_virtual_time(run())

    seen: defaultdict[str, list[float]] = defaultdict(list)
    for body, started in zip(fake.bodies, fake.started, strict=True):
        seen[body["messages"][0]["content"]].append(started)
    delays = [[b - a for a, b in itertools.pairwise(times)] for times in seen.values()]
    for n, bound in enumerate((0.5, 1.0, 2.0, 4.0, 8.0)):
        nth = [delay[n] for delay in delays]
        assert all(0 <= delay <= bound for delay in nth)
        assert len(set(nth)) == 20
        assert max(nth) > bound / 2 > min(nth)
