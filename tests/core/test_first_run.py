"""docs/first-run.md is a recording: its commands, typed again in an empty folder, say the same again.

    GRADERS_RECORD=1 python -m pytest -m slow tests/core/test_first_run.py

records it anew. Times and rates differ from run to run and are left out of the comparison.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "docs" / "first-run.md"
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
#: What depends on the machine: lines of latency and, of slow runs, of progress; durations, rates, the bytes of a page.
_VARYING = re.compile(r"^latency.*\n|^[\d,]+ rows .*\n|\d[\d,.]* (?:ms|s|rows/s|bytes)\b", re.MULTILINE)


def commands(block: str) -> Iterator[str]:
    """The lines that are typed."""
    return (line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ "))


def typed(command: str, folder: Path) -> str:
    """What a terminal shows of one command."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1"}
    environment.pop("GRADERS_CONFIG", None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return f"$ {command}\n{done.stdout}"


@pytest.mark.slow
def test_the_recording_shows_the_real_output(tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")

    seen = [
        "".join(typed(command, tmp_path) for command in commands(block)) for block in _BLOCK.findall(text)
    ]

    again = iter(seen)
    recorded = _BLOCK.sub(lambda _: next(again), text)
    if os.environ.get("GRADERS_RECORD"):
        FILE.write_text(recorded, encoding="utf-8")
    assert len(seen) > 3
    assert _VARYING.sub("…", recorded) == _VARYING.sub("…", FILE.read_text(encoding="utf-8"))
