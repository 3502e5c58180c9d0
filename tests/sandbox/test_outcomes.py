"""What becomes of a sample, on every tier that this machine gives."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from graders_sandbox import TIERS, Limits, Outcome, Sandbox
from tests.cases import first
from tests.sandbox.jails import descendants, need

WRITE = "import os\ndef grade(s, i):\n    os.write(3, {})\n    return 1.0\n"
#: source, status, stage, error_type, and a part of the text
CASES = [
    pytest.param("def grade(s, i): return 0.25", "value", "", "", "", id="a float"),
    pytest.param("def grade(s, i): return 3", "value", "", "", "", id="an int"),
    pytest.param("def grade(s, i): return True", "value", "", "", "", id="a bool"),
    pytest.param("def grade(s, i): return 'x'", "bad_return", "", "", "returned a str", id="a text"),
    pytest.param("def grade(s, i): return None", "bad_return", "", "", "NoneType", id="nothing"),
    pytest.param("def grade(s, i): return float('nan')", "bad_return", "", "", "nan", id="nan"),
    pytest.param("def grade(s, i): return 10**400", "bad_return", "", "", "too large", id="a huge int"),
    pytest.param(
        "class F(float):\n    pass\ndef grade(s, i): return F(1)", "bad_return", "", "", "returned a F", id="a float's child"
    ),
    pytest.param("async def grade(s, i): return 1.0", "bad_return", "", "", "coroutine", id="async"),
    pytest.param("def grade(s, i):\n    return {}['k']", "grader_error", "grade", "KeyError", "line 2", id="raises"),
    pytest.param("raise ValueError('top')", "grader_error", "import", "ValueError", "top", id="raises at the top"),
    pytest.param("x = 1", "grader_error", "grade", "NameError", "does not define grade", id="no grade"),
    pytest.param("def grade(s): return 1.0", "grader_error", "grade", "TypeError", "positional", id="one argument"),
    pytest.param("def grade(", "grader_error", "compile", "SyntaxError", "never closed", id="does not compile"),
    pytest.param("def grade(s, i): raise SystemExit(0)", "grader_error", "grade", "SystemExit", "", id="leaves politely"),
    pytest.param("def grade(s, i): exit()", "grader_error", "grade", "SystemExit", "", id="exit()"),
    pytest.param(
        "def grade(s, i): raise KeyboardInterrupt", "grader_error", "grade", "KeyboardInterrupt", "", id="an interrupt"
    ),
    pytest.param(
        "def grade(s, i): return grade(s, i)", "grader_error", "grade", "RecursionError", "", id="recursion"
    ),
    pytest.param(
        "class E(Exception):\n    def __str__(self): raise self\ndef grade(s, i): raise E()",
        "grader_error", "grade", "E", "", id="an error that cannot be printed",
    ),
    pytest.param(
        "def grade(s, i): raise ValueError('a\\x1b[31m\\ud800' + 'z' * 9999)",
        "grader_error", "grade", "ValueError", "\\x1b[31m\\ud800", id="escapes in errors",
    ),
    pytest.param("import os\ndef grade(s, i): os._exit(0)", "no_result", "", "", "exit code 0", id="leaves"),
    pytest.param("import os\ndef grade(s, i): os._exit(70)", "crash", "", "SIGSYS", "", id="leaves as our own code"),
    pytest.param("import os\nos.close(3)\ndef grade(s, i): return 1.0", "no_result", "", "", "", id="closes the pipe"),
    pytest.param(
        "import ctypes\ndef grade(s, i): ctypes.string_at(0)", "crash", "", "SIGSEGV", "SIGSEGV", id="segfault"
    ),
    pytest.param("import os\ndef grade(s, i): os.abort()", "crash", "", "SIGABRT", "", id="abort"),
    pytest.param("def grade(s, i):\n    while True: pass", "timeout", "", "wall", "0.4 s", id="endless"),
    pytest.param("while True: pass", "timeout", "", "wall", "0.4 s", id="endless at the top"),
    pytest.param(
        "import signal, os\ndef grade(s, i):\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n    while True: pass",
        "timeout", "", "wall", "", id="stops itself",
    ),
    pytest.param(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\ndef grade(s, i): return 1.0",
        "value", "", "", "", id="a thread that stays",
    ),
    pytest.param("def grade(s, i): return float(len(bytearray(1 << 33)))", "memory", "grade", "MemoryError", "", id="memory"),
    pytest.param(WRITE.format("b'V' + bytes(8)"), "protocol", "", "", "18 bytes", id="two results"),
    pytest.param(WRITE.format("b'x' * 10**6"), "protocol", "", "", "", id="garbage"),
    pytest.param(WRITE.format("b'E?\\0'"), "protocol", "", "", "", id="an unknown stage"),
    pytest.param(
        "import os, struct\ndef grade(s, i):\n    os.write(3, b'V' + struct.pack('<d', float('inf')))\n    os._exit(0)",
        "protocol", "", "", "", id="claims infinity",
    ),
    pytest.param(
        "import os, struct\ndef grade(s, i):\n    os.write(3, b'V' + struct.pack('<d', 1))\n    os._exit(1)",
        "protocol", "", "", "exit code 1", id="a result and then a failure",
    ),
]  # fmt: skip


@pytest.fixture(scope="module", params=["unsandboxed", *first(2, TIERS)])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "unsandboxed":
        with Sandbox(unsandboxed=True) as sandbox:
            yield sandbox
        return
    need(request.param)
    with Sandbox(tier=request.param) as sandbox:
        yield sandbox


def tier_of(sandbox: Sandbox, request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["sandbox"])


@pytest.mark.parametrize(("source", "status", "stage", "error_type", "text"), CASES)
def test_each_end_has_its_outcome(
    sandbox: Sandbox,
    request: pytest.FixtureRequest,
    source: str,
    status: str,
    stage: str,
    error_type: str,
    text: str,
) -> None:
    """The status tells what happened, the tier travels along, and only "value" carries a value."""
    if "ctypes" in source and tier_of(sandbox, request) == "linux-strict":
        source = "import ctypes\n" + source
    if "(70)" in source and tier_of(sandbox, request) == "unsandboxed":
        # nobody keeps it from the code, and there is no jail to be outside of
        status, error_type = "no_result", ""

    outcome = sandbox.run(source, {}, {}, timeout_s=0.4 if status == "timeout" else 20.0)

    assert (outcome.status, outcome.stage, outcome.error_type) == (status, stage, error_type), outcome
    assert text in outcome.text
    assert len(outcome.text) <= 4096
    assert all(c == "\n" or c.isprintable() for c in outcome.text)
    assert outcome.tier == tier_of(sandbox, request)
    assert (outcome.value is not None) == (status == "value")
    assert outcome.attempts == 1
    assert outcome.samples_per_process == 1


@pytest.mark.parametrize(
    "first",
    [
        "",
        pytest.param(
            "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n", marks=pytest.mark.slow
        ),
    ],
    ids=["plain", "ignores the signal"],
)
def test_the_processor_limit_is_a_timeout(first: str) -> None:
    """A program that uses up its processor time gets a timeout, also if it ignores the signal."""
    with Sandbox(limits=Limits(cpu_s=1)) as sandbox:
        outcome = sandbox.run(first + "while True: pass", {}, {})

    assert [outcome.status, outcome.error_type] == ["timeout", "cpu"], outcome


LIMITS = [
    pytest.param(Limits(memory_bytes=50_000_000), "def grade(s, i): return len(bytearray(100_000_000))", "memory", id="memory"),
    pytest.param(Limits(source_bytes=20), "def grade(s, i): return 1.0", "grader_error", id="source"),
    pytest.param(Limits(payload_bytes=20), "def grade(s, i): return 1.0", "grader_error", id="payload"),
    pytest.param(Limits(wall_s=0.3), "import time\ndef grade(s, i): time.sleep(9)", "timeout", id="wall"),
    pytest.param(
        Limits(descriptors=20), "import os\ndef grade(s, i):\n    while True: os.pipe()", "grader_error", id="descriptors"
    ),
    pytest.param(
        Limits(disk_bytes=100_000), "def grade(s, i):\n    open('f', 'wb').write(b'x' * 10**6)\n    return 1", "disk", id="a file"
    ),
    pytest.param(
        Limits(disk_bytes=1_000_000),
        "import time\ndef grade(s, i):\n    for n in range(99):\n        open(f'f{n}', 'wb').write(b'x' * 100_000)\n"
        "    time.sleep(9)\n    return 1",
        "disk", id="many files",
    ),
    pytest.param(
        Limits(inodes=50),
        "import os, time\ndef grade(s, i):\n    for n in range(99): os.mkdir(f'd{n}')\n    time.sleep(9)\n    return 1",
        "disk", id="inodes",
    ),
]  # fmt: skip


@pytest.mark.parametrize("tier", first(1, ["linux-full", "linux-landlock", "linux-ns"]))
@pytest.mark.parametrize(("limits", "source", "status"), LIMITS)
def test_limits_can_be_set(tier: str, limits: Limits, source: str, status: str) -> None:
    """Each limit holds in each tier that has files, by a file system or by the watcher."""
    need(tier)
    with Sandbox(tier=tier, limits=limits) as sandbox:
        outcome = sandbox.run(source, {}, {})

    assert outcome.status == status, outcome


@pytest.mark.parametrize("hide", ["", "os.unlink('f')"], ids=["named", "deleted but open"])
def test_the_watcher_counts_deleted_open_files(hide: str) -> None:
    """Files that a sample has deleted and holds open are still its own."""
    need("linux-landlock")
    source = (
        "import os, time\ndef grade(s, i):\n    kept = []\n    for n in range(40):\n"
        f"        kept.append(open('f', 'wb'))\n        kept[-1].write(b'x' * 100_000)\n        kept[-1].flush()\n        {hide or 'os.rename(chr(102), str(n))'}\n"
        "    time.sleep(9)\n    return 1"
    )
    with Sandbox(tier="linux-landlock", limits=Limits(disk_bytes=1_000_000)) as sandbox:
        outcome = sandbox.run(source, {}, {})

    assert (outcome.status, outcome.text) == ("disk", "the program left more on disk than its limit")


RANDOM = "import random\ndef grade(s, i): return random.random()"
LATE = "def grade(s, i):\n    r = __import__('random')\n    return r.random()"
NUMPY = "import numpy\ndef grade(s, i): return numpy.random.rand()"
LATE_NUMPY = "m = __import__('numpy')\ndef grade(s, i): return m.random.rand()"
UNSAID = "def grade(s, i): return getattr(__import__('numpy'), 'ran' + 'dom').rand()"
STAR = "from numpy import *\ndef grade(s, i): return random.rand()"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(RANDOM, id="random"),
        pytest.param(STAR, id="numpy, star", marks=pytest.mark.slow),
        pytest.param(LATE, id="late", marks=pytest.mark.slow),
        pytest.param(NUMPY, id="numpy", marks=pytest.mark.slow),
        pytest.param(LATE_NUMPY, id="numpy, late", marks=pytest.mark.slow),
        pytest.param(UNSAID, id="numpy, in grade and unsaid", marks=pytest.mark.slow),
    ],
)
def test_randomness_depends_on_seed_and_key(source: str) -> None:
    """The same seed and key give the same stream; another key or another seed gives another."""
    if "numpy" in source:
        pytest.importorskip("numpy")

    def draw(seed: int, keys: str) -> list[Outcome]:
        with Sandbox(seed=seed) as sandbox:
            return [sandbox.run(source, {}, {}, key=key) for key in keys]

    first, again, other = draw(1, "aab"), draw(1, "ab"), draw(2, "a")

    values = [outcome.value for outcome in first]
    assert values[0] == values[1] != values[2], first
    assert [outcome.value for outcome in again] == values[1:]
    assert other[0].value not in values


def test_numerical_libraries_have_one_thread() -> None:
    """A server with threads must not fork, and samples share the machine."""
    pytest.importorskip("numpy")
    source = (
        "import numpy, os, threading\ndef grade(s, i):\n    numpy.ones((300, 300)) @ numpy.ones((300, 300))\n"
        "    import ctypes\n    return float(os.environ['OPENBLAS_NUM_THREADS']) + threading.active_count()"
    )
    with Sandbox() as sandbox:
        assert sandbox.run(source, {}, {}).value == 2.0


NAP = "import time\ndef grade(s, i):\n    time.sleep(1.5)\n    return 0.5"
WRITES = (
    "def grade(s, i):\n    with open('f', 'wb') as file:\n        file.write(bytes(1 << 20))\n    return 1.0"
)


def samples() -> list[int]:
    """Children that run a sample: beside the standard descriptors they have the result's pipe alone."""
    found = []
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            own = set(os.listdir(f"/proc/{pid}/fd")) - {"0", "1", "2"}
            if own == {"3"} and os.readlink(f"/proc/{pid}/fd/3").startswith("pipe:"):
                found.append(pid)
    return found


