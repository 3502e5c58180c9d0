"""Every fault of the judges' table behind an eval's sampler, from the socket to the item that clients read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from graders.ask import SampleAsk, SampleReply
from graders.endpoints.endpoint import Endpoints, Timing
from graders.judges.scripted import ScriptedJudge
from graders.sampling import Sampler
from tests.cases import first
from tests.evals.support import client_of, counts, custom, equals, eval_server, items, run_of, sampled
from tests.judges.fault_server import BEHAVIOURS, MAX_ATTEMPTS, SCORE, Behaviour
from tests.judges.support import Clock, ImpatientTransport, config_of
from tests.sampling.test_sampler import outcome_of

PARAMS = {"seed": 1, "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 50, "reasoning_effort": "low"}


class FaultySampler:
    """The sampler in front of a faulty server: what it waits takes no time, and each model has its own fault."""

    def __init__(self, server: ScriptedJudge) -> None:
        self._server = server
        self._behaviours = {behaviour.name: behaviour for behaviour in BEHAVIOURS}

    async def answer(self, ask: SampleAsk, *, deadline: float | None = None) -> SampleReply:
        behaviour, clock = self._behaviours[ask.model], Clock()
        config = config_of(self._server, max_attempts=MAX_ATTEMPTS, api_key_env="JUDGE_KEY")
        timing = Timing(clock.now, clock.sleep, lambda: 0.5)
        transport = ImpatientTransport(self._server, behaviour.n_stalls)
        endpoints = Endpoints(config, transport=transport, timing=timing)
        sampler = Sampler(config, endpoints)
        try:
            # by its own clock
            return await sampler.answer(ask)
        finally:
            await sampler.aclose()

    async def aclose(self) -> None:
        """Each answer closes its own."""


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[ScriptedJudge, openai.OpenAI]]:
    """The faulty server, and a client of a server whose runs ask it."""
    with (
        ScriptedJudge() as server,
        eval_server(sampler=FaultySampler(server)) as running,
        client_of(running) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("JUDGE_KEY", "sk-secret")
        yield server, client


#: Every eleventh runs by default, so that each part of the table has some.
CASES = sorted(range(len(BEHAVIOURS)), key=lambda place: place % 11)


@pytest.mark.parametrize(
    "behaviour",
    first(9, [pytest.param(BEHAVIOURS[place], id=BEHAVIOURS[place].name) for place in CASES]),
)
def test_a_fault_of_the_server(asked: Any, behaviour: Behaviour) -> None:
    """An errored item with its reason, and one that is errored by every criterion; or, once an attempt succeeds, a sample."""
    server, client = asked
    server.clear()
    server.queue(*behaviour.answers(SCORE), model=behaviour.name)
    row = {"item": {"question": "Hello", "answer": "x"}}
    source = sampled(row, model=behaviour.name, sampling_params=PARAMS)

    run = run_of(client, [equals("", "ne"), equals(name="other")], source, custom())

    (item,) = items(client, run)
    outcome = outcome_of(behaviour)
    if outcome == "sample":
        assert (run.status, item.status, counts(run)) == ("completed", "fail", (1, 0, 1, 0))
        assert [one.passed for one in item.results] == [True, False]
        assert item.sample.output[0].content
        return
    assert counts(run) == (1, 0, 0, 1)
    assert (run.status, item.status) == ("failed" if behaviour.stops else "completed", "error")
    assert item.sample.error.code == outcome
    if outcome == behaviour.flag:
        # of a judge's answer that was empty a sampler has words of its own
        assert behaviour.says in item.sample.error.message or behaviour.name.startswith("empty")
    assert [one.error["code"] for one in item.results] == [outcome, outcome]
    assert [one.errored for one in run.per_testing_criteria_results] == [1, 1]
    assert "sk-secret" not in run.to_json()
