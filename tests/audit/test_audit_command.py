"""grader audit: exit codes by severity, JSON, and the claim for reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from graders.cli.audit import command
from tests.audit.catalog import CAPITALS
from tests.specs import multi, string_check

BACKWARDS = string_check(operation="like", input="{{item.answer}}", reference="{{sample.output_text}}")
#: A member that nothing needs is a note.
IDLE = multi("a", {"a": string_check(), "b": string_check(operation="ilike")})


def audited(tmp_path: Path, spec: dict[str, Any], *options: str) -> Result:
    where, rows = tmp_path / "spec.json", tmp_path / "rows.jsonl"
    where.write_text(json.dumps(spec))
    rows.write_text("".join(json.dumps(row) + "\n" for row in CAPITALS))
    arguments = [str(where), str(rows), "--skip", "latency", *options]
    return CliRunner().invoke(command, arguments, standalone_mode=False)


EXITS = [
    pytest.param(string_check(), [], 0, "nothing found", id="sound"),
    pytest.param(BACKWARDS, [], 1, "exploit", id="an exploit"),
    pytest.param(BACKWARDS, ["--fail-on", "never"], 0, "exploit", id="told only"),
    pytest.param(BACKWARDS, ["--check", "latency"], 0, "nothing found", id="no check left"),
    pytest.param(IDLE, [], 0, "1 note", id="a note"),
    pytest.param(IDLE, ["--fail-on", "note"], 1, "note: members", id="a note that fails"),
]


@pytest.mark.parametrize(("spec", "options", "code", "told"), EXITS)
def test_exit_codes(spec: dict[str, Any], options: list[str], code: int, told: str, tmp_path: Path) -> None:
    ended = audited(tmp_path, spec, *options)

    assert ended.return_value == code
    assert told in ended.stdout


def test_json_and_claims(tmp_path: Path) -> None:
    claims = tmp_path / "claims.json"

    ended = audited(tmp_path, BACKWARDS, "--json", "--claims", str(claims))

    findings = json.loads(ended.stdout)
    assert {"check", "message", "rows", "sample", "severity"} == set(findings[0])
    assert json.loads(claims.read_text())["audit"]["text"].startswith("reward checks: 2 exploits (")


def test_an_unknown_check_gets_a_suggestion(tmp_path: Path) -> None:
    ended = audited(tmp_path, string_check(), "--check", "gols")

    assert "Did you mean 'gold'?" in str(ended.exception)
