"""What the pytest plugin adds to the start of a run that does not use it: with it against `-p no:graders`, in turns.

python benchmarks/pytest_load.py [ROUNDS]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

#: Other plugins left out, so that what is measured is pytest and ours.
ALONE = [
    f"-pno:{name}"
    for name in ("xdist", "xdist.looponfail", "hypothesispytest", "benchmark", "syrupy", "anyio")
]


def cpu_s(folder: str, *arguments: str) -> float:
    """Processor seconds of one `pytest` over one empty test, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ALONE, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int) -> tuple[list[float], list[float]]:
    """Processor seconds with the plugin and without, taken in turns after one unmeasured run of each."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        cpu_s(folder)
        cpu_s(folder, "-p", "no:graders")
        pairs = [(cpu_s(folder), cpu_s(folder, "-p", "no:graders")) for _ in range(rounds)]
    return [with_it for with_it, _ in pairs], [without for _, without in pairs]


if __name__ == "__main__":
    with_it, without = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    for name, seconds in (("with", with_it), ("without", without)):
        print(
            f"{name:8} best {min(seconds) * 1000:6.1f} ms, median {statistics.median(seconds) * 1000:6.1f} ms of processor time"
        )
    added = statistics.median(a - b for a, b in zip(with_it, without, strict=True))
    print(
        f"added    best {(min(with_it) - min(without)) * 1000:6.1f} ms, median of pairs {added * 1000:6.1f} ms"
    )
