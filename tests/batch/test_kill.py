"""A run that is killed, stopped or runs out of disk loses nothing: what is missing is graded by the next one."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.batch import grade_dataset, read_results
from tests.batch.support import batch, command, timeless, write_rows, write_spec
from tests.specs import multi, python, string_check, text_similarity

LOCAL = multi("a + b", {"a": string_check(), "b": text_similarity(evaluation_metric="bleu")})
MIXED = multi(
    "a + 10 * p",
    {
        "a": string_check(),
        "p": python("def grade(sample, item):\n    return float(len(sample['output_text']) % 7)\n"),
    },
)


def answers(n: int, filler: int = 0) -> list[dict[str, Any]]:
    """Rows of which a third are wrong, some repeat an id, and a few cannot be graded."""
    chance = random.Random(n)
    return [
        {
            "id": f"row {k - 1 if k % 50 == 49 else k}",
            "sample": "x" * chance.randrange(30) if k % 3 else "yes",
            "item": {"answer": "yes", "filler": "-" * filler} if k % 11 else {"filler": ""},
        }
        for k in range(n)
    ]


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_again_and_again(arguments: list[object], results: Path, whole: int, kills: int) -> int:
    """Kill a run again and again, each time after it has written a random number of bytes more; how often it died."""
    chance = random.Random(50)
    died = 0
    for _ in range(kills):
        # a run comes out about twice as far
        wanted = size_of(results) + chance.uniform(0, whole / kills)
        process = subprocess.Popen(
            command(*arguments, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ends = time.monotonic() + 60
        while size_of(results) < wanted and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.002))
        process.kill()
        died += process.wait() == -signal.SIGKILL
    return died


KILLED: list[Any] = [
    # spec, rows, bytes of filler, kills, how the lines are compared
    pytest.param(LOCAL, 20_000, 2500, 50, lambda path: sorted(path.read_bytes().splitlines()), id="local"),
    pytest.param(MIXED, 800, 0, 8, timeless, id="sandbox"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "n", "filler", "kills", "lines"), KILLED)
def test_a_run_killed_many_times_equals_an_undisturbed_one(
    spec: dict[str, Any],
    n: int,
    filler: int,
    kills: int,
    lines: Callable[[Path], list[bytes]],
    tmp_path: Path,
) -> None:
    """kill -9 at random moments, resumed each time: each id once, and the lines of an undisturbed run."""
    spec_file = write_spec(tmp_path / "spec.json", spec)
    data = write_rows(tmp_path / "data.jsonl", answers(n, filler))
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    assert batch(spec_file, data, "-o", whole).returncode == 0

    died = kill_again_and_again([spec_file, data, "-o", killed], killed, size_of(whole), kills)
    done = batch(spec_file, data, "-o", killed, "--resume")

    assert done.returncode == 0, done.stderr
    assert died >= kills * 0.8
    ids = [row.id for row in read_results(killed).rows]
    assert len(ids) == len(set(ids)) == n
    assert lines(killed) == lines(whole)


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert process.poll() is None, "it ended"
        assert time.monotonic() < ends, "it hangs"
        time.sleep(0.01)


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_drains_and_prints_the_resume_command(number: int, tmp_path: Path) -> None:
    """Rows under way are written, the exit code is 130, and the printed command grades the rest."""
    spec = write_spec(
        tmp_path / "spec.json",
        python("import time\ndef grade(sample, item):\n    time.sleep(0.02)\n    return 1\n"),
    )
    data = write_rows(tmp_path / "data.jsonl", answers(400))
    results = tmp_path / "my results.jsonl"
    process = subprocess.Popen(
        command(spec, data, "-o", results), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: size_of(results) > 3000, process)
    process.send_signal(number)
    _, talk = process.communicate(timeout=60)

    assert process.returncode == 130, talk
    n = sum(1 for _ in read_results(results).rows)
    assert 0 < n < 400
    advice = talk.rpartition("Go on with: grader batch ")[2].strip()
    assert "--resume" in advice
    done = subprocess.run(
        f"{sys.executable} -m graders.cli batch {advice}",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert f"{400 - n}" in done.stdout
    assert len({row.id for row in read_results(results).rows}) == 400


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Rows that hang are given up, and finished rows are in the file."""
    source = "import time\ndef grade(sample, item):\n    time.sleep(100 if sample['output_text'] == 'hang' else 0)\n    return 1\n"
    spec = write_spec(tmp_path / "spec.json", python(source))
    data = write_rows(
        tmp_path / "data.jsonl", [{"id": k, "sample": "hang" if k > 5 else "go"} for k in range(50)]
    )
    results = tmp_path / "results.jsonl"
    process = subprocess.Popen(command(spec, data, "-o", results), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: results.exists() and results.read_bytes().count(b"\n") == 7, process)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = next(line for line in process.stderr if "once more stops at once" in line)
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)

    assert process.returncode == 130, said + talk
    assert "Go on with: grader batch" in talk
    assert sorted(int(row.id) for row in read_results(results).rows) == list(range(6))


