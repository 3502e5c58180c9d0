"""`.ci/run` has named jobs, goes on after a failure, and names what failed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ROOT / ".ci" / "run"


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(RUN), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_every_job_is_a_function_and_listed() -> None:
    """The list of jobs is the functions that are jobs."""
    text = RUN.read_text()
    functions = set(re.findall(r"^(\w+)\(\) \{", text, re.MULTILINE)) - {
        "command_of",
        "environment",
        "python_of",
        "tested",
    }

    assert set(run("--list").stdout.split()) == functions


def test_an_unknown_job_is_refused() -> None:
    done = run("weel")

    assert done.returncode == 2
    assert "there are: debian install tests" in done.stderr


def test_goes_on_after_a_failure_and_names_it(tmp_path: Path) -> None:
    """A job ends at its first failing command; the next one is still run."""
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    text = RUN.read_text()
    first = text.index("debian() {")
    jobs = "one() { false; echo never; }\ntwo() { echo second; }\n"
    script.write_text(
        text[:first] + jobs + re.sub(r"JOBS=\(.*\)", "JOBS=(one two)", text[text.index("JOBS=") :])
    )

    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert "second" in done.stdout
    assert "never" not in done.stdout
    assert done.stderr == "\nfailed: one\n"
