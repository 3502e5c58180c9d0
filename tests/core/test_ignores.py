"""What linters and the type checker are told to overlook has its reason beside it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("graders", "sandbox", "trainer", "scripts", "tests", "benchmarks")
#: One or more marks, and what follows them.
MARKS = re.compile(r"# (?:type: ignore|noqa)\b(.*)$")
CODES = re.compile(r"(?:\[[\w, -]+\]|: [A-Z]+\d+(?:, [A-Z]+\d+)*)")
REASON = re.compile(r"# (?!noqa|type:|fmt:)\S")


def test_each_says_which_rule_and_why() -> None:
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                mark = MARKS.search(line)
                if mark and path != Path(__file__) and not (CODES.match(mark[1]) and REASON.search(mark[1])):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")

    assert found == []
