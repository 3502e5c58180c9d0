"""`.ci/run` has named jobs, goes on after a failure, and names what failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

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
        *("is_in", "run", "beside", "one_by_one", "unfinished"),
    }

    assert set(run("--list").stdout.split()) == functions


def test_every_slow_test_belongs_to_one_slow_job() -> None:
    """Each folder of tests stands in one of the jobs, or is left to the rest; what the rest ignores stands elsewhere."""
    text = RUN.read_text()
    jobs = dict(re.findall(r"^(slow_\w+)\(\) \{(.*?)\}$", text, re.MULTILINE | re.DOTALL))
    ignored = re.search(r"local own=\((.*?)\)", jobs.pop("slow_rest"), re.DOTALL)
    assert ignored is not None
    named = {path for job in jobs.values() for path in re.findall(r"tests/(\w+)(?![\w/.])", job)}
    elsewhere = {"pages", "report", "server/test_page.py", "trainer", "exporters"}

    assert set(ignored[1].split()) == named | elsewhere
    assert all((ROOT / "tests" / path).exists() for path in named | elsewhere)


def test_an_unknown_job_is_refused() -> None:
    done = run("weel")

    assert done.returncode == 2
    assert "there are: debian install tests" in done.stderr


def script_of(folder: Path, jobs: str, names: str, first: str = "") -> Path:
    """`.ci/run` with other jobs."""
    script = folder / ".ci" / "run"
    script.parent.mkdir()
    text = RUN.read_text()
    rest = re.sub(r"^JOBS=\([^)]*\)", f"JOBS=({names})", text[text.index("JOBS=(") :], flags=re.MULTILINE)
    rest = re.sub(r"^FIRST=\(.*\)", f"FIRST=({first})", rest, flags=re.MULTILINE)
    rest = re.sub(r"^SPARE=\(.*\)", "SPARE=(two)", rest, flags=re.MULTILINE)
    script.write_text(text[: text.index("debian() {")] + jobs + rest)
    return script


@pytest.mark.parametrize("arguments", [(), ("one", "two")], ids=["the usual ones", "by name"])
@pytest.mark.parametrize("first", ["", "one"], ids=["beside the other", "before the others"])
def test_goes_on_after_a_failure_and_names_it(tmp_path: Path, arguments: tuple[str, ...], first: str) -> None:
    """A job ends at its first failing command; the next one is still run."""
    script = script_of(tmp_path, "one() { false; echo never; }\ntwo() { echo second; }\n", "one two", first)

    done = subprocess.run(
        ["bash", str(script), *arguments], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1
    assert "second" in done.stdout
    assert "never" not in done.stdout
    assert done.stderr == "\nfailed: one\n"


def test_a_job_that_would_begin_too_late_is_named(tmp_path: Path) -> None:
    script = script_of(tmp_path, "one() { echo first; }\ntwo() { echo second; }\n", "one two", "one")

    late = {**os.environ, "BEGIN_S": "-1"}
    done = subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, timeout=60, check=False, env=late
    )

    assert done.returncode == 0
    assert "first" in done.stdout
    assert "second" not in done.stdout
    assert "left out, for lack of time; by its name each: two\n" in done.stdout


def test_what_unfinished_jobs_said_is_shown(tmp_path: Path) -> None:
    """Where something ends the whole run, as after the last of its minutes."""
    script = script_of(tmp_path, "one() { echo begun; sleep 30; }\n", "one")

    process = subprocess.Popen(
        ["bash", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    while not any("begun" in log.read_text() for log in tmp_path.glob("*/one")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "== one, not finished\nbegun\n" in said
