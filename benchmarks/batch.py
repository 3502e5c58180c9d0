"""What `grader batch` costs over a bare Python loop that reads, compares and writes the same lines.

    python benchmarks/batch.py [--rows 1000000] [--rounds 3]

Both sides are whole processes over the same file, taken in turns; the loop uses the same JSON library and writes the
same result lines. Each is one thread that never waits but for the disk, so CPU time is what is compared: on a busy
machine it says more than the clock. Shown is the best of each side, the ratio, and the peak memory of `grader batch`.
Exits 1 when the ratio is above 1.6 or the peak above 120 MB.
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

MOST_TIMES, MOST_MB = 1.6, 120
SPEC = {
    "type": "string_check",
    "name": "exact",
    "operation": "eq",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.answer }}",
}

LOOP = {
    "orjson": """
from orjson import dumps, loads
with open(SOURCE, "rb") as lines, open(TARGET, "wb") as results:
    for line in lines:
        row = loads(line)
        reward = 1.0 if row["sample"] == row["item"]["answer"] else 0.0
        results.write(dumps({"id": row["id"], "reward": reward, "ok": True ROW}) + b"\\n")
""",
    "json": """
from json import dumps, loads
with open(SOURCE) as lines, open(TARGET, "w") as results:
    for line in lines:
        row = loads(line)
        reward = 1.0 if row["sample"] == row["item"]["answer"] else 0.0
        results.write(dumps({"id": row["id"], "reward": reward, "ok": True ROW}) + "\\n")
""",
}
WITHOUT_ORJSON = "import sys; sys.modules['orjson'] = None; "
GRADER = "from graders.cli import main; main()"


def write_rows(path: Path, rows: int) -> None:
    chance = random.Random(7)
    with path.open("w") as file:
        for index in range(rows):
            text = f"the answer is {chance.randrange(1000)} because of {index % 7}"
            answer = text if index % 3 else f"something else, {index}"
            file.write(json.dumps({"id": f"row-{index}", "sample": text, "item": {"answer": answer}}) + "\n")


def timed(arguments: list[str]) -> tuple[float, float]:
    """Seconds of CPU time and megabytes of peak memory of one process."""
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"exit {child.returncode}: {arguments}")
    # ru_maxrss is in kB
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as folder:
        source, spec = Path(folder, "rows.jsonl"), Path(folder, "spec.json")
        write_rows(source, arguments.rows)
        spec.write_text(json.dumps(SPEC))
        print(f"{arguments.rows:,} rows, {source.stat().st_size / 1e6:.0f} MB; best of {arguments.rounds}")
        for library in LOOP:
            for texts in (True, False):
                ours, bare = str(Path(folder, "ours.jsonl")), str(Path(folder, "bare.jsonl"))
                loop = LOOP[library].replace("SOURCE", repr(str(source))).replace("TARGET", repr(bare))
                loop = loop.replace("ROW", ', "row": row' if texts else "")
                code = GRADER if library == "orjson" else WITHOUT_ORJSON + GRADER
                command = [
                    sys.executable,
                    "-c",
                    code,
                    "batch",
                    str(spec),
                    str(source),
                    "-o",
                    ours,
                    "--force",
                    "-q",
                ]
                command += [] if texts else ["--no-texts"]
                pairs = [
                    (timed([sys.executable, "-c", loop]), timed(command)) for _ in range(arguments.rounds)
                ]
                check_same(bare, ours)
                loop_s = min(loop[0] for loop, _ in pairs)
                batch_s = min(batch[0] for _, batch in pairs)
                peak = max(batch[1] for _, batch in pairs)
                met &= batch_s / loop_s <= MOST_TIMES and peak <= MOST_MB
                print(
                    f"{library:7} {'with' if texts else 'without'} texts: loop {loop_s:.2f} s, grader batch {batch_s:.2f} s, "
                    f"ratio {batch_s / loop_s:.2f}, peak {peak:.0f} MB"
                )
    return 0 if met else 1


def check_same(bare: str, ours: str) -> None:
    """Check that the loop wrote the lines of `grader batch`, its header aside."""
    with open(bare, "rb") as left, open(ours, "rb") as right:
        right.readline()
        for one, other in zip(left, right, strict=True):
            if one != other and json.loads(one) != json.loads(other):
                raise SystemExit(f"the lines differ:\n{one!r}\n{other!r}")


if __name__ == "__main__":
    sys.exit(main())
