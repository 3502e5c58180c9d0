"""Every behaviour of the table against both kinds, sync, async and in a batch, over real connections."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import graders
from graders.errors import ModelStop
from graders.judges.scripted import fail
from graders.models import Client, ScriptedJudge
from graders.result import FLAGS
from tests.judges.fault_server import (
    BEHAVIOURS,
    LABEL,
    MAX_ATTEMPTS,
    SCORE,
    Behaviour,
    Kind,
)
from tests.judges.support import SAMPLE, Clock, ImpatientTransport, config_of, judge_spec


@pytest.fixture(scope="module")
def judge() -> Iterator[ScriptedJudge]:
    with ScriptedJudge() as judge:
        yield judge


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-secret")


def graded(way: str, grader: graders.Grader) -> dict[str, Any]:
    """One row, as wire JSON with what is not on the wire beside it."""
    if way == "run":
        result = grader.run(SAMPLE, {})
    elif way == "arun":
        result = asyncio.run(grader.arun(SAMPLE, {}))
    else:
        (result,) = grader.run_batch([{"sample": SAMPLE, "item": {}}])
    return {
        "wire": result.to_wire(),
        "ok": result.ok,
        "provenance": result.provenance,
        "failures": result.failures,
    }


@pytest.mark.parametrize("way", ["run", "arun", "batch"])
@pytest.mark.parametrize("kind", [SCORE, LABEL], ids=lambda kind: kind.name)
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_each_fault_has_its_flags_attempts_and_waits(
    judge: ScriptedJudge, behaviour: Behaviour, kind: Kind, way: str
) -> None:
    """The verdict or exactly its flags, the attempts, the waits between them, and the text of the failure."""
    check(judge, behaviour, kind, way)
    if judge.received:
        assert behaviour.last(judge.received[-1].json)


def of_chat_alone(behaviour: Behaviour) -> bool:
    """Whether it is about what only chat completions have: choices, and the names of their parameters."""
    words = ("choice", "in parts", "max_completion", "token limit")
    return "dropped" in behaviour.provenance or any(word in behaviour.name for word in words)


@pytest.mark.parametrize(
    "behaviour", [b for b in BEHAVIOURS if not of_chat_alone(b)], ids=lambda behaviour: behaviour.name
)
def test_each_fault_is_the_same_over_responses(judge: ScriptedJudge, behaviour: Behaviour) -> None:
    """The same over /v1/responses, where it is chosen."""
    check(judge, behaviour, LABEL, "run", api="responses")
    assert {received.path for received in judge.received} == {"/v1/responses"}


@pytest.mark.parametrize(
    ("refused", "dropped"),
    [
        ("temperature", "temperature"),
        ("max_output_tokens", "max_completions_tokens"),
        ("reasoning", "reasoning_effort"),
    ],
)
def test_parameters_of_responses_are_learned(judge: ScriptedJudge, refused: str, dropped: str) -> None:
    """Refused parameters of /responses are learned, and the result names the spec's parameter that was left out."""
    judge.clear()
    judge.default = SCORE.ok
    judge.queue(fail(400, f"Unsupported parameter: '{refused}'"))
    with graders.Backends(config=config_of(judge, api="responses", max_attempts=1)) as backends:
        result = graders.compile(judge_spec(), backends=backends).run(SAMPLE, {})

    assert result.ok
    # responses have no seed
    assert result.provenance["judge"]["dropped"] == sorted([dropped, "seed"])
    assert refused not in judge.received[-1].json


def check(judge: ScriptedJudge, behaviour: Behaviour, kind: Kind, way: str, **route: Any) -> None:
    clock = Clock()
    config = config_of(judge, max_attempts=MAX_ATTEMPTS, api_key_env="JUDGE_KEY", **route)
    transport = ImpatientTransport(judge, behaviour.n_stalls)
    client = Client(config, transport=transport, clock=clock.now, sleep=clock.sleep, jitter=lambda: 0.5)
    judge.clear()
    judge.default = kind.ok
    with graders.Backends(models=client, config=config) as backends:
        grader = graders.compile(judge_spec(kind.name), backends=backends)
        if behaviour.proven:
            assert grader.run("before", {}).ok
            judge.clear()
        judge.queue(*behaviour.answers(kind))

        if behaviour.stops and way == "batch":
            with pytest.raises(ModelStop, match=re.escape(behaviour.says)):
                graded(way, grader)
            assert len(judge.received) == behaviour.attempts
            return
        result = graded(way, grader)

    wire, metadata = result["wire"], result["wire"]["metadata"]
    flags = [flag for flag in FLAGS if metadata["errors"][flag]]
    assert flags == list(behaviour.flags), result["failures"]
    assert result["ok"] is not bool(behaviour.flag)
    assert wire["reward"] == (0.0 if behaviour.flag else kind.reward)
    assert behaviour.says in "".join(map(str, result["failures"]))
    if behaviour.flag == "model_grader_server_error":
        assert behaviour.says in metadata["errors"]["model_grader_server_error_details"]
        assert isinstance(result["failures"][0], ModelStop) == behaviour.stops
    assert len(judge.received) == behaviour.attempts
    assert len(clock.slept) == len(behaviour.waits)
    assert all(
        slept > 0 if least is ... else slept >= least
        for slept, least in zip(clock.slept, behaviour.waits, strict=True)
    )
    assert result["provenance"].get("judge", {}).items() >= behaviour.provenance.items()
    used = metadata["token_usage"]
    assert (used and used["prompt_tokens"]) == behaviour.usage
    assert "sk-secret" not in json.dumps(wire) + str(result["failures"])


def test_table_is_long_enough() -> None:
    assert len({behaviour.name for behaviour in BEHAVIOURS}) == len(BEHAVIOURS) >= 40


def test_retry_after_is_waited_for_in_real_time(judge: ScriptedJudge) -> None:
    """With the real clock no attempt comes before Retry-After."""
    judge.clear()
    judge.default = SCORE.ok
    judge.queue(fail(429, headers={"retry-after": "0.3"}), fail(503, headers={"retry-after-ms": "200"}))
    with graders.Backends(config=config_of(judge)) as backends:
        result = graders.compile(judge_spec("score_model"), backends=backends).run(SAMPLE)

    assert result.ok
    gaps = [after.at - before.at for before, after in zip(judge.received, judge.received[1:], strict=False)]
    assert gaps[0] >= 0.3
    assert gaps[1] >= 0.2
