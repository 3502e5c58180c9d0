"""Executes runs in this process, or waits for the server that holds the store's claim."""

from __future__ import annotations

import time
from collections.abc import Callable

from graders.engine.backends import Backends
from graders.evals.runner import Runner
from graders.store import RunRecord, Store, StoreBusy

LOOK_S = 0.2


def wait(
    store: Store, run_id: str, seen: Callable[[RunRecord], object], timeout_s: float | None = None
) -> RunRecord | None:
    """Wait for the end of a run, or for the time-out; returns the run, or None when it was deleted.

    Args:
        seen: Called with the run at each poll.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        run = store.runs.get(run_id, source=False)
        if run is None or run.ended_at is not None or (until is not None and time.monotonic() >= until):
            return store.runs.get(run_id)
        seen(run)
        time.sleep(LOOK_S)


def execute(
    store: Store, backends: Backends, run_id: str, seen: Callable[[RunRecord], object]
) -> RunRecord | None:
    """Execute a run to its end; returns the run, or None when it was deleted.

    Other queued runs of the store are executed too. If a server holds the store's claim, it executes them.
    """
    try:
        claim = store.claim()
    except StoreBusy:
        return wait(store, run_id, seen)
    with claim:
        runner = Runner(store, backends)
        try:
            return wait(store, run_id, seen)
        finally:
            runner.close()
