"""What a judge's call costs, beside a plain loop over httpx2 in the same run. Exact figures: benchmarks/README.md."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from benchmarks import judges

ROUNDS = 5


@pytest.mark.slow
def test_two_hundred_rows_at_once() -> None:
    """Sooner than a loop that does nothing but the exchange, at no more than 1 ms of CPU a call; a busy machine allowed for."""
    server = subprocess.Popen(
        [sys.executable, "-c", judges.SERVER, str(judges.DELAY_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    walls, cpus, plain = [], [], []
    try:
        judges.ours(url, "auto")  # imports
        judges.plain_httpx2(url)
        for _ in range(ROUNDS):
            wall, cpu = time.perf_counter(), time.process_time()
            judges.ours(url, "auto")
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
            wall = time.perf_counter()
            judges.plain_httpx2(url)
            plain.append(time.perf_counter() - wall)
    finally:
        server.terminate()
        server.communicate()

    assert sum(ours < other for ours, other in zip(walls, plain, strict=True)) > ROUNDS / 2
    assert min(cpus) / judges.ROWS <= 0.001
    assert min(walls) < 1.0
