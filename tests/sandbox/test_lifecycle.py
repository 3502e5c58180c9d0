"""Callers of every kind, and what is left behind: nothing."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import mmap
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from graders_sandbox import TIERS, Job, Limits, Sandbox, read_source
from graders_sandbox.host import scratch, start, visible
from graders_sandbox.host.sources import imports, reading
from graders_sandbox.host.wasm_pool import WasmPool
from graders_sandbox.jail import hugepages
from tests.cases import first
from tests.sandbox.jails import PACKAGE, a_tier, alive, descendants, need, until

DOUBLE = "def grade(sample, item): return item['x'] * 2.0"
SLOW = "import time\ndef grade(sample, item):\n    time.sleep(60)\n    return 1.0"
TIERS_TO_KILL = ["linux-full", "linux-landlock", "linux-ns"]


def descriptors() -> set[str]:
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


def test_run_many_is_lazy_and_in_order() -> None:
    """Outcomes come as the jobs did, and jobs are read as they are needed."""
    read = []

    def jobs() -> Any:
        for x in range(200):
            read.append(x)
            yield Job(DOUBLE, {}, {"x": x})

    with Sandbox(tier=a_tier(), in_flight=2) as sandbox:
        outcomes = sandbox.run_many(jobs())
        first = [next(outcomes).value for _ in range(5)]
        ahead = len(read)
        rest = [outcome.value for outcome in outcomes]

    assert first + rest == [x * 2.0 for x in range(200)]
    assert ahead < 20


def test_closing_run_many_stops_samples_in_flight() -> None:
    """Closing run_many stops the samples in flight."""
    with Sandbox(tier=a_tier(), in_flight=2) as sandbox:
        outcomes = sandbox.run_many([Job(DOUBLE, {}, {"x": 1}), *[Job(SLOW, {}, {})] * 4])
        next(outcomes)
        outcomes.close()

        started = time.monotonic()
        assert sandbox.run(DOUBLE, {}, {"x": 4}).value == 8.0
        # the four that were not stopped would take a minute each
        assert time.monotonic() - started < 50


def test_a_cancelled_sample_is_stopped() -> None:
    """Its process ends and its place is free again."""
    with Sandbox(tier=a_tier(), in_flight=1) as sandbox:
        sandbox.run(DOUBLE, {}, {"x": 1})
        future = sandbox.submit(SLOW, {}, {})
        assert until(lambda: len(descendants(os.getpid())) > 0)
        assert future.cancel()

        assert wait([future], 60).done == {future}
        assert sandbox.run(DOUBLE, {}, {"x": 4}, timeout_s=20).value == 8.0


def test_async_callers_get_outcomes_and_cancel() -> None:
    """arun and arun_many answer, and cancelling a task cancels the sample."""

    async def main(sandbox: Sandbox) -> list[float | None]:
        several = await asyncio.gather(*[sandbox.arun(DOUBLE, {}, {"x": x}) for x in range(8)])
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sandbox.arun(SLOW, {}, {}), 0.3)
        many = [outcome.value async for outcome in sandbox.arun_many([Job(DOUBLE, {}, {"x": 9})])]
        return [outcome.value for outcome in several] + many

    with Sandbox(tier=a_tier(), in_flight=2) as sandbox:
        assert asyncio.run(main(sandbox)) == [0, 2, 4, 6, 8, 10, 12, 14, 18]


def test_threads_share_a_sandbox() -> None:
    """Many threads share one sandbox; a thread that starts it and ends does not take the servers along."""
    values: dict[int, float | None] = {}
    with Sandbox(tier=a_tier()) as sandbox:
        first = threading.Thread(target=lambda: sandbox.run(DOUBLE, {}, {"x": 0}))
        first.start()
        first.join()
        time.sleep(0.1)

        def work(number: int) -> None:
            for x in range(5):
                values[number * 5 + x] = sandbox.run(DOUBLE, {}, {"x": number * 5 + x}).value

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert values == {x: x * 2.0 for x in range(40)}


def test_close_leaves_nothing_and_the_sandbox_can_be_used_again() -> None:
    """No process, no descriptor, no thread; and then it works as before."""
    tier = a_tier()
    sandbox = Sandbox(tier=tier)
    sandbox.run(DOUBLE, {}, {"x": 1})
    sandbox.close()
    before = descriptors(), threading.active_count()
    # processes of what other tests keep open
    others = set(descendants(os.getpid()))

    for _ in range(3):
        waiting = [sandbox.submit(SLOW, {}, {}) for _ in range(3)]
        assert sandbox.run(DOUBLE, {}, {"x": 3}).value == 6.0
        below = set(descendants(os.getpid())) - others
        sandbox.close()

        assert [future.result(1).status for future in waiting] == ["infrastructure"] * 3
        assert below
        assert not any(map(alive, below))
    assert (descriptors(), threading.active_count()) == before


def test_close_from_a_callback() -> None:
    """close() on the sandbox's own thread does not wait for that thread."""
    sandbox = Sandbox(tier=a_tier())
    future = sandbox.submit(DOUBLE, {}, {"x": 1})
    done = threading.Event()

    def close(_: object) -> None:
        sandbox.close()
        done.set()

    future.add_done_callback(close)

    assert done.wait(60)
    assert future.result().value == 2.0


