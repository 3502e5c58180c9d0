"""`grader doctor`: what it says of the specs that it is given."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest

from graders.cli import main
from graders.doctor.diagnosis import Diagnosis
from tests.specs import python, score_model


@pytest.fixture(autouse=True)
def no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its protections have tests of their own, which take seconds."""
    nothing: list[Diagnosis] = []
    monkeypatch.setattr("graders.doctor.machine.sandbox_tier", lambda backends: nothing)


def diagnoses(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    with pytest.raises(SystemExit):
        main(["doctor", *arguments, "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_standard_input_is_read_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spec from standard input is looked at for its programs and its judges (the judges read an empty input)."""
    program = python(source="import numpy\ndef grade(sample, item):\n    return 1.0")
    members = {"p": program, "j": score_model(model="a-judge")}
    spec = {"type": "multi", "graders": members, "calculate_output": "p + j"}
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(spec)))

    found = {(one["part"], one["name"]) for one in diagnoses(capsys, "-")}

    assert {("programs", "numpy"), ("judges", "a-judge")} <= found


def test_an_invalid_spec_is_a_diagnosis(capsys: pytest.CaptureFixture[str]) -> None:
    """A spec that cannot be read leaves the other parts to be looked at."""
    found = diagnoses(capsys, "no-such-file.json")

    (wrong,) = [one for one in found if one["name"] == "no-such-file.json"]
    assert wrong["ok"] is False
    assert wrong["text"].startswith("not a valid spec: ")
    assert {one["part"] for one in found} >= {"engine", "libraries", "judges"}
