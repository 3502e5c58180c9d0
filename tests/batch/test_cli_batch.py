"""`grader batch`: exits, what goes where, progress on a terminal and elsewhere, mapping, standard streams."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graders.cli import main
from graders.judges.scripted import say
from graders.models import ScriptedJudge
from graders.results.read import read_results
from tests.batch.support import batch, command, write_rows, write_spec
from tests.specs import python, score_model, string_check

ROWS: list[dict[str, Any]] = [
    {"id": n, "sample": "x" if n % 4 else "y", "item": {"answer": "x"}} for n in range(20)
]


@dataclass
class CommandResult:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., CommandResult]:
    """`grader batch` with these arguments, in this process and in the folder."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> CommandResult:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["batch", *arguments])
        return CommandResult(end.value.code or 0, *capfd.readouterr())  # type: ignore[arg-type]  # the command's exit code is a number

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_spec(tmp_path / "spec.json", string_check())
    write_rows(tmp_path / "rows.jsonl", ROWS)
    return tmp_path


def test_a_run_and_its_summary(folder: Path, here: Callable[..., CommandResult]) -> None:
    """Counts and mean on stdout, nothing on stderr, results in the file, exit 0."""
    done = here("spec.json", "rows.jsonl", "-o", "r.jsonl")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"20(:| rows:) 20 scored, 0 failed", done.stdout)
    assert "0.75" in done.stdout
    assert "-> r.jsonl" in done.stdout
    assert [row.reward for row in read_results(folder / "r.jsonl").rows][:5] == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_standard_streams(folder: Path) -> None:
    """`-` stands for standard input and output; the summary then goes to stderr, so that results can be piped."""
    done = batch("spec.json", "-", "-o", "-", cwd=folder, input=(folder / "rows.jsonl").read_text())

    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["data"] == "-"
    assert [line["id"] for line in lines[1:]] == [str(n) for n in range(20)]
    assert "20 scored" in done.stderr

    quiet = batch("spec.json", "-", "-o", "-", "-q", cwd=folder, input=(folder / "rows.jsonl").read_text())
    assert (quiet.stdout, quiet.stderr) == (done.stdout, "")