def in_child(sandbox: Sandbox, answers: Any) -> None:
    answers.put(sandbox.run(DOUBLE, {}, {"x": 21}).value)
    sandbox.close()


def spawned(tier: str, answers: Any) -> None:
    with Sandbox(tier=tier) as sandbox:
        in_child(sandbox, answers)


# that forking with threads is unwise is the point
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("tier", TIERS_TO_KILL)
def test_a_forked_caller_has_its_own(tier: str) -> None:
    """The child of a caller works, does not touch the parent's servers, and does not keep them alive."""
    need(tier)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with Sandbox(tier=tier) as sandbox:
        running = sandbox.submit("import time\ndef grade(s, i):\n    time.sleep(0.5)\n    return 5.0", {}, {})
        sandbox.run(DOUBLE, {}, {"x": 1})
        child = context.Process(target=in_child, args=(sandbox, answers))
        child.start()

        assert answers.get(timeout=120) == 42.0
        child.join(60)
        assert running.result().value == 5.0
        assert sandbox.run(DOUBLE, {}, {"x": 2}).value == 4.0


def test_a_forked_child_does_not_keep_servers_alive() -> None:
    """When the parent closes, its servers end although a forked child of it lives on."""
    # processes of what other tests keep open
    others = set(descendants(os.getpid()))
    sandbox = Sandbox(tier=a_tier())
    sandbox.run(DOUBLE, {}, {"x": 1})
    servers = set(descendants(os.getpid())) - others
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)

    sandbox.close()

    assert servers
    assert not any(map(alive, servers))
    os.close(write)
    os.waitpid(pid, 0)


def test_a_spawned_caller_has_its_own() -> None:
    """Spawn works as well."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=spawned, args=(a_tier(), answers))
    child.start()

    assert answers.get(timeout=120) == 42.0
    child.join(60)


@pytest.mark.parametrize("tier", first(1, ["linux-full", "linux-landlock", "linux-ns"]))
@pytest.mark.parametrize("mode", ["0o600", "0o400", "0o000", "0o100"])
def test_a_folder_that_its_owner_closed_is_open_to_the_next(tier: str, mode: str) -> None:
    """Empty and closed: whoever gets the folder next neither fails nor has to be run again."""
    need(tier)
    closes = f"import os\ndef grade(s, i):\n    os.chmod('.', {mode})\n    return 1.0"
    writes = "def grade(s, i):\n    open('x', 'w').write('1')\n    return 2.0"
    with Sandbox(tier=tier, in_flight=2) as sandbox:
        # more than there are folders
        for source, value in [(closes, 1.0), (writes, 2.0)] * 8:
            outcome = sandbox.run(source, {}, {})
            assert (outcome.value, outcome.attempts) == (value, 1), outcome


def test_cancelling_just_when_samples_end_breaks_nothing() -> None:
    """A future that is cancelled between its sample's end and its outcome: the sandbox's thread goes on."""
    moments = random.Random(5)
    with Sandbox(tier=a_tier(), in_flight=4) as sandbox:
        for _ in range(60):
            futures = [sandbox.submit("def grade(s, i): return 1.0", {}, {}) for _ in range(4)]
            time.sleep(moments.uniform(0, 0.006))
            for future in futures:
                future.cancel()
            for future in futures:
                assert future.cancelled() or future.result(20).value == 1.0
        assert sandbox.run("def grade(s, i): return 2.0", {}, {}).value == 2.0


INTERRUPTED = f"""
import signal, sys, threading
sys.path.insert(0, {str(PACKAGE)!r})
from graders_sandbox import Sandbox
signal.signal(signal.SIGINT, lambda number, frame: None)
with Sandbox() as sandbox:
    future = sandbox.submit("import time\\ndef grade(s, i):\\n    time.sleep(1.0)\\n    return 1.0", {{}}, {{}})
    assert sandbox.run("def grade(s, i): return 1.0", {{}}, {{}}).ok  # now both run
    print("up", flush=True)
    outcome = future.result()
    print(outcome.status, outcome.attempts, outcome.text, flush=True)
