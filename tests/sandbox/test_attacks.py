"""The threat matrix: every row attempted in every tier, each with the exact reason it must fail for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from graders_sandbox import Sandbox
from graders_sandbox.host import attacks
from graders_sandbox.host.attacks import SMALL
from graders_sandbox.host.attacks.attempt import program_of
from graders_sandbox.host.attacks.carryover import UNDONE
from graders_sandbox.host.attacks.matrix import ROWS, AttackCase
from graders_sandbox.host.attacks.targets import AttackTargets
from tests.sandbox.jails import ORDINARY_UID, PACKAGE, need, ordinary_python

# rows of two seconds and more: siblings at work, and all that may carry over
LONG = (
    52,
    54,
    58,
    59,
    60,
    61,
    62,
    67,
)
QUICK = ("linux-full",)
SLOW = ("linux-landlock", "linux-ns", "linux-strict")


class Jails:
    """Targets, and a sandbox of each tier that was asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.targets = self._stack.enter_context(AttackTargets())
        self._sandboxes: dict[str, Sandbox] = {}

    def sandbox(self, tier: str) -> Sandbox:
        if tier not in self._sandboxes:
            need(tier)
            sandbox = Sandbox(tier=tier, limits=SMALL, in_flight=4)
            self._sandboxes[tier] = self._stack.enter_context(sandbox)
        return self._sandboxes[tier]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def jails() -> Iterator[Jails]:
    jails = Jails()
    yield jails
    jails.close()


def attempt(jails: Jails, tier: str, row: int) -> None:
    chosen = attacks.attacks(tier, rows=[row])
    if not chosen:
        pytest.skip(f"row {row} cannot be attempted in {tier}")

    results = list(attacks.attempt(jails.sandbox(tier), jails.targets, chosen))

    missed = [
        f"{r.name}: {r.reason}, expected {' or '.join(r.expected)}. {r.text[-300:]}"
        for r in results
        if not r.held
    ]
    assert not missed, "\n".join(missed)
    # one more result is that of the targets
    assert len(results) == len(chosen) + 1


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.slow if row in LONG else (), id=str(row)) for row in ROWS],
)
@pytest.mark.parametrize("tier", QUICK)
def test_attacks_are_held(tier: str, row: int, jails: Jails) -> None:
    """Nothing gets through, and each attempt fails for the reason that the matrix names."""
    attempt(jails, tier, row)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("tier", SLOW)
def test_attacks_are_held_in_the_other_tiers(tier: str, row: int, jails: Jails) -> None:
    """The same without Landlock, and without a file system."""
    attempt(jails, tier, row)


@pytest.mark.slow
@pytest.mark.parametrize("tier", [*QUICK, *SLOW])
def test_attacks_are_held_at_the_default_limits(tier: str) -> None:
    """Every row again: small limits do not stand in for a wall."""
    need(tier)
    chosen = [a for a in attacks.attacks(tier) if not (isinstance(a, AttackCase) and a.small_limits)]
    with AttackTargets() as targets, Sandbox(tier=tier, in_flight=4) as sandbox:
        results = list(attacks.attempt(sandbox, targets, chosen))

    assert [r for r in results if not r.held] == []
    # What fills these rows' limits is in the next test.
    assert {a.row for a in attacks.attacks(tier)} - {r.row for r in results} <= {19, 23, 24}


@pytest.mark.slow
@pytest.mark.parametrize("tier", QUICK)
def test_attacks_that_fill_the_default_limits_are_held(tier: str) -> None:
    """2 GB of memory, files of more than 1 GB, 60,000 inodes, a sample of 100 MB."""
    need(tier)
    filling = [a for a in attacks.attacks(tier, slow=True) if isinstance(a, AttackCase) and a.default_limits]
    with AttackTargets() as targets, Sandbox(tier=tier, in_flight=1) as sandbox:
        results = list(attacks.attempt(sandbox, targets, filling))

    assert [r for r in results if not r.held] == []
    assert {r.row for r in results} >= {19, 20, 22, 23, 24, 43, 51}


@pytest.mark.parametrize("change", UNDONE, ids=[row[1] for row in UNDONE])
def test_a_carry_over_is_detected(change: tuple[int, str, str, str, tuple[str, ...]], jails: Jails) -> None:
    """Each probe of a carry-over detects the change in the sample that made it."""
    _, name, act, check, _ = change
    source = program_of(f"{act}\n{check}\nreturn 1.0")

    assert jails.sandbox("linux-full").run(source, {}, {}).status == "grader_error", name