def test_a_closed_stdout_ends_the_run_silently(folder: Path) -> None:
    """`grader batch ... -o - | head -1` ends as Unix tools do: silently, with 0."""
    many = write_rows(
        folder / "many.jsonl", [{"id": n, "sample": "x", "item": {"answer": "x"}} for n in range(50_000)]
    )

    process = subprocess.Popen(
        command(folder / "spec.json", many, "-o", "-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    talk = process.stderr.read()

    assert process.wait(60) == 0
    assert talk == ""


def test_mapped_fields(folder: Path, here: Callable[..., CommandResult]) -> None:
    """Rows with other field names are graded with --sample-field and the like; an id may be made from the content."""
    rows = [
        {"uid": f"u{n}", "truth": {"answer": "x"}, "models": {"a": {"text": "x" if n else "y"}}}
        for n in range(3)
    ]
    write_rows(folder / "other.jsonl", rows)
    fields = ("--sample-field", "models.a.text", "--item-field", "truth")

    named = here("spec.json", "other.jsonl", "-o", "a", *fields, "--id-field", "uid")
    unnamed = here("spec.json", "other.jsonl", "-o", "b", *fields, "--id-field", "")

    assert (named.returncode, unnamed.returncode) == (0, 0), named.stderr + unnamed.stderr
    assert [(row.id, row.reward) for row in read_results(folder / "a").rows] == [
        ("u0", 0.0),
        ("u1", 1.0),
        ("u2", 1.0),
    ]
    ids = [row.id for row in read_results(folder / "b").rows]
    assert [row_id.partition("#")[2] for row_id in ids] == ["", "2", "3"]


WRONG: list[Any] = [
    # arguments, exit, what is said
    (["none.json", "rows.jsonl", "-o", "r"], 1, "cannot read the spec"),
    (["bad.json", "rows.jsonl", "-o", "r"], 1, "bad.json"),
    (["spec.json", "none.jsonl", "-o", "r"], 2, "cannot read none.jsonl: No such file"),
    (["spec.json", "empty.jsonl", "-o", "r"], 2, "empty.jsonl has no rows; a row is a line such as"),
    (["spec.json", "rows.jsonl", "-o", "r", "--sample-field", "smaple"], 2, "Did you mean 'sample'"),
    (["spec.json", "rows.jsonl", "-o", "rows.jsonl"], 2, "OUT is DATA"),
    (["spec.json", "rows.jsonl", "-o", "-", "--resume"], 2, "need OUT to be a file"),
    (["-", "-", "-o", "r"], 2, "cannot both be standard input"),
    (["spec.json", "rows.jsonl", "-o", "there"], 2, "--resume goes on with it, --force overwrites it"),
    (["spec.json", "rows.jsonl", "-o", "there", "--resume"], 2, "is not a results file"),
    (["spec.json", "rows.jsonl", "-o", "none/r"], 3, "its folder has to be made first"),
    (
        ["spec.json", "rows.jsonl", "-o", "r", "--engine", "ray", "--max-calls", "5"],
        2,
        "are for --engine local",
    ),
    (
        ["spec.json", "unlike.jsonl", "-o", "r"],
        3,
        "no row could be graded; `grader check` says what is wrong",
    ),
    (["spec.json", "rows.jsonl", "-o", "r", "--sorted", "none/s.jsonl"], 3, "cannot write none/s.jsonl"),
]


def test_results_have_a_default_file_name(folder: Path, here: Callable[..., CommandResult]) -> None:
    """A run without -o writes a results file with a default name."""
    assert here("spec.json", "rows.jsonl").returncode == 0
    assert len(list(read_results(folder / "results.jsonl").rows)) == 20
    assert "--resume goes on with it" in here("spec.json", "rows.jsonl").stderr


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG)
def test_each_failure_has_its_exit_code_and_advice(
    arguments: list[str], code: int, message: str, folder: Path, here: Callable[..., CommandResult]
) -> None:
    """Each exit code has its meaning, and the message says what to do next."""
    (folder / "bad.json").write_text('{"type": "string_check"}')
    (folder / "empty.jsonl").write_text("")
    (folder / "there").write_text("something else\n")
    write_rows(folder / "unlike.jsonl", [{"sample": "x", "item": {"question": "?"}}])

    done = here(*arguments)

    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr
    assert (folder / "there").read_text() == "something else\n"


def test_force_and_resume(folder: Path, here: Callable[..., CommandResult]) -> None:
    """--force begins anew; --resume with nothing missing grades nothing."""
    assert here("spec.json", "rows.jsonl", "-o", "r").returncode == 0
    before = (folder / "r").read_bytes()

    again = here("spec.json", "rows.jsonl", "-o", "r", "--resume")
    assert (again.returncode, (folder / "r").read_bytes()) == (0, before)
    forced = here("spec.json", "rows.jsonl", "-o", "r", "--force")
    assert (forced.returncode, (folder / "r").read_bytes()) == (0, before)


def test_a_sorted_copy(folder: Path, here: Callable[..., CommandResult]) -> None:
    done = here("spec.json", "rows.jsonl", "-o", "r", "--sorted", "s.jsonl")

    assert done.returncode == 0
    ids = [row.id for row in read_results(folder / "s.jsonl").rows]
    assert ids == sorted(str(n) for n in range(20))


@pytest.mark.slow
def test_progress_without_a_terminal(folder: Path) -> None:
    """One plain line every few seconds on stderr, with counts, rate and time left."""
    write_spec(
        folder / "spec.json",
        python("import time\ndef grade(sample, item):\n    time.sleep(2)\n    return 1\n"),
    )
    write_rows(folder / "rows.jsonl", ROWS[:12])

    done = batch("spec.json", "rows.jsonl", "-o", "r", "--jobs", "3", cwd=folder)

    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 8
    for line in lines:
        assert re.fullmatch(
            r"\d+ rows? of (?:about )?\d+ \(\d+%\)  [\d.]+/s  0 failed(  \d+:\d\d left)?", line
        ), line


def test_a_dead_judge_is_not_called_bad_data(folder: Path) -> None:
    """A run that failed by its endpoint advises to look at the endpoint."""
    write_spec(folder / "spec.json", score_model(model="m"))
    write_rows(folder / "rows.jsonl", ROWS[:3])
    (folder / "graders.toml").write_text(
        '[models."*"]\nbase_url = "http://127.0.0.1:9/v1"\nmax_attempts = 1\n'
    )

    done = batch("spec.json", "rows.jsonl", "-o", "r", cwd=folder)

    assert done.returncode == 3
    assert "`grader doctor spec.json --probe` says what does not work" in done.stderr
    assert "--retry-failed" in done.stderr
    assert "grader check" not in done.stderr


SUITE = '[tests.a]\nspec = "spec.json"\ndata = "rows.jsonl"\nfail_under = 0\n'


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        pytest.param(["batch", "spec.json", "rows.jsonl", "-o", "r"], "", id="batch"),
        pytest.param(["test", "suite.toml"], "a: ", id="a suite, with the test's name"),
    ],
)
def test_progress_on_a_terminal(folder: Path, arguments: list[str], begins: str) -> None:
    """A line that renews itself: rows, rate, failures, the judge's tokens and cost; gone when the summary comes."""
    (folder / "suite.toml").write_text(SUITE)
    write_spec(folder / "spec.json", score_model(model="m"))
    with ScriptedJudge(say({"steps": [], "result": 0.5}, delay_s=0.3)) as judge:
        (folder / "graders.toml").write_text(
            f'[models."*"]\nbase_url = "{judge.base_url}"\nmax_in_flight = 4\n[prices.m]\ninput = 1.0\noutput = 2.0\n'
        )
        reader, writer = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "graders.cli", *arguments],
            cwd=folder,
            stderr=writer,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.close(writer)
        seen = b""
        try:
            while part := os.read(reader, 4096):
                seen += part
        except OSError:
            # the other side has closed
            pass
        out, _ = process.communicate(timeout=60)
        os.close(reader)

    assert process.returncode == 0, seen
    shown = [line for line in seen.decode().split("\r\x1b[K") if line.strip()]
    assert len(shown) >= 3
    assert re.match(rf"{begins}\d+ rows? of (about )?20 \(\d+%\)  [\d.]+/s  0 failed", shown[-1]), shown[-1]
    assert any(re.search(r"\d+ tokens  cost 0\.\d+", line) for line in shown), shown
    assert "20 scored" in out or "a     passed   20    0" in out
    assert seen.endswith(b"\r\x1b[K")


