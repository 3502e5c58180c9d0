"""Runs executed here and now, or by the server that has the store."""

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
    """The run once it has ended, or at the time-out as it is then; None when it has been deleted.

    Args:
        seen: Called with the run each time it is looked at.
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
    """The run once it has ended; None when it has been deleted.

    What else the store has queued is executed with it. Where a server holds the store's claim, that one executes it.
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
