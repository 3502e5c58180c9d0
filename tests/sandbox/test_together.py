"""samples_per_process: several samples in one process, for speed; and many samples at once."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter

import pytest

from graders_sandbox import TIERS, Job, Outcome, Sandbox
from tests.cases import first
from tests.sandbox.jails import a_tier, descendants, need

COUNT = "n = 0\ndef grade(s, i):\n    global n\n    n += 1\n    return n"
DRAW = "import random\ndef grade(s, i): return i['x'] + random.random()"


def test_by_default_nothing_is_shared() -> None:
    """Each sample has a process of its own: globals, modules and files of another are not there."""
    source = (
        "import math, os\nn = 0\ndef grade(s, i):\n    global n\n    n += 1\n    seen = math.__dict__.setdefault('n', 0)\n"
        "    math.n += 1\n    open('f', 'a').write('x')\n    return n + seen + os.path.getsize('f')"
    )
    with Sandbox(tier=a_tier()) as sandbox:
        outcomes = list(sandbox.run_many([Job(source, {}, {})] * 30))

    assert [(outcome.value, outcome.samples_per_process) for outcome in outcomes] == [(2.0, 1)] * 30


@pytest.mark.parametrize("tier", TIERS)
def test_sharing_is_marked_in_every_outcome(tier: str) -> None:
    """Those that shared a process say with how many, and see what came before them."""
    need(tier)
    with Sandbox(tier=tier, samples_per_process=10, in_flight=2) as sandbox:
        outcomes = list(sandbox.run_many([Job(COUNT, {}, {})] * 100))

    sizes = Counter(outcome.samples_per_process for outcome in outcomes)
    assert max(sizes) > 1
    assert all(count % size == 0 for size, count in sizes.items())
    assert max(outcome.value or 0 for outcome in outcomes) == max(sizes)
    for outcome in outcomes:
        shared = (
            f", {outcome.samples_per_process} samples in one process"
            if outcome.samples_per_process > 1
            else ""
        )
        assert outcome.held_by == tier + shared


def test_sharing_changes_no_reproducible_score() -> None:
    """Rows keep their order, their own seed and their own errors."""
    jobs = [Job(DRAW, {}, {"x": x} if x % 7 else {}, key=str(x)) for x in range(120)]
    with Sandbox(tier=a_tier()) as alone, Sandbox(tier=a_tier(), samples_per_process=16) as together:
        apart, shared = list(alone.run_many(jobs)), list(together.run_many(jobs))

    assert [(o.status, o.value, o.error_type) for o in apart] == [
        (o.status, o.value, o.error_type) for o in shared
    ]
    assert {o.error_type for o in apart} == {"", "KeyError"}
    assert any(o.samples_per_process > 1 for o in shared)


ENDS = [
    pytest.param("import os; os._exit(0)", "no_result", id="leaves"),
    pytest.param("import ctypes; ctypes.string_at(0)", "crash", id="crashes"),
    pytest.param("while True: pass", "timeout", id="is endless"),
    pytest.param("import os; os.write(3, b'x' * 99)", "value", id="writes garbage"),
    pytest.param("raise SystemExit", "grader_error", id="raises"),
]


@pytest.mark.parametrize(("act", "status"), first(2, ENDS))
def test_one_bad_end_costs_the_others_a_second_run_and_no_score(act: str, status: str) -> None:
    """All that shared the process run again, each alone."""
    source = f"def grade(s, i):\n    if i == 5:\n        {act}\n    return i"
    # equal for all, since samples that share a process have the same time
    seconds = 3.0 if status == "timeout" else 30.0
    with Sandbox(tier=a_tier(), samples_per_process=10, in_flight=1) as sandbox:
        outcomes = list(sandbox.run_many(Job(source, {}, x, timeout_s=seconds) for x in range(10)))

    expected = [float(x) for x in range(10)]
    # garbage between frames was seen; alone it is one frame too many
    if status == "value":
        assert outcomes[5].status == "protocol"
    else:
        assert outcomes[5].status == status
    assert [o.value for o in outcomes if o is not outcomes[5]] == expected[:5] + expected[6:]


def test_a_top_level_that_raises_raises_for_every_row() -> None:
    """Each row reports the import's own error."""
    with Sandbox(tier=a_tier(), samples_per_process=8, in_flight=1) as sandbox:
        outcomes = list(sandbox.run_many([Job("raise ValueError('top')", {}, {})] * 16))

    assert {(o.status, o.stage, o.error_type) for o in outcomes} == {("grader_error", "import", "ValueError")}


