"""How many samples run at once: what was asked for, or what the processors and the free memory bear."""

from __future__ import annotations

import io
import itertools
import os
import time
from collections.abc import Callable

import pytest

from graders_sandbox import Job, Limits, Sandbox
from graders_sandbox.host import memory, servers, start
from tests.cases import first
from tests.sandbox.jails import a_tier

GB = 1024**3
CORES = len(os.sched_getaffinity(0))


def files(**texts: str) -> Callable[[str], io.StringIO]:
    """An `open` that knows these files of /proc and /sys alone, by the last part of their names."""

    def opened(path: str) -> io.StringIO:
        name = path.rpartition("/")[2].replace(".", "_")
        if name not in texts:
            raise FileNotFoundError(path)
        return io.StringIO(texts[name])

    return opened


MEMINFO = f"MemTotal: 99 kB\nMemFree: 1 kB\nMemAvailable: {8 * GB // 1024} kB\n"


@pytest.mark.parametrize(
    ("found", "free"),
    [
        # proc_meminfo(5); cgroup-v2's memory.max and memory.current, which only a container's root shows
        pytest.param({"meminfo": MEMINFO}, 8 * GB, id="the machine"),
        pytest.param({"meminfo": MEMINFO, "memory_max": "max\n", "memory_current": "5\n"}, 8 * GB, id="a container without a bound"),
        pytest.param({"meminfo": MEMINFO, "memory_max": f"{3 * GB}\n", "memory_current": f"{GB}\n"}, 2 * GB, id="a container"),
        pytest.param({"meminfo": MEMINFO, "memory_max": f"{GB}\n", "memory_current": f"{2 * GB}\n"}, 0, id="a container that is over its bound"),
        pytest.param({"meminfo": MEMINFO, "memory_max": f"{99 * GB}\n", "memory_current": "0\n"}, 8 * GB, id="a container larger than the machine"),
        pytest.param({}, 1 << 62, id="nothing known"),
    ],
)  # fmt: skip
def test_free_memory_is_the_machines_or_the_containers(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, str], free: int
) -> None:
    monkeypatch.setattr(memory, "open", files(**found), raising=False)
    assert memory._free_bytes() == free


