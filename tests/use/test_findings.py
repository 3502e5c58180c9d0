"""The table of findings names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_finding_names_its_test() -> None:
    """Each line has a test, or says why it was left; files and functions exist."""
    text = (TESTS / "use" / "README.md").read_text(encoding="utf-8")
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| finding", "| about", "| ---"))
    ]
    named = [(path, test) for row in rows for path, test in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row)]

    missing = [
        f"{path}::{test}"
        for path, test in named
        if f"def {test}" not in (TESTS / path).read_text(encoding="utf-8")
    ]

    assert len(rows) > 60
    assert [row for row in rows if ".py" not in row and "left: " not in row] == []
    assert missing == []