def test_many_long_errors_are_read_whole() -> None:
    """More text than a pipe holds at once is read as it comes."""
    with Sandbox(tier=a_tier(), samples_per_process=200, in_flight=1) as sandbox:
        source = "def grade(s, i): raise ValueError('x' * 9999)"
        outcomes = list(sandbox.run_many([Job(source, {}, {})] * 400))

    assert {o.error_type for o in outcomes} == {"ValueError"}
    assert max(o.samples_per_process for o in outcomes) > 50


HOSTILE = [
    "import os\ndef grade(s, i): os._exit(0)",
    "import ctypes\ndef grade(s, i): ctypes.string_at(0)",
    "def grade(s, i):\n    while True: pass",
    "import os\ndef grade(s, i):\n    os.write(3, b'V' + bytes(99))\n    return 1.0",
    "import os\ndef grade(s, i):\n    for n in range(3, 256):\n        try: os.write(n, b'V' + bytes(8))\n        except OSError: pass\n    os._exit(0)",
    "import os, signal\ndef grade(s, i):\n    for pid in set(range(-1, 40)) - {os.getpid()}:\n        try: os.kill(pid, signal.SIGKILL)\n        except OSError: pass\n    return 0.5",
    "import math, json\ndef grade(s, i):\n    json.loads = lambda *a: {}\n    math.floor = lambda x: 0\n    open('left', 'w').write('x' * 10000)\n    return 0.25",
    "def grade(s, i): return float(len(bytearray(1 << 34)))",
]
HONEST = (
    "import json, math, os, random\ndef grade(s, i):\n    assert not os.listdir(os.environ['TMPDIR'])\n"
    "    return math.floor(json.loads(s)['x'] * 3) + random.random()"
)


def hostile(source: str) -> Job:
    """Only the endless one waits for its limit; on a busy machine the others may be as late."""
    return Job(source, {}, {}, timeout_s=0.5 if "while True" in source else 30)


def mixed(count: int, every: int) -> list[Job]:
    """One in so many is hostile."""
    return [
        hostile(HOSTILE[n // every % len(HOSTILE)])
        if n % every == every // 2
        else Job(HONEST, f'{{"x": {n}}}', {}, key=str(n))
        for n in range(count)
    ]


def key(outcome: Outcome) -> tuple[str, float | None]:
    return outcome.status, outcome.value


def expected(n: int) -> float:
    """HONEST's score by another way: the seed is the run's and the key's."""
    digest = hashlib.blake2b(f"0:{n}".encode(), digest_size=8).digest()
    return n * 3 + random.Random(int.from_bytes(digest, "little")).random()


def hold(tier: str, count: int, every: int) -> None:
    """Mixed and alone give the same, and nothing is left."""
    need(tier)
    # processes of what other tests keep open
    others = set(descendants(os.getpid()))
    jobs = mixed(count, every)
    bad = [n for n in range(count) if n % every == every // 2]
    with Sandbox(tier=tier) as sandbox:
        together = [*map(key, sandbox.run_many(jobs))]
    with Sandbox(tier=tier, in_flight=1) as sandbox:
        alone = [*map(key, sandbox.run_many([*(jobs[n] for n in bad[: len(HOSTILE)]), *jobs[: every // 2]]))]

    bad_alone, honest = alone[: len(HOSTILE)], alone[len(HOSTILE) :]
    assert honest == [("value", expected(n)) for n in range(every // 2)]
    for n, outcome in enumerate(together):
        score = bad_alone[n // every % len(HOSTILE)] if n % every == every // 2 else ("value", expected(n))
        assert outcome == score, n
    assert set(descendants(os.getpid())) <= others


@pytest.mark.parametrize("tier", first(1, ["linux-full", "linux-landlock"]))
def test_hostile_neighbours_change_no_score(tier: str) -> None:
    """With hostile samples mixed in, each of the others scores exactly as it does alone."""
    hold(tier, 200, every=20)


@pytest.mark.slow
def test_hostile_neighbours_change_no_score_of_ten_thousand() -> None:
    """The same for ten thousand with 1 % of them, in the strongest tier."""
    hold(a_tier(), 10_000, every=100)