def as_user(uid: int, folder: Path, tiers: tuple[str, ...]) -> list[dict[str, object]]:
    """The suite's own report, run by this user with a copy of the package."""
    shutil.copytree(
        PACKAGE / "graders_sandbox", folder / "graders_sandbox", ignore=shutil.ignore_patterns("__pycache__")
    )
    scratch = folder / "tmp"
    scratch.mkdir()
    for path in (folder, *folder.rglob("*")):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    os.chown(scratch, uid, uid)
    if not (python := ordinary_python()):
        pytest.skip("no Python here can be started by an ordinary user: all lie below closed folders")
    command = [python, "-m", "graders_sandbox", "attack", "--json", *(f"--tier={tier}" for tier in tiers)]
    folders = {"TMPDIR": str(scratch), "HOME": str(scratch)}
    env = {**folders, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, user=uid, group=uid, extra_groups=[], cwd=folder, env=env, capture_output=True, timeout=600
    )
    assert done.stdout, done.stderr.decode()
    report: list[dict[str, object]] = json.loads(done.stdout)
    return report


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="the other tests ran as an ordinary user already")
@pytest.mark.parametrize(
    "uid", [pytest.param(ORDINARY_UID, id="an ordinary user"), pytest.param(0, id="root that can step down")]
)
def test_attacks_are_held_for_other_users(uid: int) -> None:
    """Attacks are held for a user without privileges, and for root with a Python that the sandbox's user can read."""
    tiers = (*QUICK, *SLOW) if uid else ("linux-landlock", "linux-strict")

    # pytest closes its own to other users, again and again
    with tempfile.TemporaryDirectory() as folder:
        report = as_user(uid, Path(folder), tiers)

    worked = [tier for tier in report if tier["works"]]
    if not worked:
        pytest.skip(f"no tier works for uid {uid}: {report}")
    missed = [
        (t["tier"], a["row"], a["name"], a["reason"], a["expected"])
        for t in worked
        for a in t["attacks"]  # type: ignore[attr-defined]  # a report is plain JSON
        if not a["held"]
    ]
    assert missed == []
    assert all(len(tier["attacks"]) > 160 for tier in worked)  # type: ignore[arg-type]  # a report is plain JSON


def test_the_matrix_is_whole() -> None:
    """Every row has attempts in the two tiers that most machines get; 160 cases at the least; names are unique."""
    for tier in QUICK:
        chosen = attacks.attacks(tier, slow=True)
        assert {a.row for a in chosen} == set(ROWS)
        assert len(chosen) >= 160
    titles = [a.title for a in attacks.ALL]
    assert len(titles) == len(set(titles))


def test_an_attack_that_fails_for_another_reason_is_reported(jails: Jails) -> None:
    """An attack that fails by a mistake of its own, or that succeeds, is reported."""
    mistaken = AttackCase(
        9, "a mistake", "EPERM", source="def grade(sample, item):\n    return no_such_name\n"
    )
    successful = AttackCase(9, "a success", "EPERM", source="def grade(sample, item):\n    return 0.0\n")

    sandbox = jails.sandbox("linux-strict")
    results = list(attacks.attempt(sandbox, jails.targets, [mistaken, successful]))

    assert [r.reason for r in results] == ["grade NameError", "THROUGH", "untouched"]
    assert [r.held for r in results] == [False, False, True]


def test_a_touched_target_is_reported() -> None:
    """A changed file, a new file, a connection, a signal: they are reported."""
    import socket
    import time

    with AttackTargets() as targets:
        assert targets.touched() == []
        item = targets.item()
        os.chmod(targets.file, 0o777)
        Path(targets.folder, "new").touch()
        socket.create_connection(("127.0.0.1", item["tcp"])).close()
        targets.victim.kill()
        targets.victim.wait()
        ends = time.monotonic() + 10
        while (
            "the tcp listener was reached" not in (touched := targets.touched()) and time.monotonic() < ends
        ):
            time.sleep(0.01)

    assert {"the file", "the folder's content", "the process", "the tcp listener was reached"} <= set(touched)


@pytest.mark.slow
def test_the_command_reports_how_many_held(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m graders_sandbox attack` says how many held, as text and as JSON; 0 when all did."""
    from graders_sandbox.host.attacks import main

    assert main(["--tier", "linux-strict", "--row", "7"]) == 0
    assert "4 of 4 held, rows 1 of 67" in capsys.readouterr().out
    assert main(["--tier", "linux-strict", "--row", "7", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["tier"] == "linux-strict"
    assert [attack["reason"] for attack in report["attacks"]] == ["EPERM", "EPERM", "EPERM", "untouched"]
