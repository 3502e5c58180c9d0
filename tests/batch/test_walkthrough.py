"""docs/walkthrough.md: its commands run, and with the data at hand they print what it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "walkthrough.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: What differs from run to run: how long things took.
CHANGES = re.compile(r"^latency .*\n|^\| latency .*\n|[\d.]+ m?s(, [\d,]+ rows/s)?\b", re.MULTILINE)


def steps() -> list[tuple[str, str]]:
    """The page's commands, each with the output that is shown for it ("" where none is)."""
    found: list[tuple[str, str]] = []
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            found.append((text, ""))
        else:
            found[-1] = (found[-1][0], text)
    return found


def run(folder: Path, data: Path) -> list[str]:
    """What each of the page's commands prints to stdout."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GSM8K": str(data.resolve()),
    }
    return [
        subprocess.run(
            ["bash", "-ec", command],
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            check=True,
            timeout=300,
        ).stdout
        for command, _ in steps()
    ]


@pytest.mark.slow
def test_the_commands_work(tmp_path: Path) -> None:
    """The commands run over a handful of problems of our own."""
    problems = [
        {
            "question": f"What is {n} and {n}?",
            "ground_truth": f"{n} and {n} is {2 * n}\nA: {2 * n}",
            "175b_finetuning": {
                "solution": f"A: {2 * n}" if n % 3 else "I do not know",
                "is_correct": bool(n % 3),
            },
            "6b_verification": {"solution": f"It is ${2 * n}.00\nA: ${2 * n}", "is_correct": True},
        }
        for n in range(12)
    ]
    (tmp_path / "example_model_solutions.jsonl").write_text("".join(json.dumps(p) + "\n" for p in problems))

    outputs = "".join(run(tmp_path, tmp_path))

    assert "mean reward  0.6667" in outputs
    assert "only B 4" in outputs
    # every label says yes, so there is nothing to agree on
    assert "kappa –" in outputs
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif("GSM8K" not in os.environ, reason="GSM8K does not name a folder with the data")
def test_the_outputs_are_those_shown(tmp_path: Path) -> None:
    """Each output stands in the page as it is printed, times aside."""
    outputs = run(tmp_path, Path(os.environ["GSM8K"]))

    for (_, shown), printed in zip(steps(), outputs, strict=True):
        assert CHANGES.sub("", printed) == CHANGES.sub("", shown)
