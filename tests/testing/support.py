"""What the tests of the pytest plugin share: a project that uses it."""

from __future__ import annotations

import json
import textwrap

import pytest

from tests.specs import string_check

EXACT = string_check()
ROWS = [
    {"id": "fr", "sample": "Paris", "gold": "Paris", "item": {"answer": "Paris"}},
    {"id": "jp", "sample": "Tokyo", "gold": "Tokyo", "item": {"answer": "Tokyo"}},
    {"id": "ca", "sample": "Toronto", "gold": "Ottawa", "item": {"answer": "Ottawa"}},
]
INI = """[pytest]
addopts = --strict-markers --strict-config -p no:cacheprovider
grader_spec = exact.json
"""


def fill(pytester: pytest.Pytester) -> None:
    """A spec, rows and a strict ini file."""
    pytester.makeini(INI)
    (pytester.path / "exact.json").write_text(json.dumps(EXACT))
    (pytester.path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def run(project: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """Run one file of tests in the project."""
    project.makepyfile(textwrap.dedent(source))
    return project.runpytest_inprocess(*arguments)
