"""What a CI gets: JUnit that fails what is wrong and says why, annotations and the summary page of GitHub Actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from graders.cli import group
from tests.report.handmade import write_results
from tests.specs import python, string_check


def report(path: Path, *options: str) -> Result:
    return CliRunner().invoke(group, ["report", str(path), *options], standalone_mode=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three rows of a program: 0.2, 0.9 and a failed one."""
    rows: list[dict[str, Any]] = [
        {"reward": 0.2, "row": {"sample": "Lyon", "item": {"answer": "Paris"}}, "provenance": {"text": "no"}},
        {"reward": 0.9, "row": {"sample": "Paris", "item": {"answer": "Paris"}}},
        {"reward": None, "errors": ["refused, 100%\nsure"], "row": {"sample": "x", "item": {"answer": "y"}}},
    ]
    return write_results(tmp_path / "r.jsonl", rows, python())


def test_junit_fails_rows_below_the_threshold_with_reasons(results: Path) -> None:
    """H2: the output, the reference and the grader's own words stand in the failure."""
    out = report(results, "--format", "junit", "--pass-threshold", "0.5")

    suite = ElementTree.fromstring(out.stdout)
    (failure,) = suite.iter("failure")
    (error,) = suite.iter("error")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert failure.get("message") == "reward 0.2 is below 0.5"
    assert all(part in (failure.text or "") for part in ("output: Lyon", "reference: Paris", '"text": "no"'))
    assert "reason: refused, 100%" in (error.text or "")


def test_junit_notes_a_missing_threshold(results: Path) -> None:
    """H2: without a threshold there is a line on stderr, and with one there is none."""
    silent = report(results, "--format", "junit", "--pass-threshold", "0.5")

    assert "no row can fail in this JUnit file" in report(results, "--format", "junit").stderr
    assert "no row can fail" not in silent.stderr


def test_a_gate_is_a_test_case(results: Path) -> None:
    """An unmet gate fails, with what was found."""
    out = report(results, "--format", "junit", "--fail-under", "0.5", "--pass-threshold", "0.1")

    (failure,) = ElementTree.fromstring(out.stdout).iter("failure")
    assert (failure.get("message") or "").startswith("failed: 0.3667 with 1 failed row counted as 0")
    assert out.return_value == 1


def test_a_pass_threshold_makes_a_pass_rate(results: Path) -> None:
    """In every form."""
    told = json.loads(report(results, "--format", "json", "--pass-threshold", "0.5").stdout)

    assert (told["threshold"], told["passed"]["value"]) == (0.5, 0.5)


def test_github_gets_annotations_and_a_summary(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workflow commands on stdout, escaped; the Markdown appended to the step's summary."""
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))

    out = report(results, "--github", "--fail-under", "0.5", "-o", str(tmp_path / "r.html"))

    lines = out.stdout.splitlines()
    assert lines[0].startswith("::error title=")
    assert "::gate failed: mean reward 0.3667" in lines[0]
    assert lines[1].endswith("::1 row failed, r2 for one: refused, 100%25%0Asure")
    assert page.read_text().startswith("before\n## ")


def test_batch_speaks_to_github_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`grader batch` writes the annotations of `grader report` after its summary."""
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    (tmp_path / "s.json").write_text(json.dumps(string_check()))
    (tmp_path / "d.jsonl").write_text('{"sample": "x", "item": {"answer": "y"}}\n')
    arguments = [str(tmp_path / "s.json"), str(tmp_path / "d.jsonl"), "-o", str(tmp_path / "r.jsonl")]

    out = CliRunner().invoke(
        group, ["batch", *arguments, "--fail-under", "0.5", "--github"], standalone_mode=False
    )

    assert out.return_value == 1
    assert "::error title=check::gate failed: mean reward 0" in out.stdout
    assert "gate **failed**" in page.read_text()