"""


def test_an_interrupt_from_the_terminal_reaches_no_sample() -> None:
    """Ctrl-C goes to every process of the terminal's foreground group. What it means for samples is the host's to say."""
    host = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert host.stdout is not None
    assert host.stdout.readline() == "up\n"
    os.killpg(host.pid, signal.SIGINT)
    assert host.stdout.readline() == "value 1 \n"
    assert host.wait(60) == 0
    host.stdout.close()


HOST = f"""
import sys, threading, time
sys.path.insert(0, {str(PACKAGE)!r})
from graders_sandbox import Job, Sandbox
sandbox = Sandbox(tier=sys.argv[1], in_flight=3)
source = "import os, time\\ndef grade(s, i):\\n    open('left', 'w').write('x')\\n    time.sleep(i['t'])\\n    return 1.0"
print("up", flush=True)
for outcome in sandbox.run_many(Job(source, {{}}, {{"t": 0.002 * (n % 9)}}) for n in range(10**9)):
    pass
"""


def kill_a_host(tier: str, after_s: float, folder: str) -> float:
    """Start a host that grades, kill it, and wait until nothing of it is left; seconds."""
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, tier],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": folder},
    )
    assert host.stdout is not None
    host.stdout.readline()
    time.sleep(after_s)
    below = descendants(host.pid)

    host.kill()
    host.wait()
    started = time.monotonic()

    host.stdout.close()
    assert until(lambda: not any(map(alive, below)))
    # in the tier without a mount namespace the folders lie outside of the jail
    servers = -(-3 // start.PER_SERVER) if tier == "linux-landlock" else 0
    assert len(os.listdir(folder)) <= servers
    return time.monotonic() - started


def kill_hosts(tier: str, moments: list[float], monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[float]:
    """Kill a host at each moment; how many seconds each time passed until nothing of it was left."""
    need(tier)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    seconds = []
    for after_s in moments:
        seconds.append(kill_a_host(tier, after_s, str(folder)))
        assert str(folder) not in Path("/proc/self/mounts").read_text()
        scratch.sweep()
        assert os.listdir(folder) == []
    return seconds


@pytest.mark.parametrize("tier", first(1, TIERS_TO_KILL))
def test_a_killed_host_leaves_nothing(tier: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After SIGKILL of the host no process is left, and its folders go at the next start."""
    kill_hosts(tier, [0.6], monkeypatch, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS_TO_KILL)
