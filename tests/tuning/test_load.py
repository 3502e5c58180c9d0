"""What lists cost and what the server's memory is: counted, not timed, so that nothing beside the test changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graders.store import Cursor, JobRecord, NewEvent, Store
from tests.tuning.support import MODEL, config, ended
from tests.tuning.test_supervisor import create, serve

MEMORY_MB = 80
#: Lists, as the server asks for them: a job in the middle, and an event in the middle of it.
LISTS: dict[str, Callable[[Store, str, str], Any]] = {
    "jobs": lambda store, job_id, event_id: store.jobs.page(Cursor(20, descending=True)),
    "jobs from the middle": lambda store, job_id, event_id: store.jobs.page(
        Cursor(20, job_id, descending=True)
    ),
    "a job": lambda store, job_id, event_id: store.jobs.get(job_id),
    "events": lambda store, job_id, event_id: store.jobs.events(job_id, Cursor(20, descending=True)),
    "events from the middle": lambda store, job_id, event_id: store.jobs.events(job_id, Cursor(20, event_id)),
    "checkpoints": lambda store, job_id, event_id: store.jobs.checkpoints(
        job_id, Cursor(10, descending=True)
    ),
    "what is queued": lambda store, job_id, event_id: store.jobs.with_status("queued"),
}


def filled(home: Path, n_jobs: int, n_events: int) -> tuple[Store, str, str]:
    """A store of jobs that have ended; the id of one in the middle, which alone has events and checkpoints, and one of those."""
    store, middle = Store(home), f"ftjob-{n_jobs // 2}"
    for n in range(n_jobs):
        job = JobRecord(f"ftjob-{n}", n, "succeeded", MODEL, "file-1", None, None, 1, "{}", "{}", None, None)
        store.jobs.add(job)
    store.jobs.change(middle, events=[NewEvent(f"Step {step}", step=step) for step in range(n_events)])
    for step in range(n_events // 20):
        store.jobs.add_checkpoint(middle, step, f"ft:{step}", "{}")
    return store, middle, store.jobs.events(middle, Cursor(n_events // 2)).rows[-1].id


def steps_of(store: Store, job_id: str, event_id: str, ask: Callable[[Store, str, str], Any]) -> int:
    """The instructions that SQLite executes for a list."""
    n = 0

    def count() -> int:
        nonlocal n
        n += 1
        return 0

    reader = store.jobs._database.read()
    reader.set_progress_handler(count, 1)
    try:
        ask(store, job_id, event_id)
    finally:
        reader.set_progress_handler(None, 0)
    return n


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Store, str, str]]]:
    """One store, and one with four times as many jobs and events."""
    homes = (tmp_path_factory.mktemp(name) for name in ("one", "four"))
    made = [filled(home, 60 * times, 200 * times) for home, times in zip(homes, (1, 4), strict=True)]
    yield made
    for store, _, _ in made:
        store.close()


@pytest.mark.parametrize("name", LISTS)
def test_a_list_costs_the_same_however_many_jobs_and_events_there_are(
    name: str, stores: list[tuple[Store, str, str]]
) -> None:
    one, four = (steps_of(*found, LISTS[name]) for found in stores)
    assert 0 < four <= one * 1.1 + 10


@pytest.mark.slow
def test_a_server_that_tunes_stays_small(tmp_path: Path) -> None:
    """After jobs of both kinds of files: rows, rewards, events and results have passed through it."""
    home, toml = tmp_path / "home", tmp_path / "graders.toml"
    toml.write_text(config("train"))
    server, client = serve(home, toml)
    try:
        for _ in range(5):
            assert ended(client, create(client)).status == "succeeded"
        status = Path(f"/proc/{server.pid}/status")
        if not status.exists():
            pytest.skip("the memory of a process is read from /proc")
        assert int(status.read_text().split("VmRSS:")[1].split()[0]) < MEMORY_MB * 1024
    finally:
        server.terminate()
        server.wait(60)