@pytest.mark.parametrize(
    ("free", "limits", "tier", "at_once"),
    [
        pytest.param(1 << 62, Limits(), "", 2 * CORES, id="plenty: twice the processors"),
        pytest.param(5 * GB, Limits(), "linux-landlock", min(2, 2 * CORES), id="2 GB each"),
        pytest.param(5 * GB, Limits(), "linux-full", 1, id="2 GB each, and 1 GB of disk that is memory"),
        pytest.param(0, Limits(), "", 1, id="none: one all the same"),
        pytest.param(GB, Limits(memory_bytes=GB // 2), "", min(2, 2 * CORES), id="smaller samples"),
    ],
)
def test_samples_at_once_fit_in_free_memory(
    monkeypatch: pytest.MonkeyPatch, free: int, limits: Limits, tier: str, at_once: int
) -> None:
    monkeypatch.setattr(memory, "_free_bytes", lambda: free)
    assert memory.fitting(limits, tier) == at_once


@pytest.mark.slow
def test_a_machine_short_of_memory_runs_one_at_a_time_and_later_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound follows what is free while the sandbox works; a number that was asked for stays."""
    monkeypatch.setattr(memory, "_LOOK_S", 0.0)
    free = [0]
    monkeypatch.setattr(memory, "_free_bytes", lambda: free[0])
    source = (
        "import time\ndef grade(s, i):\n    start = time.monotonic()\n    time.sleep(0.25)\n    return start"
    )
    job = Job(source, {}, {})

    def starts(sandbox: Sandbox, count: int) -> list[float]:
        return sorted(outcome.value or 0.0 for outcome in sandbox.run_many([job] * count))

    def together(starts: list[float]) -> bool:
        return any(later - earlier < 0.2 for earlier, later in itertools.pairwise(starts))

    with Sandbox(tier=a_tier()) as sandbox:
        sandbox.run(source, {}, {})
        assert not together(starts(sandbox, 3))
        free[0] = 1 << 62
        # a machine that is busy may start two of them apart from each other; one of a few times it does not
        assert any(together(starts(sandbox, 4)) for _ in range(20))
        free[0] = 0
        with Sandbox(tier=a_tier(), in_flight=3) as asked:
            asked.run(source, {}, {})
            assert any(together(starts(asked, 3)) for _ in range(20))


def test_samples_are_spread_over_servers_of_their_packages() -> None:
    """A server forks one at a time, so it gets few at once. Who asks for one at a time has one server."""
    source = "import time\ndef grade(s, i):\n    time.sleep(i)\n    return 1.0"
    with Sandbox(tier=a_tier(), in_flight=2 * start.PER_SERVER) as sandbox:

        def servers() -> list[int]:
            return sorted(server.process.pid for server in sandbox._pool.servers)  # type: ignore[union-attr]  # it has graded, so it has a pool

        for _ in range(5):
            assert sandbox.run(source, {}, 0).ok
        alone = servers()
        assert all(outcome.ok for outcome in sandbox.run_many([Job(source, {}, 0.1)] * 8))
        together = servers()
        assert all(outcome.ok for outcome in sandbox.run_many([Job(source, {}, 0.1)] * 8))

        assert len(alone) == 1
        assert len(together) == 2
        assert servers() == together


@pytest.mark.parametrize("in_flight", first(1, [1, 2, 3]))
def test_queued_samples_do_not_run(in_flight: int) -> None:
    """A server is sent more than it may run, so that it need not wait for the host; never more run than asked for."""
    source = (
        "import time\ndef grade(s, i):\n    start = time.monotonic()\n    time.sleep(0.1)\n    return start"
    )
    at_once, most = [], 0
    with Sandbox(tier=a_tier(), in_flight=in_flight) as sandbox:
        # every server is up from here on
        list(sandbox.run_many([Job(source, {}, {})] * 3 * in_flight))
        for _ in range(20):
            starts: list[float] = []
            for outcome in sandbox.run_many([Job(source, {}, {})] * 12):
                starts.append(outcome.value or 0.0)
                servers = sandbox._pool.servers  # type: ignore[union-attr]  # there is one: it has just graded
                most = max(most, sum(server.load for server in servers))
            at_once.append(max(sum(0 <= start - other < 0.1 for other in starts) for start in starts))
            # a busy machine may not start as many together as it may
            if at_once[-1] == in_flight < most:
                break

    assert max(at_once) == in_flight
    assert most > in_flight


def test_batched_submissions_wake_the_pool_once() -> None:
    with Sandbox(tier=a_tier()) as sandbox:
        sandbox.run("def grade(s, i):\n    return 1.0", {}, {})
        with sandbox.batch_submissions():
            futures = [sandbox.submit("def grade(s, i):\n    return i", {}, n) for n in range(5)]
            time.sleep(0.3)
            assert not any(future.done() for future in futures)
        assert [future.result(20).value for future in futures] == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.slow
def test_a_source_that_waits_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server keeps so many sources compiled; those of samples that wait in it are among them."""
    monkeypatch.setattr(servers, "SOURCES", 2)
    slow = "import time\ndef grade(s, i):\n    time.sleep(0.5)\n    return 1.0"
    other = "def grade(s, i):\n    return 2.0"
    wrong = ["def", "def ", "def  "]
    with Sandbox(tier=a_tier(), in_flight=2) as sandbox:
        assert (sandbox.run(slow, {}, {}).value, sandbox.run(other, {}, {}).value) == (1.0, 2.0)
        sources = [slow, slow, other, *wrong, slow]
        outcomes = [future.result(30) for future in [sandbox.submit(source, {}, {}) for source in sources]]

    assert [outcome.value for outcome in outcomes] == [1.0, 1.0, 2.0, None, None, None, 1.0], outcomes
    assert [outcome.stage for outcome in outcomes[3:6]] == ["compile"] * 3
