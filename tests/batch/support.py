"""What the tests of `grader batch` share: the command as a process, datasets, and what results are compared by."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "graders.cli", "batch", *map(str, arguments)]


def batch(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """`grader batch` with these arguments, to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, **options)


def write_spec(path: Path, spec: dict[str, Any]) -> Path:
    path.write_text(json.dumps(spec))
    return path


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def timeless(path: Path) -> list[bytes]:
    """The lines of a results file, sorted, without what differs from run to run: `seconds` and `waited`."""
    lines = []
    for line in path.read_bytes().splitlines(keepends=True):
        fields = json.loads(line)
        for name in ("seconds", "waited"):
            fields.pop(name, None)
        lines.append(json.dumps(fields).encode())
    return sorted(lines)