def test_a_host_killed_at_random_moments_leaves_nothing(
    tier: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same at twenty moments, from before the first server is up; usually within 2 s."""
    moments = random.Random(7)
    seconds = kill_hosts(tier, [moments.uniform(0.0, 0.8) for _ in range(20)], monkeypatch, tmp_path)

    # the median, since a busy machine is late with some
    assert statistics.median(seconds) < 2.0, seconds


#: Processes below the one that the host started, before any sample: the server, its watcher where there is one, the template.
HELPERS = {"linux-full": 2, "linux-ns": 2, "linux-landlock": 3, "linux-strict": 1}


def servers_of(sandbox: Sandbox, known: dict[int, list[int]]) -> list[int]:
    """Servers and what they need, but no sample. `known`: helpers by server, as they were when it was first seen."""
    assert not isinstance(sandbox._pool, WasmPool)
    servers = list(sandbox._pool.servers) if sandbox._pool else []
    for server in servers:
        if server.ready and server.process.pid not in known:
            known[server.process.pid] = descendants(server.process.pid)[: HELPERS[sandbox._choice.tier]]
    return [pid for server in servers for pid in (server.process.pid, *known.get(server.process.pid, ()))]


def kill_servers_under(tier: str, count: int, every: int) -> None:
    """Grade `count` samples; kill a server, outer or inner, whenever so many outcomes have come.

    On a busy machine a kill may meet a server that has no sample just then: rounds go on until one had.
    """
    need(tier)
    choice = random.Random(3)
    source = "import time\ndef grade(s, i):\n    time.sleep(0.01)\n    return i['x'] + 1.0"
    known: dict[int, list[int]] = {}
    with Sandbox(tier=tier, in_flight=4) as sandbox:
        for _ in range(5):
            values, attempts = [], []
            for outcome in sandbox.run_many(Job(source, {}, {"x": x}) for x in range(count)):
                values.append(outcome.value)
                attempts.append(outcome.attempts)
                if len(values) % every == 0 and (servers := servers_of(sandbox, known)):
                    with suppress(ProcessLookupError):
                        os.kill(choice.choice(servers), signal.SIGKILL)

            assert values == [x + 1.0 for x in range(count)]
            if max(attempts) > 1:
                return
    pytest.fail("no kill met a sample")


@pytest.mark.parametrize("tier", first(1, TIERS_TO_KILL))
def test_killed_servers_lose_no_sample(tier: str) -> None:
    """Samples of a dying server are graded on a fresh one; none is lost and none scores 0."""
    kill_servers_under(tier, 60, 15)


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS_TO_KILL)
def test_killed_servers_lose_no_sample_at_length(tier: str) -> None:
    """The same for longer."""
    kill_servers_under(tier, 1000, 23)


def test_a_hung_server_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is ended by the host's watchdog, and its samples are graded elsewhere."""
    # a sample may take 20 s, and a server that knows its source counts as hung after one
    monkeypatch.setattr("graders_sandbox.host.pool.GRACE_S", -19.0)
    with Sandbox(tier=a_tier()) as sandbox:
        sandbox.run(DOUBLE, {}, {"x": 1})
        for pid in servers_of(sandbox, {}):
            os.kill(pid, signal.SIGSTOP)

        outcome = sandbox.run(DOUBLE, {}, {"x": 2}, timeout_s=20.0)

    assert (outcome.value, outcome.attempts) == (4.0, 2)


@pytest.mark.slow
def test_the_least_recently_used_server_ends() -> None:
    """Servers are kept by the packages that sources name; plain sources share one."""
    pytest.importorskip("numpy")
    pytest.importorskip("yaml")
    pytest.importorskip("rapidfuzz")
    sources = [
        f"import {name}\ndef grade(s, i): return 1.0"
        for name in ("json", "numpy", "yaml", "csv", "rapidfuzz", "numpy")
    ]
    with Sandbox(tier=a_tier(), servers=2) as sandbox:
        kept = []
        for source in sources:
            assert sandbox.run(source, {}, {}).ok
            kept.append([",".join(sorted(server.packages)) for server in sandbox._pool.servers])  # type: ignore[union-attr]  # it has graded, so it has a pool

    assert kept == [
        [""],
        ["", "numpy"],
        ["numpy", "yaml"],
        ["yaml", ""],
        ["", "rapidfuzz"],
        ["rapidfuzz", "numpy"],
    ]


def test_a_host_without_descriptors_reports_it() -> None:
    """A host out of descriptors gives infrastructure outcomes with the reason, until it has descriptors again."""
    import resource

    with Sandbox(tier=a_tier(), limits=Limits(wall_s=5)) as sandbox:
        sandbox.run(DOUBLE, {}, {"x": 1})
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(map(int, os.listdir("/proc/self/fd"))) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        blocks = []
        try:
            while True:
                blocks.append(os.dup(0))
        except OSError:
            pass
        try:
            outcome = sandbox.run(DOUBLE, {}, {"x": 1})
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for block in blocks:
                os.close(block)

        assert outcome.status == "infrastructure"
        assert "Too many open files" in outcome.text
        assert sandbox.run(DOUBLE, {}, {"x": 3}).value == 6.0


UNFIT = {
    "starts_a_thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
    "aborts_in_a_server": "import os, sys\nif 'grader_program' not in sys.modules:\n    os.abort()",
    "leaves_the_server": "import os, sys\nif 'grader_program' not in sys.modules:\n    os._exit(0)",
    "raises": "raise RuntimeError('on import')",
    "leaves": "raise SystemExit('on import')",
    "interrupts": "raise KeyboardInterrupt('on import')",
}
RAISED = {"raises": "RuntimeError", "leaves": "SystemExit", "interrupts": "KeyboardInterrupt"}


def install(name: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One more package of the hosted image."""
    (tmp_path / f"{name}.py").write_text(text)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name and folder.stat().st_mode & 0o055 != 0o055:
            # samples may run as another user
            folder.chmod(0o755)
    paths = [*visible.python_paths(), str(tmp_path)]
    monkeypatch.setattr(visible, "python_paths", lambda: paths)
    monkeypatch.setattr(imports, "HOSTED", imports.HOSTED | {name})
    monkeypatch.syspath_prepend(str(tmp_path))
    imports.is_module.cache_clear()
    reading._known.clear()


@pytest.mark.parametrize("tier", ["linux-full", "linux-landlock", "linux-ns"])
def test_a_package_may_use_temporary_files_while_it_is_loaded(
    tier: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package is loaded once for all samples, and each sample has its own folder for temporary files."""
    need(tier)
    install(
        "temporary",
        "import os, tempfile\nwith tempfile.NamedTemporaryFile() as file:\n    pid = os.getpid()\nopen(file.name, 'w')\n",
        monkeypatch,
        tmp_path,
    )
    source = (
        "import temporary, os, tempfile\ndef grade(s, i):\n    assert os.listdir('.') == []\n"
        "    with tempfile.NamedTemporaryFile() as file:\n        assert os.listdir('.') == [os.path.basename(file.name)]\n"
        "    return temporary.pid"
    )
    with Sandbox(tier=tier, in_flight=1) as sandbox:
        outcomes = [sandbox.run(source, {}, {}) for _ in range(5)]

    assert all(outcome.ok for outcome in outcomes), outcomes
    assert len({outcome.value for outcome in outcomes}) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root may look at the memory of a server")
@pytest.mark.parametrize(
    "held",
    [
        pytest.param("bytearray(b'x') * (32 << 20)", id="one large object"),
        pytest.param("[bytes(400) for _ in range(80_000)]", id="many small ones, which lie on one stretch"),
    ],
)
def test_packages_are_forked_from_huge_pages(
    held: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a package brings is copied with few entries, also after samples have run (benchmarks/packages.py)."""
    if not makes_huge_pages():
        pytest.skip("the kernel makes none")
    install("large", f"held = {held}\n", monkeypatch, tmp_path)
    with Sandbox(tier=a_tier(), in_flight=1) as sandbox:
        assert sandbox.run("import large\ndef grade(s, i): return len(large.held)", {}, {}).ok

        huge = [huge_kb(pid) for pid in descendants(os.getpid())]

    # a server and its templates; the reader and others have none
    assert sum(kb >= 24 << 10 for kb in huge) >= 2, huge


def makes_huge_pages() -> bool:
    size = 2 * hugepages.SIZE
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = b"x" * size
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return hugepages.use([(start, start + size)]) > 0


def huge_kb(pid: int) -> int:
    """The size of a process's huge pages; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))


@pytest.mark.parametrize("name", UNFIT)
def test_a_package_that_breaks_servers_is_imported_by_samples(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that such a package spoils is replaced by one without; samples import it, with its own outcome."""
    install(name, UNFIT[name], monkeypatch, tmp_path)
    with Sandbox(tier=a_tier()) as sandbox:
        outcomes = [sandbox.run(f"import {name}\ndef grade(s, i): return 1.0", {}, {}) for _ in range(2)]
        assert sandbox.run(DOUBLE, {}, {"x": 2}).value == 4.0

    if name in RAISED:
        assert [(o.stage, o.error_type) for o in outcomes] == [("import", RAISED[name])] * 2
        assert not caplog.messages
    else:
        assert [(o.value, o.attempts) for o in outcomes] == [(1.0, 1)] * 2, outcomes
        assert len(caplog.messages) == 1
        assert f"{name} are imported by every sample anew" in caplog.messages[0]


WITNESS = """
import os, sys
by = "grader_program" if "grader_program" in sys.modules else "the server"
done = []
for act in (lambda: open("/etc/passwd"), lambda: __import__("socket").socket(), lambda: os.execv("/bin/true", ["true"])):
    try:
        act()
    except OSError:
        continue
    done.append(act)
"""


@pytest.mark.parametrize("tier", ["linux-full", "linux-landlock", "linux-ns"])
def test_packages_are_loaded_behind_the_filter(
    tier: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A module that a source chose is imported once for all samples, and can do there no more than a sample can."""
    need(tier)
    install("witness", WITNESS, monkeypatch, tmp_path)
    source = "import witness\ndef grade(s, i):\n    assert witness.by == 'the server'\n    return len(witness.done)"
    with Sandbox(tier=tier) as sandbox:
        outcome = sandbox.run(source, {}, {})

    assert outcome.value == 0.0, outcome


NEVER_AHEAD = [
    # module, what may be loaded ahead of the samples
    pytest.param("unittest.__main__", "unittest", id="C3 a command line of the standard library"),
    pytest.param("jsonschema.__main__", "jsonschema", id="C3 a command line of a package"),
    pytest.param("numpy.f2py.__main__", "numpy.f2py", id="C3 a command line inside a package"),
    pytest.param("scipy.conftest", "scipy", id="settings of a test suite"),
    pytest.param("numpy.linalg.tests.test_linalg", "numpy.linalg", id="a test suite"),
    pytest.param("jsonschema.benchmarks.unused_registry", "jsonschema", id="a benchmark"),
    pytest.param("test.test_os", "", id="Python's own tests"),
    pytest.param("__main__", "", id="the caller"),
]


@pytest.mark.parametrize(("module", "ahead"), NEVER_AHEAD)
def test_command_lines_and_test_suites_are_not_loaded_ahead(module: str, ahead: str) -> None:
    """Modules that run a program when imported are left to the sample that imports them."""
    found = read_source(f"import {module}\n").to_load

    assert found.packages | found.standard - {imports.NUMPY_RANDOM} <= {ahead}


@pytest.mark.parametrize("tier", first(1, TIERS))
@pytest.mark.parametrize("module", ["unittest.__main__", "jsonschema.__main__"])
def test_an_import_that_leaves_is_its_graders_own_error(tier: str, module: str) -> None:
    """C3: as the first program or a later one, it neither ends a server nor costs the tier."""
    need(tier)
    with Sandbox(tier=tier) as sandbox:
        outcomes = [sandbox.run(f"import {module}\ndef grade(s, i): return 1.0", {}, {}) for _ in range(2)]
        after = sandbox.run(DOUBLE, {}, {"x": 2})

    assert [(o.status, o.stage, o.attempts) for o in outcomes] == [("grader_error", "import", 1)] * 2, (
        outcomes
    )
    assert after.value == 4.0


def test_a_thread_that_fails_loses_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours ends in outcomes that say so, and the next sample has a new thread."""
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    with Sandbox(tier=a_tier()) as sandbox:
        sandbox.run(DOUBLE, {}, {"x": 1})
        with monkeypatch.context() as broken:
            broken.setattr(sandbox._pool, "_send", lambda *a: 1 / 0)
            outcome = sandbox.run(DOUBLE, {}, {"x": 1})

        assert outcome.status == "infrastructure"
        assert "ZeroDivisionError" in outcome.text
        assert sandbox.run(DOUBLE, {}, {"x": 2}).value == 4.0
