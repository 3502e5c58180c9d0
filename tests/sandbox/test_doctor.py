"""The doctor counts only what it has witnessed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator

import pytest

from graders_sandbox import Sandbox
from graders_sandbox.host import attacks, doctor
from graders_sandbox.host.attacks import AttackResult
from graders_sandbox.host.attacks.matrix import ROWS
from tests.sandbox.jails import a_tier, need


@pytest.mark.slow
def test_a_sound_machine_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """Every protection is witnessed, Python inside is the one outside, packages import; as JSON, and 0."""
    tier = a_tier()

    code = doctor.main(["--tier", tier, "--json"])

    found = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert [f for f in found.values() if f["held"] is False] == []
    assert code == 0
    assert found["tier"]["text"] == tier
    assert {name for name, _ in doctor.PROTECTIONS} <= found.keys()
    assert all(
        found[name]["held"] for name in ("Python inside", "numpy", "speed", "network", "other samples")
    )
    assert found["bounds"]["text"] == doctor.BOUNDS[tier]


def test_protections_cover_the_quick_rows() -> None:
    """Rows that are no protections of their own, but outcomes, are left to the attack suite."""
    covered = {row for _, rows in doctor.PROTECTIONS for row in rows}

    assert covered <= ROWS.keys()
    assert ROWS.keys() - covered == {26, 36, 40, 42, 43, 46, 47, 49, 50, 51, 55, 56, 57, 58, 59, 66, 67}


def test_an_untested_protection_counts_as_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One attempt that gets through makes its protection absent, names the attempt, and the exit code 1."""
    need("linux-strict")

    def attempt(sandbox: Sandbox, targets: object, chosen: Iterable[object]) -> Iterator[AttackResult]:
        yield AttackResult(1, "connect TCP", False, False, "THROUGH", ("EPERM",))

    monkeypatch.setattr(attacks, "attempt", attempt)

    protections = list(doctor.check_protections("linux-strict"))

    assert {p.held for p in protections} == {False}
    assert "connect TCP: THROUGH, expected EPERM" in protections[0].text
    assert protections[0].advice


def test_another_python_inside_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relocated Python that loads another library tells itself by its version, or by a module that does not load."""
    with Sandbox(tier=a_tier()) as sandbox:
        monkeypatch.setattr(doctor, "_LATE", "ssl, no_such_module")
        broken = doctor._python(sandbox)
        monkeypatch.undo()
        monkeypatch.setattr(sys, "version_info", (3, 10, 0, "final", 0))
        other = doctor._python(sandbox)

    assert (broken.held, other.held) == (False, False)
    assert "no_such_module" in broken.text
    assert "AssertionError" in other.text


def test_doctor_fails_where_no_tier_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor says why no tier works and exits with 1."""
    from graders_sandbox import SandboxUnavailable

    def refused(sandbox: Sandbox) -> str:
        raise SandboxUnavailable("no sandbox works here (the reason)")

    monkeypatch.setattr(Sandbox, "tier", property(refused))

    assert doctor.main([]) == 1
    assert "NO  tier" in (said := capsys.readouterr().out)
    assert "the reason" in said


def test_doctor_explains_why_no_stronger_tier_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the tier that is used stand the better ones, with why they were not taken."""
    better = {protection.name: protection for protection in doctor._stronger("linux-ns")}

    assert set(better) == {"linux-full", "linux-landlock"}
    assert all(protection.held is None and protection.text for protection in better.values())
