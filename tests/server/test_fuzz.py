"""Random and mutated bodies: no crash, no hang, no 5xx, nothing kept."""

from __future__ import annotations

import gc
import http.client
import json
import os
import random
from collections.abc import Iterator

import pytest

from graders.server import Limits
from graders.server.metrics import resident_bytes
from tests.server.support import BATCH, PROBLEMS, RUN, VALIDATE, RunningServer, serving
from tests.specs import label_model, multi, python, score_model, string_check, text_similarity

GRADERS = [
    string_check(),
    text_similarity(),
    text_similarity(evaluation_metric="meteor"),
    python(),
    score_model(),
    label_model(),
    multi("a + min(b, 1) ^ 2", {"a": string_check(), "b": text_similarity(evaluation_metric="bleu")}),
]
ITEM = {"answer": "Paris", "n": 1.5, "list": [1, {"a": None}], "deep": '{"json": [1, 2]}'}
SEEDS: list[tuple[str, list[dict[str, object]]]] = [
    (RUN, [{"grader": grader, "model_sample": '{"a": [1, 2]}', "item": ITEM} for grader in GRADERS]),
    (VALIDATE, [{"grader": grader} for grader in GRADERS]),
    (BATCH, [{"grader": grader, "rows": [{"id": 1, "sample": "x", "item": ITEM}, {}]} for grader in GRADERS]),
    (PROBLEMS, [{"spec": json.dumps(grader)} for grader in GRADERS]),
]
PIECES = [
    b"null", b"1e999", b"-0", b"[[[[[[", b'{"":', b'"\\ud800"', b"\xff\xfe", b"{{item.answer}}", b"{{sample.output_json}}",
    b"9" * 400, b"\x00", b'"type":"multi"', b"{{", b"}}}}", b"((((((((", b"^^", b"e" * 3000, b'"graders":', b"true", b"\\u0000",
]  # fmt: skip


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serving(limits=Limits(judge=0, body_bytes=1 << 20, timeout_s=5.0)) as running:
        yield running


def mutated(chance: random.Random, seed: dict[str, object]) -> bytes:
    """A few changes to a good body; or bytes that are nothing."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(200))
    body = bytearray(json.dumps(seed).encode())
    for _ in range(chance.randrange(1, 5)):
        at, until = sorted(chance.randrange(len(body) + 1) for _ in range(2))
        until = min(until, at + chance.randrange(40))
        match chance.randrange(5):
            case 0:
                body[at:until] = chance.choice(PIECES)
            case 1:
                body[at:at] = chance.choice(PIECES)
            case 2:
                del body[at:until]
            case 3:
                body[at:at] = body[at:until] * chance.randrange(1, 20)
            case _:
                body[at:until] = chance.randbytes(until - at)
        if not body:
            return b""
    return bytes(body)


def throw(server: RunningServer, n_bodies: int, seed: int) -> dict[int, int]:
    """Send them, each answered within its time; status -> how many."""
    chance = random.Random(seed)
    statuses: dict[int, int] = {}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(n_bodies):
        path, seeds = chance.choice(SEEDS)
        body = mutated(chance, chance.choice(seeds))
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        assert response.status in (200, 400, 413, 429), (path, body, answer)
        if response.status != 200:
            assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}, (path, body)
        statuses[response.status] = statuses.get(response.status, 0) + 1
    connection.close()
    return statuses


def test_mutated_bodies_get_documented_statuses(server: RunningServer) -> None:
    """250 mutated bodies get a documented status, and the error body where they fail."""
    statuses = throw(server, 250, seed=1)

    assert statuses[200] > 10
    assert statuses[400] > 60


@pytest.mark.slow
def test_ten_thousand_bodies_leave_nothing_behind(server: RunningServer) -> None:
    """Ten thousand bodies leave memory, descriptors and tasks as they were."""
    # from here on libraries are loaded and caches filled
    throw(server, 1500, seed=2)
    gc.collect()
    memory, descriptors = resident_bytes(), len(os.listdir("/proc/self/fd"))

    throw(server, 10_000, seed=3)

    gc.collect()
    assert resident_bytes() - memory < 40 << 20
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 8
    for name in (
        "graders_buffered_bytes",
        "graders_code_under_way",
        "graders_judge_under_way",
        "graders_batches_under_way",
    ):
        server.wait_for(name, 0)
    assert server.metric("graders_compiled") <= Limits().compiled
    assert server.run(string_check(), "a", {"answer": "a"}).json()["reward"] == 1.0
