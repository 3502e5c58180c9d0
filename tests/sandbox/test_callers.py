"""Callers whose own settings, limits or system get in the way: it works, or the refusal names the limit and what helps."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from graders_sandbox import TIERS, Sandbox
from graders_sandbox.host import visible
from tests.cases import first
from tests.sandbox.jails import alive, descendants, need, run_script, until

ONE = "def grade(s, i): return 1.0"

SETTINGS = """
import json, resource, signal, sys, threading
from graders_sandbox import Sandbox
exec(sys.argv[1])
with Sandbox() as sandbox:
    outcome = sandbox.run("import re\\ndef grade(s, i): return 1.0", {}, {})
print(json.dumps([outcome.status, outcome.text]))
"""
CALLERS = [
    # what the caller did, what the refusal says; "" when there is none
    pytest.param("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "", id="A10 ignores the ends of its children"),
    pytest.param("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))", "", id="holds back every signal"),
    pytest.param("import os; os.umask(0o077)", "", id="shares nothing that it makes"),
    pytest.param("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", "`ulimit -Hn`) is 64, and a sandbox needs 128: raise it, or lower the sandbox's limit descriptors", id="A14 few descriptors"),
    pytest.param("resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))", "`ulimit -Hn`) is 100", id="A14 descriptors for itself alone"),
    pytest.param("resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))", "", id="just enough descriptors"),
    pytest.param("resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))", "`ulimit -Hv`) is 1000000000", id="A14 little address space"),
    pytest.param("resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))", "`ulimit -Hf`) is 4096", id="A14 small files"),
    pytest.param("resource.setrlimit(resource.RLIMIT_CPU, (60, 60))", "`ulimit -Ht`) is 60", id="little processor time"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "said"), first(4, CALLERS))
def test_a_callers_own_limits(setting: str, said: str) -> None:
    """Limits and signals that a caller hands down do not break the sandbox; a limit that is too low is named."""
    status, text = run_script(SETTINGS, setting)

    assert status == ("infrastructure" if said else "value"), text
    assert said in text


REFUSING = """
import errno, json, sys
from graders_sandbox import Sandbox
from graders_sandbox.linux import seccomp, sys as kernel
code = seccomp._head()
for name in sys.argv[1].split(","):
    code += seccomp._when(name, seccomp._refuse(getattr(errno, sys.argv[2])))
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.load(code + seccomp._op(seccomp._RET, seccomp._ALLOW))
with Sandbox() as sandbox:
    outcome = sandbox.run("import re\\ndef grade(s, i): return 1.0", {}, "x" * 100_000)
print(json.dumps([outcome.status, outcome.tier, outcome.text]))
"""
MACHINES = [
    # calls that the machine or its container refuses, with which error, the tier; "" for a refusal, with what it says
    pytest.param("memfd_create", "ENOSYS", "linux-full", "", id="A14 no files in memory"),
    pytest.param("memfd_create", "EPERM", "linux-full", "", id="a container that refuses them"),
    pytest.param("close_range", "ENOSYS", "linux-full", "", id="before Linux 5.9"),
    pytest.param("unshare", "EPERM", "linux-landlock", "", id="default Docker"),
    pytest.param("unshare", "ENOSPC", "linux-landlock", "", id="no user namespaces"),
    pytest.param("mount", "EPERM", "linux-landlock", "", id="namespaces without mounts"),
    pytest.param("unshare,landlock_create_ruleset", "ENOSYS", "linux-strict", "", id="neither of both"),
    pytest.param("landlock_create_ruleset", "EOPNOTSUPP", "linux-ns", "", id="Landlock switched off"),
    pytest.param("seccomp", "ENOSYS", "", "a kernel with CONFIG_SECCOMP_FILTER", id="no seccomp"),
    pytest.param("seccomp,unshare,landlock_create_ruleset", "EPERM", "", "`python -m graders_sandbox doctor`", id="nothing at all"),
    pytest.param("signalfd4", "ENOSYS", "", "signalfd4: Function not implemented", id="no descriptors of signals"),
    pytest.param("capset", "EPERM", "", "capset: Operation not permitted", id="capabilities that cannot be dropped"),
]  # fmt: skip


@pytest.mark.parametrize(("refused", "error", "tier", "said"), first(4, MACHINES))
def test_restricted_machines(refused: str, error: str, tier: str, said: str) -> None:
    """The strongest tier that the machine gives, or a refusal that says what is missing; never a score without a wall."""
    for needed in ("linux-full", "linux-landlock", "linux-ns"):
        need(needed)

    status, got, text = run_script(REFUSING, refused, error)

    assert (status, got) == (("value", tier) if tier else ("infrastructure", "")), text
    assert said in text


THREADS = """
import threading, time
threading.stack_size(65536)
def grade(sample, item):
    started = 0
    try:
        while started < 5000:
            threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    return started
