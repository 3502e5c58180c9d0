"""The programs of docs/pytest.md are tests that pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.testing.support import run

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text(encoding="utf-8")


def test_pytest_examples(project: pytest.Pytester) -> None:
    """The page's programs are tests that pass, once their golden file is written."""
    Path("exact.json").rename("exact.grader.json")
    rows = Path("rows.jsonl")
    rows.write_text(rows.read_text().replace('"sample": "Toronto"', '"sample": "Ottawa"'))
    project.makeini(
        "[pytest]\naddopts = --strict-markers -p no:cacheprovider\ngrader_spec = exact.grader.json\n"
    )
    first, second = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    run(project, first, "--grader-update").assert_outcomes(passed=7)
    run(project, f"{first}\n{second}").assert_outcomes(passed=8)
