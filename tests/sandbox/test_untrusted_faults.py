"""run_untrusted when something goes wrong around it: only what the code does fails a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from graders_sandbox import TIERS, Job, Sandbox
from graders_sandbox.host.pool import Pool
from tests.cases import first
from tests.sandbox.jails import descendants, need
from tests.sandbox.test_untrusted import verdict

#: The score of `sample` under as many tests as `item` says.
GRADER = """
from graders_sandbox import run_untrusted
import time

def grade(sample, item):
    time.sleep(item.get("sleep", 0))
    tests = [{"args": [n], "expect": n + 1} for n in range(item["tests"])]
    return run_untrusted(sample, tests, timeout=item["timeout"], entry="f").score
"""
RIGHT = "def f(n): return n + 1"
#: Leaves nested folders, which take long to delete, and ends its child in each test.
LITTERS = """
import os
for k in range({folders}):
    os.makedirs(f"{{k}}/a/b/c/d/e/f/g")
def f(n): os._exit(0)
"""


@pytest.fixture(scope="module", params=first(1, TIERS))
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    need(request.param)
    with Sandbox(tier=request.param, in_flight=2) as sandbox:
        yield sandbox


def servers(sandbox: Sandbox) -> list[int]:
    """Pids of the processes that are not forks of a template: servers, and what waits for them outside of a namespace."""
    assert isinstance(sandbox._pool, Pool)
    outer = [server.process.pid for server in sandbox._pool.servers]
    if sandbox.tier not in ("linux-full", "linux-ns"):
        return outer
    return [*outer, *(min(below) for pid in outer if (below := descendants(pid)))]


@pytest.mark.slow
def test_a_server_that_is_late_fails_no_test(sandbox: Sandbox) -> None:
    """C1: while the server does not answer, the clock of the code stands still."""
    item = {"tests": 3, "timeout": 1.2, "sleep": 0.4}
    assert sandbox.run(GRADER, RIGHT, {**item, "sleep": 0}).value == 1.0

    future = sandbox.submit(GRADER, RIGHT, item)
    time.sleep(0.15)
    stopped = servers(sandbox)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2.0)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)

    assert future.result().value == 1.0


def test_a_helper_that_is_killed_costs_no_score(sandbox: Sandbox) -> None:
    """C1: samples that wait for a child of a killed template or server are run again."""
    futures = [sandbox.submit(GRADER, RIGHT, {"tests": 3, "timeout": 5, "sleep": 0.3}) for _ in range(4)]
    time.sleep(0.15)
    for pid in servers(sandbox)[-1:]:
        os.kill(pid, signal.SIGKILL)

    assert [future.result().value for future in futures] == [1.0] * 4


@pytest.mark.slow
def test_leftovers_of_a_neighbour_change_no_score(sandbox: Sandbox) -> None:
    """C1: a child waits for a folder to be emptied; it is not refused."""
    jobs = [
        Job(GRADER, RIGHT if n % 2 else LITTERS.format(folders=300), {"tests": 20, "timeout": 5})
        for n in range(12)
    ]

    outcomes = list(sandbox.run_many(jobs))

    assert [outcome.value for outcome in outcomes[1::2]] == [1.0] * 6


@pytest.mark.slow
def test_emptying_a_folder_counts_as_its_owners_time() -> None:
    """C1: code that litters runs out of its own time, and its grader does not."""
    with Sandbox() as sandbox:
        result = verdict(
            sandbox, LITTERS.format(folders=1200), [{"expect": 0, "args": [0]}] * 40, entry="f", timeout=2
        )

    statuses = [status for status, _ in result["results"]]
    assert statuses[0] == "exit"
    assert statuses[-1] == "timeout"


#: Writes an answer of its own to the call, whose number is 2: keys that all hash to 0.
COLLIDES = """
import json, os, struct, time
def f():
    keys = [(2**61 - 1) * n for n in range(1, 150_000)]
    text = json.dumps([2, "value", {answer}]).encode()
    sent = memoryview(struct.pack("<I", len(text)) + text)
    while sent:
        sent = sent[os.write(3, sent):]
    time.sleep(60)
"""
ENDS_LATER = """
import os, threading, time
def f():
    threading.Timer(0.1, os._exit, (0,)).start()
    return 1
"""
ENDS = [
    # code, test, status
    pytest.param("def f(n): raise StopIteration", "assert all(map(lambda n: f(n) == n, [1, 2]))", "error", id="M2, StopIteration ends no loop of a test"),
    pytest.param("def f(n): raise StopAsyncIteration", "assert all(map(lambda n: f(n) == n, [1, 2]))", "error", id="M2, nor does its asynchronous kind"),
    pytest.param("class StopIteration(Exception): pass\ndef f(n): raise StopIteration", "assert list(map(f, [1])) == []", "error", id="M2, nor a class of its name"),
    pytest.param(COLLIDES.format(answer='["set", keys]'), "f()", "timeout", id="M1, a set that is slow to read"),
    pytest.param(COLLIDES.format(answer='["dict", [[key, 1] for key in keys]]'), "f()", "timeout", id="M1, a dict that is slow to read"),
    pytest.param(ENDS_LATER, "import time\nassert f() == 1\ntime.sleep(2)\nf()", "exit", id="a child that ends between two calls"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "test", "status"), ENDS)
def test_no_answer_ends_more_than_its_test(code: str, test: str, status: str) -> None:
    """The grader lives on and sees what the code has done."""
    with Sandbox() as sandbox:
        timeout = 1 if status == "timeout" else 20
        result = verdict(sandbox, code, [test, "assert True"], entry="f", timeout=timeout)

    assert result["results"][0][0] == status, result


TEMPORARY_FILE = """
import os
def f(n):
    with open("made", "w") as file:
        file.write("x")
    return n + 1
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(TEMPORARY_FILE, id="H6, a temporary file"),
        pytest.param(
            "def f(n):\n    import wave\n    return n + 1", id="H6, a module that nobody loaded ahead"
        ),
    ],
)
def test_code_that_needs_files_scores_the_same_or_is_refused(sandbox: Sandbox, code: str) -> None:
    """No tier fails right code for a file that it does not give."""
    outcome = sandbox.run(GRADER, code, {"tests": 2, "timeout": 5})

    if sandbox.tier in ("linux-full", "linux-landlock"):
        assert outcome.value == 1.0
    else:
        assert (outcome.status, outcome.error_type) == ("infrastructure", "NoFiles")
        assert "linux-full and linux-landlock" in outcome.text


@pytest.mark.parametrize("code", ["import time\ntime.localtime()\n", "import json, statistics\n"])
def test_code_that_needs_no_files_has_its_score_in_each_tier(sandbox: Sandbox, code: str) -> None:
    """H6: the time zone and the usual modules ask for no file."""
    assert sandbox.run(GRADER, code + RIGHT, {"tests": 2, "timeout": 5}).value == 1.0
