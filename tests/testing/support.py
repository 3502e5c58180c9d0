"""What the tests of the pytest plugin share: a project that uses it."""

from __future__ import annotations

import json
import textwrap

import pytest
import uvicorn  # noqa: F401  # see below

# Loaded here, since pytester forgets what is loaded first in one of its runs, and each would load it again.
from tests.specs import string_check

EXACT = string_check()
ROWS = [
    {"id": "fr", "sample": "Paris", "gold": "Paris", "item": {"answer": "Paris"}},
    {"id": "jp", "sample": "Tokyo", "gold": "Tokyo", "item": {"answer": "Tokyo"}},
    {"id": "ca", "sample": "Toronto", "gold": "Ottawa", "item": {"answer": "Ottawa"}},
]
#: How the plugin is run. Two workers take seconds to start, so they are for the slow tests.
SERIAL_AND_PARALLEL = [
    pytest.param((), id="serial"),
    pytest.param(("-n", "2"), id="two workers", marks=pytest.mark.slow),
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
