"""Whatever of the sandbox's own processes dies, no row gets a wrong score."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from graders_sandbox import Job, Sandbox
from tests.sandbox.jails import descendants, need

PLAIN = (
    "import re\ndef grade(sample, item):\n    return float(re.fullmatch(r'\\d+', sample) is not None) + item"
)
UNTRUSTED = """
from graders_sandbox import run_untrusted
def grade(sample, item):
    return run_untrusted(sample, [{"args": [k], "expect": k + item} for k in range(2)], timeout=20, entry="f").score
"""
#: For each tier; with -s the rows and kills are printed. GRADERS_SOAK_SECONDS=600 is for a release.
SECONDS = float(os.environ.get("GRADERS_SOAK_SECONDS", "60"))
# seconds between kills
EVERY_S = (0.2, 1.2)


def jobs() -> Iterator[tuple[Job, float]]:
    """Rows with their scores: every tenth runs code that a model wrote, right or wrong."""
    for number in itertools.count():
        if number % 10:
            text = str(number) if number % 3 else "x"
            yield Job(PLAIN, text, number), float(number % 3 != 0) + number
        else:
            offset = number % 4
            yield Job(UNTRUSTED, f"def f(n): return n + {offset}", 2), float(offset == 2)


def kill_at_random(stop: threading.Event, killed: Counter[str]) -> None:
    """Kill one process below this one after the other: servers and what they are children of, templates, samples, readers."""
    choice = random.Random(11)
    while not stop.wait(choice.uniform(*EVERY_S)):
        below = descendants(os.getpid())
        if not below:
            continue
        pid = choice.choice(below)
        with suppress(OSError):
            name = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            os.kill(pid, signal.SIGKILL)
            killed["reader" if any("jail.reader" in word for word in name) else "other"] += 1


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["linux-full", "linux-landlock"])
def test_no_wrong_score_after_any_kill(tier: str) -> None:
    """Each row has its own score, or none and says that the machinery failed."""
    need(tier)
    stop, killed = threading.Event(), Counter[str]()
    killer = threading.Thread(target=kill_at_random, args=(stop, killed))
    wrong, said = [], Counter[str]()
    ours, theirs = itertools.tee(jobs())
    end = time.monotonic() + SECONDS
    with Sandbox(tier=tier) as sandbox:
        killer.start()
        try:
            outcomes = sandbox.run_many(job for job, _ in theirs)
            for (_, score), outcome in zip(ours, outcomes, strict=False):
                said[outcome.status] += 1
                if outcome.status == "value" and outcome.value != score:
                    wrong.append((score, outcome))
                if time.monotonic() > end:
                    break
        finally:
            stop.set()
            killer.join()
            outcomes.close()
    print(tier, dict(said), dict(killed))

    assert not wrong
    assert killed
    assert said["value"] > 0.95 * said.total()
    assert set(said) <= {"value", "infrastructure"}