def test_verbose_logs_each_step(folder: Path) -> None:
    """`grader -v` has the loggers of the engine on stderr; without it nothing is logged."""
    write_spec(folder / "spec.json", string_check())
    write_rows(folder / "rows.jsonl", ROWS)
    command = [sys.executable, "-m", "graders.cli", "-v", "batch", "spec.json", "rows.jsonl", "-o", "r", "-q"]

    loud = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stderr
    quiet = subprocess.run(
        [c for c in command if c != "-v"] + ["--force"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr

    assert re.search(r"INFO graders\.batch\.grading: check \(string_check\) on rows\.jsonl", loud)
    assert quiet == ""


def test_help_explains_formats_and_resuming(here: Callable[..., CommandResult]) -> None:
    """--help names the forms of data, what to do after a crash, and gives examples."""
    done = here("--help")

    assert done.returncode == 0
    for word in (
        "JSONL",
        "Parquet",
        "--resume",
        "--sample-field",
        "grader batch spec.json answers.jsonl",
        "--engine",
    ):
        assert word in done.stdout


def test_no_judge_and_no_sandbox_is_loaded_for_local_graders(folder: Path) -> None:
    """A string_check over a dataset starts no thread pool, no event loop, no sandbox."""
    script = (
        "import sys; from graders.cli import main\n"
        "try: main(['batch', 'spec.json', 'rows.jsonl', '-o', 'r', '-q'])\n"
        "except SystemExit as end: print(end.code, sorted({'asyncio', 'httpx2', 'graders_sandbox', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)

    assert done.stdout == "0 []\n"
