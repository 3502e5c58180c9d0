"""Ctrl-C and SIGTERM in the middle of a thousand calls, through the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graders.judges.scripted import ReceivedRequest, Step, say
from graders.models import ScriptedJudge
from tests.cases import first
from tests.judges.support import judge_spec

ROWS = 1000
# rows that are answered at once; the others hang
QUICK = 150
HANG_S = 120


def rows_in(path: Path) -> dict[str, bool]:
    """id -> ok, of a results file."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {line["id"]: line["ok"] for line in lines if "id" in line}


def batch_of(folder: Path, out: Path, judge: ScriptedJudge, *, max_in_flight: int) -> list[str]:
    """The command that grades ROWS rows, `row 0` and so on, with this judge."""
    files = {
        "spec.json": json.dumps(judge_spec()),
        "data.jsonl": "".join(f'{{"id": "r{n}", "sample": "row {n} ", "item": {{}}}}\n' for n in range(ROWS)),
        "graders.toml": f'[models."*"]\nbase_url = "{judge.base_url}"\nmax_in_flight = {max_in_flight}\n',
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    spec, data, config = (str(folder / name) for name in files)
    return [sys.executable, "-m", "graders.cli", "batch", spec, data, "-o", str(out), "--config", config]


@pytest.mark.parametrize("number", first(1, [signal.SIGINT, signal.SIGTERM]))
def test_an_interrupted_batch_keeps_verdicts_and_resumes(tmp_path: Path, number: int) -> None:
    """An interrupted batch waits for no judge, closes its connections, keeps every verdict, and can be resumed."""
    out = tmp_path / "out.jsonl"
    hang = True

    def answer(received: ReceivedRequest) -> Step:
        row = int(received.texts[1].split("row ")[1].split(" ")[0])
        slow = hang and row >= QUICK
        return say({"result": 0.5}, delay_s=HANG_S if slow else 0.0)(received)

    with ScriptedJudge(answer) as judge:
        command = batch_of(tmp_path, out, judge, max_in_flight=100)
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while len(judge.received) < QUICK + 100 and time.monotonic() < until:
            time.sleep(0.02)
        # the client has got what the judge has answered
        until = time.monotonic() + 60
        while len(rows_in(out)) < QUICK and time.monotonic() < until:
            time.sleep(0.1)

        os.kill(process.pid, number)
        _, said = process.communicate(timeout=HANG_S / 2)

        assert process.returncode == 130, said
        assert rows_in(out) == {f"r{n}": True for n in range(QUICK)}
        assert "--resume" in said
        until = time.monotonic() + 60
        while judge.in_flight and time.monotonic() < until:
            time.sleep(0.02)
        assert (judge.in_flight, judge.aborted) == (0, 100)

        hang = False
        judge.clear()
        subprocess.run([*command, "--resume"], check=True, capture_output=True, timeout=120)
        assert len(judge.received) == ROWS - QUICK
        assert rows_in(out) == {f"r{n}": True for n in range(ROWS)}


def test_an_exhausted_quota_stops_the_batch_and_keeps_paid_answers(tmp_path: Path) -> None:
    """Few requests more than were under way; every answer that came is in the file; the exit says that it broke."""
    from graders.judges.scripted import fail

    out = tmp_path / "out.jsonl"

    def answer(received: ReceivedRequest) -> Step:
        if len(judge.received) > 300:
            return fail(429, "You exceeded your current quota", "insufficient_quota")
        return say({"result": 0.5}, delay_s=0.005)(received)

    with ScriptedJudge(answer) as judge:
        command = batch_of(tmp_path, out, judge, max_in_flight=20)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)

        assert done.returncode == 3, done.stderr
        assert "no quota left" in done.stderr
        assert len(judge.received) <= 300 + 20
        assert sum(rows_in(out).values()) == 300
