"""What linters and the type checker are told to overlook has its reason beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("graders", "sandbox", "trainer", "scripts", "tests", "benchmarks")
#: One or more marks, and what follows them.
MARKS = re.compile(r"# (?:type: ignore|noqa)\b(.*)$")
CODES = re.compile(r"(?:\[[\w, -]+\]|: [A-Z]+\d+(?:, [A-Z]+\d+)*)")
REASON = re.compile(r"# (?!noqa|type:|fmt:)\S")


def test_each_mark_names_its_rule_and_reason() -> None:
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                mark = MARKS.search(line)
                if mark and path != Path(__file__) and not (CODES.match(mark[1]) and REASON.search(mark[1])):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")

    assert found == []


#: Tables that each tree may keep from the formatter: attacks, tokens, cases in columns. A lower number replaces these.
TABLES = {"graders": 33, "sandbox": 25, "trainer": 1, "scripts": 0, "tests": 85, "benchmarks": 3}


@pytest.mark.parametrize(("folder", "most"), TABLES.items())
def test_only_tables_are_kept_from_the_formatter(folder: str, most: int) -> None:
    """A statement with a comment or a few arguments is formatted like any other."""
    texts = (
        path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py") if path != Path(__file__)
    )

    assert sum(len(re.findall(r"# fmt: skip$", text, re.MULTILINE)) for text in texts) <= most