# --- no room --------------------------------------------------------------------------------------------------------


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_file_size_limit_leaves_whole_lines(tmp_path: Path) -> None:
    """A limit on file sizes ends the run with exit code 3 and whole lines, and a resumed run does the rest."""
    spec = write_spec(tmp_path / "spec.json", string_check())
    data = write_rows(tmp_path / "data.jsonl", answers(600, 500))
    results = tmp_path / "results.jsonl"

    first = batch(spec, data, "-o", results, preexec_fn=limited)

    assert first.returncode == 3, first.stderr
    assert (
        "File too large: raise the limit on file sizes (ulimit -f), then go on with --resume" in first.stderr
    )
    assert results.read_bytes().endswith(b"\n")
    second = batch(spec, data, "-o", results, "--resume")
    assert second.returncode == 0, second.stderr
    assert len({row.id for row in read_results(results).rows}) == 600


IN_NAMESPACE = """
set -e
mount -t tmpfs -o size=4096k none "$1/disk"
head -c 3840k /dev/zero > "$1/disk/ballast"
grade() { "$PYTHON" -m graders.cli batch "$1/spec.json" "$1/data.jsonl" -o "$1/disk/r.jsonl" "${@:2}" 2>> "$1/talk" >> "$1/out"; }
grade "$1" && exit 90 || test $? = 3
tail -c 1 "$1/disk/r.jsonl" | od -An -c | grep -q '\\\\n'
grade "$1" --retry-failed && exit 91 || test $? = 3
mount -o remount,bind,ro "$1/disk"
grade "$1" --resume && exit 92 || test $? = 3
mount -o remount,bind,rw "$1/disk"
rm "$1/disk/ballast"
grade "$1" --resume
cp "$1/disk/r.jsonl" "$1/results.jsonl"
"""


def may_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    user = ["-m"] if os.getuid() == 0 else ["-rm"]
    probe = subprocess.run(["unshare", *user, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return probe.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not may_mount(), reason="no mount namespace here (unshare -m, or -rm for an ordinary user)"
)
@pytest.mark.parametrize(
    "spec",
    [pytest.param(string_check(), id="local"), pytest.param(MIXED, id="sandbox", marks=pytest.mark.slow)],
)
def test_a_full_and_a_read_only_disk(spec: dict[str, Any], tmp_path: Path) -> None:
    """A full disk and a read-only disk end the run with a clear message, and a resumed run loses nothing."""
    write_spec(tmp_path / "spec.json", spec)
    write_rows(tmp_path / "data.jsonl", answers(400, 1500))
    (tmp_path / "disk").mkdir()
    user = ["-m"] if os.getuid() == 0 else ["-rm"]

    done = subprocess.run(
        ["unshare", *user, "bash", "-c", IN_NAMESPACE, "bash", str(tmp_path)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
    )

    talk = (tmp_path / "talk").read_text()
    assert done.returncode == 0, (done, talk)
    assert "No space left on device: make room, then go on with --resume" in talk
    assert "Read-only file system" in talk
    assert "Traceback" not in talk
    batch(tmp_path / "spec.json", tmp_path / "data.jsonl", "-o", tmp_path / "whole.jsonl")
    one, other = (timeless(tmp_path / name)[1:] for name in ("results.jsonl", "whole.jsonl"))
    assert one == other


def test_a_truncated_dataset_keeps_the_rows_before_the_break(tmp_path: Path) -> None:
    """Rows before the break are graded and kept, and the run can be resumed with the whole file."""
    content = gzip.compress("".join(json.dumps(row) + "\n" for row in answers(8000, 100)).encode())
    data, results = tmp_path / "data.jsonl.gz", tmp_path / "results.jsonl"
    data.write_bytes(content[: len(content) // 2])

    first = grade_dataset(string_check(), str(data), str(results))
    n = sum(1 for _ in read_results(results).rows)
    data.write_bytes(content)
    second = grade_dataset(string_check(), str(data), str(results), resume=True)

    assert "breaks off" in first.broken
    assert 0 < n < 8000
    assert (second.broken, second.graded, second.tally.rows) == ("", 8000 - n, 8000)
