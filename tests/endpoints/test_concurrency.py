"""What holds requests back: Retry-After in all its forms, the gate, limits a minute, budgets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graders
from graders.endpoints.concurrency import MOST_WAIT_S, Bucket, ConcurrencyLimiter, retry_after
from graders.endpoints.contract import Reply
from graders.endpoints.spending import cost_of
from graders.errors import ModelStop
from graders.judges.scripted import say
from graders.models import Config, Price, ScriptedJudge, connect, estimate
from graders.usage import Usage
from tests.judges.support import (
    FakeTransport,
    ask,
    config_of,
    in_virtual_time,
    judge_spec,
    ok,
    virtual_client,
)

# Fri, 15 Jan 2027 08:00:00 GMT
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}, 60.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        # RFC 850, which HTTP still allows
        ({"retry-after": "Friday, 15-Jan-27 08:00:10 GMT"}, 10.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (
            {
                "retry-after": "soon",
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-requests": "0",
            },
            360.0,
        ),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s", "x-ratelimit-remaining-tokens": "0"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "250ms"}, 0.25),
        ({"x-ratelimit-reset-requests": "8", "x-ratelimit-remaining-requests": "3"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "1e300"}, MOST_WAIT_S),
        ({"retry-after": "inf"}, MOST_WAIT_S),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers, NOW) == seconds


@given(
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-requests"]), st.text(max_size=40)
    )
)
def test_any_retry_after_is_a_bounded_wait(headers: dict[str, str]) -> None:
    """No header makes it raise, or wait less than nothing or for ever."""
    assert 0.0 <= retry_after(headers, NOW) <= MOST_WAIT_S


@given(per_minute=st.integers(1, 600), amounts=st.lists(st.floats(0.5, 50), min_size=1, max_size=60))
def test_bucket_never_gives_more_than_its_rate(per_minute: int, amounts: list[float]) -> None:
    now = 0.0
    bucket = Bucket(per_minute, lambda: now)
    taken: list[tuple[float, float]] = []
    for amount in amounts:
        now += bucket.wait(amount)
        assert bucket.wait(amount) < 1e-6
        bucket.take(amount)
        taken.append((now, min(amount, bucket.size)))
    # in any minute at most a full bucket and what flows in meanwhile
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 60) <= 2 * per_minute + 1e-6


def test_rates_a_minute_are_kept() -> None:
    """60 a minute: the first 60 at once, then one a second; tokens are settled by what was used."""
    fake = FakeTransport(lambda body, n: ok(), latency_s=0.0)

    async def run() -> None:
        client = virtual_client(fake, requests_per_minute=60)
        await asyncio.gather(*(client.answer(ask(str(n))) for n in range(90)))

    in_virtual_time(run())
    assert [round(at) for at in fake.started] == [0] * 60 + list(range(1, 31))

    used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    fake = FakeTransport(lambda body, n: ok(usage=used), latency_s=1.0)

    async def tokens() -> None:
        # a question counts as about 525 tokens before its answer and 15 after
        client = virtual_client(fake, tokens_per_minute=600)
        for n in range(30):
            await client.answer(ask(str(n)))

    in_virtual_time(tokens())
    # by estimates alone it would take 26 minutes
    assert fake.started[-1] < 70


def test_in_flight_is_shared_by_all_graders_and_members_of_a_multi() -> None:
    """Four graders of one Backends, one of them a multi of three judges, used from four threads: never above 5."""
    from concurrent.futures import ThreadPoolExecutor

    judges = {name: judge_spec(model=name, sampling_params={}) for name in "abc"}
    specs = [judge_spec(), judge_spec("label_model", model="x"), judge_spec(model="y")]
    specs.append({"type": "multi", "name": "m", "graders": judges, "calculate_output": "a + b + c"})

    def answer(received: Any) -> Any:
        result: Any = "good" if "enum" in json.dumps(received.json) else 1.0
        return say({"result": result}, delay_s=0.005)(received)

    with (
        ScriptedJudge(answer) as judge,
        graders.Backends(config=config_of(judge, max_in_flight=5)) as backends,
    ):
        compiled = [graders.compile(spec, backends=backends) for spec in specs]
        rows = [{"sample": f"text {n}"} for n in range(40)]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda grader: [r.reward for r in grader.run_batch(rows)], compiled))

        assert [set(rewards) for rewards in results] == [{1.0}, {1.0}, {1.0}, {3.0}]
        assert len(judge.received) == 40 * 6
        assert 2 <= judge.peak <= 5


def test_the_smallest_limit_of_an_address_holds() -> None:
    config = Config(
        {
            "endpoints": {"e": {"base_url": "http://e/v1", "requests_per_minute": 100}},
            "models": {
                "a": {"endpoint": "e", "max_in_flight": 3},
                "b": {"endpoint": "e", "requests_per_minute": 50},
            },
        }
    )
    assert config.limits_of("http://e/v1") == (3, 50, 0)


def test_one_pause_for_everybody_and_fewer_after_it() -> None:
    """A burst of 429s pauses the endpoint once, halves the number in flight once, and answers raise it again."""
    limit = 8

    def respond(body: dict[str, Any], number: int) -> Reply:
        # the server takes `limit` at a time: whoever is above it gets a 429
        return ok() if fake.in_flight <= limit else Reply(429, {"retry-after": "3"}, b"")

    fake = FakeTransport(respond, latency_s=1.0)

    async def run() -> Any:
        client = virtual_client(fake, max_in_flight=32)
        await asyncio.gather(*(client.answer(ask(str(n))) for n in range(200)))
        return client

    client = in_virtual_time(run())

    # the first burst has 32; after it the client finds out how many the server takes
    assert fake.peak == 32
    assert not any(1.0 < started < 4.0 - 1e-9 for started in fake.started)
    late = [started for started in fake.started if started > 20]
    assert late
    for started in late:
        assert sum(started <= at < started + 1 - 1e-9 for at in late) <= 2 * limit
    assert client.totals.models["m"].answers == 200


def test_limiter_serves_in_order_and_loses_no_place() -> None:
    """Waiters that are cancelled, or whose deadline passes, give their place to the next."""

    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        limiter = ConcurrencyLimiter(1, clock=loop.time, sleep=asyncio.sleep)
        order: list[int] = []

        async def one(n: int, deadline: float = 1e9) -> None:
            await limiter.enter(deadline)
            order.append(n)
            await asyncio.sleep(1)
            limiter.release()

        tasks = [asyncio.create_task(one(n, 2.5 if n == 4 else 1e9)) for n in range(7)]
        await asyncio.sleep(0.5)
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limiter.in_flight == 0
        return order

    assert in_virtual_time(run()) == [0, 1, 3, 5, 6]


def test_defaults_keep_many_questions_under_way() -> None:
    """200 questions of 50 ms take two rounds at the defaults."""
    fake = FakeTransport(lambda body, n: ok(), latency_s=0.05)

    async def run() -> float:
        client = virtual_client(fake)
        await asyncio.gather(*(client.answer(ask(str(n))) for n in range(200)))
        return asyncio.get_running_loop().time()

    assert in_virtual_time(run()) == pytest.approx(0.1)


def test_time_outs_halve_the_requests_in_flight() -> None:
    """A server that is too slow for so many at once gets fewer, until it answers in time."""
    capacity = 10

    def respond(body: dict[str, Any], number: int) -> Any:
        return TimeoutError() if fake.in_flight > capacity else ok()

    fake = FakeTransport(respond, latency_s=1.0)

    async def run() -> Any:
        client = virtual_client(fake, max_attempts=20)
        await asyncio.gather(*(client.answer(ask(str(n))) for n in range(300)))
        return client

    client = in_virtual_time(run())

    assert client.totals.models["m"].answers == 300
    assert fake.peak == 128
    late = fake.started[len(fake.started) // 2 :]
    assert all(sum(started <= at < started + 1 - 1e-9 for at in late) <= 3 * capacity for started in late)


# --- budgets, costs, totals ---------------------------------------------------------------------------------------

PRICES = {"m": {"input": 2.0, "output": 8.0, "cached": 0.5}}
USED = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 40},
}


def test_cost_by_the_price_table() -> None:
    """400 fresh at 2, 600 cached at 0.5, 100 out at 8, for a million each."""
    assert cost_of(Usage(1000, 100, 1100, 600), Price(2.0, 8.0, 0.5)) == pytest.approx(0.0019)
    assert cost_of(Usage(1000, 100, 1100, 600), Price(2.0, 8.0)) == pytest.approx(0.0028)
    assert cost_of(Usage(), Price(2.0, 8.0)) == 0.0


def test_max_calls_stops_a_batch() -> None:
    """Exactly max_calls requests are sent; their answers are kept, and the message names the limit."""
    with ScriptedJudge() as judge:
        client = connect(config_of(judge), max_calls=25)
        with graders.Backends(models=client, config=config_of(judge)) as backends:
            grader = graders.compile(judge_spec(), backends=backends)
            results: list[graders.RunResult] = []
            rows = ({"sample": str(n)} for n in range(100))
            with pytest.raises(ModelStop, match="the limit of 25 judge calls is reached"):
                results.extend(grader.run_batch(rows, in_order=False))
        assert len(judge.received) == len(results) == 25
        assert all(result.ok for result in results)


def test_max_cost_is_never_passed() -> None:
    """Requests under way count with what they may cost at most, so that together they stay below it."""
    fake = FakeTransport(lambda body, n: ok(usage=USED), latency_s=1.0)

    async def run() -> Any:
        client = virtual_client(fake, tables={"prices": PRICES}, max_cost=0.02)
        await asyncio.gather(
            *(client.answer(ask("x" * 4000 + str(n), max_completions_tokens=100)) for n in range(50)),
            return_exceptions=True,
        )
        return client

    client = in_virtual_time(run())

    assert client.totals.cost == pytest.approx(0.0019 * len(fake.bodies))
    assert 0.015 < client.totals.cost <= 0.02


def test_a_cost_limit_without_a_price_is_refused() -> None:
    fake = FakeTransport(lambda body, n: ok())
    with pytest.raises(ModelStop, match=r'add \[prices\."m"\]'):
        in_virtual_time(virtual_client(fake, max_cost=1.0).answer(ask()))
    assert not fake.bodies


def test_totals_of_a_run() -> None:
    """Calls, retries, answers, tokens with those cached and reasoned, unreported ones, latency and cost."""
    replies = [ok(usage=USED), Reply(500, {}, b""), ok(usage=USED), ok()]
    fake = FakeTransport(lambda body, n: replies[n])

    async def run() -> Any:
        client = virtual_client(fake, tables={"prices": PRICES})
        for n in range(3):
            await client.answer(ask(str(n)))
        return client.totals.to_json()["m"]

    totals = in_virtual_time(run())

    assert totals == {
        "calls": 4,
        "retries": 1,
        "answers": 3,
        "cache_hits": 0,
        "merged": 0,
        "responses": 3,
        "unreported": 1,
        "usage": {
            "prompt_tokens": 2000,
            "completion_tokens": 200,
            "total_tokens": 2200,
            "cached_tokens": 1200,
            "reasoning_tokens": 80,
        },
        "latency_s": pytest.approx(0.3),
        "slowest_s": pytest.approx(0.1),
        "cost": pytest.approx(0.0038),
    }


def test_usage_on_the_wire_of_a_result() -> None:
    """Attempts that failed but were paid for are in it; what the server does not say is null."""
    with ScriptedJudge() as judge, graders.Backends(config=config_of(judge)) as backends:
        grader = graders.compile(judge_spec(), backends=backends)
        judge.queue(say("hm", usage=USED), say({"result": 0.5}, usage=USED, model="m-2026"))
        wire = grader.run("x").to_wire()
        judge.queue(say({"result": 0.5}, usage=None))
        unknown = grader.run("x").to_wire()

    twice = {"prompt_tokens": 2000, "total_tokens": 2200, "completion_tokens": 200, "cached_tokens": 1200}
    assert wire["metadata"]["token_usage"] == twice
    assert wire["metadata"]["sampled_model_name"] == "m-2026"
    assert wire["model_grader_token_usage_per_model"] == {"m-2026": twice}
    assert set(unknown["metadata"]["token_usage"].values()) == {None}


def test_estimate_before_spending() -> None:
    """Votes count, equal repeatable questions count once, and nothing is sent."""
    config = Config({"judge": {"votes": 3}, "prices": PRICES})
    asks = [ask("x" * 4000, seed=1, max_completions_tokens=100)] * 5 + [ask("y", model="n")]

    found = estimate(config, asks)

    assert (found["m"].calls, found["n"].calls) == (3, 3)
    assert found["m"].prompt_tokens == 3 * (1000 + 4 + 120)
    assert found["m"].cost == pytest.approx(3 * (1124 * 2 + 100 * 8) / 1e6)
    assert found["n"].cost is None
