"""A thousand rows against a server that does everything wrong that the table knows, all at once."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict, deque

import pytest

import graders
from graders.judges.scripted import Answer, ReceivedRequest, Step
from graders.models import Client, ScriptedJudge
from tests.judges.fault_server import BEHAVIOURS, LABEL, SCORE, Behaviour, Kind
from tests.judges.support import Clock, config_of, judge_spec

ROWS = 1000


def alone(behaviour: Behaviour) -> bool:
    """Whether it concerns one question: not the endpoint's key, nor what the server supports."""
    teaches = {"structured", "dropped"} & set(behaviour.provenance) or any(
        word in behaviour.name
        for word in ("prompt only", "schema", "no max_", "no token limit", "no developer")
    )
    # a time-out takes real time, and on a busy machine sound answers would meet it
    return not (behaviour.stops or behaviour.stalls or teaches or "deadline" in behaviour.name)


MIXED = [behaviour for behaviour in BEHAVIOURS if alone(behaviour)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [SCORE, pytest.param(LABEL, marks=pytest.mark.slow)], ids=lambda kind: kind.name
)
def test_each_of_a_thousand_rows_ends_by_its_own_fault(kind: Kind) -> None:
    """Every row ends as its own fault says: no failure is a score, no success is lost, the order is kept."""
    assert len(MIXED) >= 40
    plan = [MIXED[row % len(MIXED)] for row in range(ROWS)]
    scripts: defaultdict[int, deque[Answer]] = defaultdict(deque)
    for row, behaviour in enumerate(plan):
        scripts[row].extend(behaviour.answers(kind))
    arrived: Counter[int] = Counter()

    def answer(received: ReceivedRequest) -> Step:
        found = re.search(r"row (\d+) ", json.dumps(received.json))
        row = int(found[1]) if found else -1
        arrived[row] += 1
        script = scripts.get(row) or [kind.ok]
        step = script.popleft() if isinstance(script, deque) else script[0]
        return step if isinstance(step, Step) else step(received)

    clock = Clock()
    with ScriptedJudge(answer) as judge:
        config = config_of(judge, attempt_timeout_s=600, max_attempts=3, timeout_s=1e9, max_in_flight=32)
        client = Client(config, clock=clock.now, sleep=clock.sleep)
        with graders.Backends(models=client, config=config) as backends:
            grader = graders.compile(judge_spec(kind.name), backends=backends)
            # the endpoint's schema counts as supported from here on
            assert grader.run("the first", {}).ok
            rows = ({"id": f"r{row}", "sample": f"row {row} "} for row in range(ROWS))
            results = list(grader.run_batch(rows))

    assert [result.id for result in results] == [f"r{row}" for row in range(ROWS)]
    for result, behaviour in zip(results, plan, strict=True):
        assert result.flags == behaviour.flags, (behaviour.name, result.failures)
        assert result.reward == (0.0 if behaviour.flag else kind.reward)
        assert behaviour.says in "".join(map(str, result.failures))
    assert arrived == Counter({row: behaviour.attempts for row, behaviour in enumerate(plan)}) + Counter(
        {-1: 1}
    )
    totals = client.totals.models["m"]
    assert totals.calls == sum(arrived.values())
    assert totals.answers == 1 + sum(not behaviour.flag for behaviour in plan)
