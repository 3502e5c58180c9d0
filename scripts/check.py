"""The checks of a change: lint, format, types, the order of rooms, and tests.

    python scripts/check.py                            everything: what CI's default jobs check of this tree
    python scripts/check.py graders/kinds tests/core   what belongs to these paths

With paths, lint and format look at them alone and the tests are those of their rooms; types and the order of rooms
are always looked at as a whole, since a change in one room shows in another.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Room of the package -> tests that belong to it beside those of its own folder.
TESTS = {
    "graders/endpoints": ("tests/judges",),
    "graders/config": ("tests/endpoints",),
    "graders/models": ("tests/judges", "tests/endpoints"),
    "graders/embed": ("tests/metrics/test_cosine.py",),
    "graders/session": ("tests/attack", "tests/audit", "tests/mutation"),
    "graders/attack": ("tests/audit",),
    "graders/training_files": ("tests/tuning",),
    "graders/spec": ("tests/kinds",),
    "graders/kinds": ("tests/spec", "tests/test_conformance.py"),
    "graders/engine": ("tests/core", "tests/test_conformance.py"),
    "graders/datasets": ("tests/batch",),
    "graders/results": ("tests/batch",),
    "docs": ("tests/core/test_docs.py",),
}


def checks(paths: list[str]) -> Iterator[list[str]]:
    """The commands, each an argument list for this Python."""
    python = [path for path in paths if Path(path).is_dir() or path.endswith(".py")]
    if python or not paths:
        yield ["-m", "ruff", "check", *(python or ["."])]
        yield ["-m", "ruff", "format", "--check", *(python or ["."])]
    yield ["-m", "mypy"]
    yield ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    tests = sorted(set(tests_of(paths)))
    if tests or not paths:
        yield ["-m", "pytest", "-n", "2", *tests]


def tests_of(paths: Iterable[str]) -> Iterator[str]:
    """The tests that belong to paths; those of a vocabulary module are tests/core."""
    for path in paths:
        name = Path(path).as_posix().rstrip("/")
        parts = Path(name).parts
        if parts[0] == "tests":
            yield name
            continue
        room = "/".join(parts[:2]) if parts[0] == "graders" else parts[0]
        same = f"tests/{parts[1]}" if parts[0] == "graders" and len(parts) > 1 else f"tests/{parts[0]}"
        found = [test for test in (*TESTS.get(room, ()), same) if (ROOT / test).exists()]
        yield from found or (["tests/core"] if parts[0] == "graders" else [])


def main() -> int:
    """Run every check, also after one has failed; 1 when one did."""
    failed = [
        " ".join(command[:3])
        for command in checks(sys.argv[1:])
        if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
    ]
    for command in failed:
        print(f"failed: python {command}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