"""


@pytest.mark.parametrize("tier", ["linux-full", "linux-ns"])
def test_threads_are_bounded_at_the_default_limits(tier: str) -> None:
    """H4: also of root, whom the kernel's limit of processes does not hold: samples are a user of their own."""
    need(tier)
    with Sandbox(tier=tier) as sandbox:
        assert sandbox.run("import os\ndef grade(s, i): return os.getuid()", {}, {}).value == 1000
        assert sandbox.run(THREADS, {}, {}).value < 1000  # type: ignore[operator]  # a value, since the sample ended well


@pytest.mark.skipif(os.getuid() != 0, reason="root's files are the point")
@pytest.mark.parametrize("tier", ["linux-full", "linux-ns"])
def test_roots_own_files_are_closed(tier: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """M10: a file that other users may not read is not readable inside either, below a folder that is shown."""
    need(tier)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name and folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
    (tmp_path / "secret.env").write_text("KEY=1")
    (tmp_path / "secret.env").chmod(0o600)
    paths = [*visible.python_paths(), str(tmp_path)]
    monkeypatch.setattr(visible, "python_paths", lambda: paths)
    with Sandbox(tier=tier) as sandbox:
        outcome = sandbox.run("def grade(s, i): return len(open(i).read())", {}, str(tmp_path / "secret.env"))

    assert outcome.error_type == "PermissionError", outcome


def watchers() -> list[int]:
    """Processes below this one outside of seccomp that have a Python of ours for a parent: those that look at disks."""
    return [
        pid for pid in descendants(os.getpid()) if alive(pid) and not held(pid) and parent(pid) != os.getpid()
    ]


def held(pid: int) -> bool:
    try:
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_a_stopped_watcher_ends_with_its_host() -> None:
    """M11: also when it cannot read that its server has gone."""
    need("linux-landlock")
    before = set(watchers())
    sandbox = Sandbox(tier="linux-landlock", in_flight=1)
    sandbox.run(ONE, {}, {})
    own = set(watchers()) - before
    for pid in own:
        os.kill(pid, signal.SIGSTOP)

    sandbox.close()

    assert own
    assert until(lambda: not any(map(alive, own)))


@pytest.mark.slow
def test_a_stopped_watcher_costs_its_server() -> None:
    """M11: without signs of life nothing bounds what samples write, so that they run again on another server."""
    need("linux-landlock")
    before = set(watchers())
    with Sandbox(tier="linux-landlock", in_flight=1) as sandbox:
        sandbox.run(ONE, {}, {})
        stopped = set(watchers()) - before
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        outcome = sandbox.run("import time\ndef grade(s, i):\n    time.sleep(14)\n    return 1.0", {}, {})

    assert (outcome.value, outcome.attempts) == (1.0, 2), outcome
    assert time.monotonic() - started > 14


def test_every_tier_is_tried() -> None:
    """The tables above name all tiers."""
    assert {case.values[2] for case in MACHINES} - {""} == set(TIERS)
