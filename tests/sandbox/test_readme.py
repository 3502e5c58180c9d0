"""What the package's README shows and lists is so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import graders_sandbox
from graders_sandbox import TIERS, Limits, Sandbox
from graders_sandbox.limits import Status
from tests.sandbox.jails import a_tier

README = (Path(graders_sandbox.__file__).parent / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_synopsis_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The first program runs as it stands, and prints what its comment says."""
    tier = a_tier()
    space: dict[str, object] = {}

    exec(compile(PROGRAMS[0], "README.md", "exec"), space)

    assert capsys.readouterr().out == f"value 1.0 {tier}\n"
    assert space["rewards"] == [0.0] * 4 + [1.0] + [0.0] * 995


def test_the_second_example_grades_code_of_models() -> None:
    """The second is a grader of a model's code."""
    item = {"tests": [{"args": [1, 2], "expect": 3}, {"args": [0, 0], "expect": 1}]}

    with Sandbox(tier=a_tier()) as sandbox:
        outcome = sandbox.run(PROGRAMS[1], {"output_text": "def add(a, b):\n    return a + b\n"}, item)

    assert outcome.value == 0.5, outcome


def test_tables_are_whole() -> None:
    """Every tier, limit and outcome has its line, and each default is the one in the code."""
    assert all(f"| `{tier}` |" in README for tier in TIERS)
    assert all(f"`{status}`" in README for status in get_args(Status))
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+ ?(?:kB|MB|GB|s)?)", README, re.MULTILINE))
    units = {"kB": 1024, "MB": 1024**2, "GB": 1024**3, "s": 1, "": 1}
    for field in fields(Limits):
        number, _, unit = rows[field.name].partition(" ")
        assert float(number.replace(",", "")) * units[unit] == field.default, field.name
