"""docs/reward-checks.md shows a program with its real output, and every check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graders.audit import FAMILIES
from graders.testing import CHECKS

PAGES = Path(__file__).parents[2] / "docs"
PAGE = (PAGES / "reward-checks.md").read_text(encoding="utf-8")


def first_block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_reward_checks_example(capsys: pytest.CaptureFixture[str]) -> None:
    """The page's first program prints the page's first output."""
    exec(first_block("python"), {})

    assert capsys.readouterr().out == first_block("text")


def test_every_check_is_documented() -> None:
    """The table of checks has all of them, in their order."""
    table = PAGE.partition("## The checks")[2]

    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(CHECKS)


def test_every_family_is_documented() -> None:
    """docs/audit.md names every family of the attack in its table."""
    page = (PAGES / "audit.md").read_text(encoding="utf-8")
    table = page.partition("## Families")[2].partition("## ")[0]

    assert [name for name in FAMILIES if f"`{name}`" not in table] == []