def killed_from_outside(sandbox: Sandbox, times: int) -> Outcome:
    """What becomes of a sample that is killed so many times."""
    future = sandbox.submit(NAP, {}, {})
    killed: set[int] = set()
    while not future.done() and len(killed) < times:
        for pid in set(samples()) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.01)
    return future.result(60)


@pytest.mark.parametrize("tier", first(1, TIERS))
@pytest.mark.parametrize(
    ("times", "status", "attempts"),
    [
        pytest.param(1, "value", 2, id="H8 once"),
        pytest.param(5, "infrastructure", 5, id="each time", marks=pytest.mark.slow),
    ],
)
def test_a_sample_that_is_killed_from_outside_is_run_again(
    tier: str, times: int, status: str, attempts: int
) -> None:
    """A kill that the sample's own use does not explain, as by a machine short of memory, is never its score."""
    need(tier)
    with Sandbox(tier=tier, in_flight=1) as sandbox:
        # a kill that met a process before or after it was the sample's is tried again
        for _ in range(5):
            outcome = killed_from_outside(sandbox, times)
            if outcome.attempts == attempts:
                break

    assert (outcome.status, outcome.attempts) == (status, attempts), outcome
    assert (outcome.value is None) == (status != "value")


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_of_the_host_is_not_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H8: where samples write on the host's disk, an honest file that finds no room there scores nothing."""
    need("linux-landlock")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k,mode=777", "none", tmp_path], check=False
    ).returncode:
        pytest.skip("nothing may be mounted here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        with Sandbox(tier="linux-landlock", in_flight=1) as sandbox:
            outcome = sandbox.run(WRITES, {}, {})
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)

    assert (outcome.status, outcome.value) == ("infrastructure", None)
    assert "set TMPDIR to a folder with more room" in outcome.text
