"""What `grader report` and `grader compare` cost over a bare loop that parses the same results and takes their mean.

    python benchmarks/report.py [--rows 1000000] [--rounds 3]

All are whole processes, taken in turns; the loop uses the same JSON library. Shown are the best CPU time of each, the
ratio to the loop, and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

LOOP = """
import sys
try:
    from orjson import loads
except ImportError:
    from json import loads
n = total = 0
with open(sys.argv[1], "rb") as lines:
    next(lines)
    for line in lines:
        row = loads(line)
        if row["ok"]:
            n += 1
            total += row["reward"]
print(total / n)
"""
SPEC = {
    "type": "text_similarity",
    "name": "close",
    "evaluation_metric": "fuzzy_match",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.answer }}",
}


def write_results(path: Path, rows: int, seed: int) -> None:
    chance = random.Random(seed)
    header = {
        "graders_results": 1,
        "digest": "0",
        "spec": SPEC,
        "name": "close",
        "type": "text_similarity",
        "engine": "local-graders",
        "options": {"fields": {"sample": "sample", "item": "item", "id": "id"}},
    }
    with path.open("w") as file:
        file.write(json.dumps(header) + "\n")
        for n in range(rows):
            row = {
                "id": n,
                "sample": f"an answer of a few words, {n % 1009}",
                "item": {"answer": "a few words"},
            }
            fields = {"id": str(n), "reward": chance.random(), "ok": True, "row": row}
            file.write(json.dumps(fields, separators=(",", ":")) + "\n")


def used(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and megabytes of peak memory of one process."""
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"exit {child.returncode}: {arguments}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Time grader report and grader compare.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        a, b, html = (str(Path(folder, name)) for name in ("a.jsonl", "b.jsonl", "page.html"))
        write_results(Path(a), arguments.rows, 1)
        write_results(Path(b), arguments.rows, 2)
        grader = [sys.executable, "-m", "graders.cli"]
        commands = {
            "bare loop over one file": [sys.executable, "-c", LOOP, a],
            "report, text": [*grader, "report", a],
            "report, page": [*grader, "report", a, "-o", html],
            "compare of two files": [*grader, "compare", a, b],
        }
        best: dict[str, tuple[float, float]] = {}
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                best[name] = min(best.get(name, (float("inf"), 0.0)), used(command))
        bare = best["bare loop over one file"][0]
        print(f"{arguments.rows:,} rows; the page has {Path(html).stat().st_size / 1e6:.2f} MB")
        for name, (seconds, megabytes) in best.items():
            print(f"{name:26} {seconds:6.2f} s CPU   {seconds / bare:5.2f} x   {megabytes:5.0f} MB")


if __name__ == "__main__":
    main()
