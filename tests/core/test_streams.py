"""Standard streams that are full, closed or gone: a sentence, the right exit code, nothing lost (A16)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graders.batch import read_results
from tests.specs import string_check

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")

GRADER = f"{sys.executable} -m graders.cli"
RUN = 'run spec.json --sample x --item \'{"answer": "x"}\''

CASES = [
    # command, exit code, what stderr says
    pytest.param(f"{RUN} > /dev/full", 3, "standard output cannot be written: No space left", id="full"),
    pytest.param(f"{RUN} >&-", 3, "standard output cannot be written", id="closed"),
    pytest.param(f"{RUN} 2>&-", 0, "", id="no stderr"),
    pytest.param(f"{RUN} <&-", 0, "", id="no stdin"),
    pytest.param("batch spec.json d.jsonl -o - > /dev/full", 3, "No space left", id="results to a full disk"),
    pytest.param("batch spec.json d.jsonl -o - >&-", 3, "cannot be written", id="results to nowhere"),
    pytest.param("batch spec.json d.jsonl -o out 2>&-", 0, "", id="a batch without stderr"),
    pytest.param(f"{RUN} | head -1", 0, "", id="a reader that leaves"),
]


def in_bash(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("command", "code", "says"), CASES)
def test_a_broken_stream_has_a_sentence_and_an_exit_code(
    tmp_path: Path, command: str, code: int, says: str
) -> None:
    """No traceback, and a gate never reads a broken stream as a missed one."""
    (tmp_path / "spec.json").write_text(json.dumps(string_check()))
    (tmp_path / "d.jsonl").write_text('{"id": "a", "sample": "x", "item": {"answer": "x"}}\n')

    ended = in_bash(f"set -o pipefail; {GRADER} {command}", tmp_path)

    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    if (tmp_path / "out").exists():
        assert [row.reward for row in read_results(tmp_path / "out").rows] == [1.0]


def test_a_deleted_working_folder(tmp_path: Path) -> None:
    """A sentence instead of a traceback from looking for graders.toml."""
    (tmp_path / "spec.json").write_text(json.dumps(string_check()))

    ended = in_bash(
        f"mkdir d && cd d && rmdir ../d && {GRADER} {RUN.replace('spec', str(tmp_path / 'spec'))}", tmp_path
    )

    assert ended.returncode == 3, ended.stderr
    assert "the working directory is gone" in ended.stderr


def test_batches_import_without_fcntl(tmp_path: Path) -> None:
    """A12: on Windows there is none; batch, report and compare died at their import."""
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import graders.batch.run, graders.report.report, graders.stats.compare, graders.results.write\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
