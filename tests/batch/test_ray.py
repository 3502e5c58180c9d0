"""On a Ray cluster of two CPUs: every row once, the results of a run without Ray, and a worker killed on the way."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import graders
from graders.adapters.verl import compute_score_of
from graders.batch.progress import Run
from graders.batch.ray import Actors, GradeBatch, unique
from graders.batch.run import grade_dataset
from graders.result import RunResult
from graders.results.read import read_results
from tests.specs import multi, string_check, text_similarity

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray", reason="ray is not installed; it has an environment of its own (.ci/run)")
pa = pytest.importorskip("pyarrow")

N = 100_000
SPEC = multi("a + b", {"a": string_check(), "b": text_similarity()})


def row(n: int) -> dict[str, Any]:
    item = {"answer": f"answer {n % 1000}"} if n % 101 else {"other": ""}
    return {"id": f"row {n}", "sample": f"answer {n % 997}", "item": item}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=256 * 2**20)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as Parquet files of several row groups; the item is JSON text, as it is in tables."""
    import json

    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("data")
    for part in range(4):
        rows = [
            row(n) | {"item": json.dumps(row(n)["item"])} for n in range(part * N // 4, (part + 1) * N // 4)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{part}.parquet", row_group_size=5000)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run without Ray."""
    path = tmp_path_factory.mktemp("alone") / "results.jsonl"
    grade_dataset(SPEC, map(row, range(N)), str(path))
    return path


def test_map_batches_with_a_worker_killed(cluster: None, data: Path, alone: Path, tmp_path: Path) -> None:
    """100,000 rows through Ray Data: 100,000 ids, each once, with the rewards and flags of a run without Ray."""

    class Mortal(GradeBatch):
        """Dies in the middle, once."""

        def __init__(self, spec: object, mark: str) -> None:
            super().__init__(spec)
            self._mark = mark

        def __call__(self, batch: Any) -> Any:
            if "row 50000" in batch.column("id").to_pylist() and not os.path.exists(self._mark):
                Path(self._mark).touch()
                os._exit(9)
            return super().__call__(batch)

    mark = tmp_path / "killed"
    graded = ray.data.read_parquet(str(data)).map_batches(
        Mortal,
        fn_constructor_args=[SPEC, str(mark)],
        batch_format="pyarrow",
        batch_size=1000,
        compute=ray.data.ActorPoolStrategy(size=2),
        # reading needs a CPU too
        num_cpus=0.5,
    )

    found: dict[str, tuple[Any, ...]] = {}
    times = Counter[str]()
    for table in unique(graded.iter_batches(batch_size=1000, batch_format="pyarrow")):
        for fields in table.to_pylist():
            times[fields["id"]] += 1
            found[fields["id"]] = (
                fields["reward"],
                fields["ok"],
                tuple(fields["flags"]),
                tuple(fields["errors"]),
                fields["sub_rewards.a"],
                fields["sub_rewards.b"],
            )

    assert mark.exists()
    assert len(found) == N
    assert set(times.values()) == {1}
    assert found == {
        r.id: (r.reward, r.ok, r.flags, r.errors, r.sub_rewards.get("a"), r.sub_rewards.get("b"))
        for r in read_results(alone).rows
    }


def kill_an_actor(results: Path, killed: list[int]) -> None:
    """kill -9 of one actor once a fifth of the rows are written."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends and (not results.exists() or results.read_bytes().count(b"\n") < N // 5):
        time.sleep(0.01)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::_Actor"):
            os.kill(int(process.name), signal.SIGKILL)
            killed.append(int(process.name))
            return


def test_the_engine_with_an_actor_killed(cluster: None, alone: Path, tmp_path: Path) -> None:
    """grade_dataset on actors writes the lines of a run without Ray, byte for byte after sorting."""
    results, killed = tmp_path / "results.jsonl", list[int]()
    killer = Thread(target=kill_an_actor, args=(results, killed))
    grader = graders.compile(SPEC)

    killer.start()
    with Actors(grader, 2) as workers:
        run = grade_dataset(grader, map(row, range(N)), str(results), workers=workers)
    killer.join()

    assert killed
    assert (run.graded, run.broken, run.interrupted) == (N, "", False)
    assert sorted(results.read_bytes().splitlines()) == sorted(alone.read_bytes().splitlines())


def test_the_engine_resumes_a_run(cluster: None, alone: Path, tmp_path: Path) -> None:
    """A resumed run leaves rows that another engine graded."""
    results = tmp_path / "results.jsonl"
    whole = alone.read_bytes()
    results.write_bytes(whole[: len(whole) * 9 // 10])
    grader = graders.compile(SPEC)

    with Actors(grader, 1) as workers:
        run: Run = grade_dataset(grader, map(row, range(N)), str(results), workers=workers, resume=True)

    assert 0 < run.graded < N // 5
    assert sorted(results.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_graders_and_results_are_sent_between_tasks_and_actors(cluster: None) -> None:
    """Graders and results travel in closures, as arguments, and through the object store (A7; ray#5330, #11180)."""
    grader, score = graders.compile(SPEC), compute_score_of(SPEC)
    rows = [row(n) for n in range(200)]

    @ray.remote  # type: ignore[untyped-decorator]  # ray is not typed
    def by_closure() -> list[RunResult]:
        return list(grader.run_batch(rows))

    @ray.remote  # type: ignore[untyped-decorator]  # ray is not typed
    def by_argument(given: graders.Grader) -> list[RunResult]:
        return list(given.run_batch(rows))

    @ray.remote
    class Trainer:
        def reward(self, score: Any, answer: str) -> Any:
            return score("source", answer, "truth", {"answer": "a"})

    came = [by_closure.remote(), by_argument.remote(grader), by_argument.remote(ray.put(grader))]
    wanted = [(r.id, r.reward, r.flags, r.errors, r.sub_rewards) for r in grader.run_batch(rows)]

    assert any(flags for _, _, flags, _, _ in wanted), "some rows fail"
    for results in ray.get(came):
        assert [(r.id, r.reward, r.flags, r.errors, r.sub_rewards) for r in results] == wanted
    trainer: Any = Trainer
    assert ray.get(trainer.remote().reward.remote(score, "a")) == {"score": 2.0, "a": 1.0, "b": 1.0}


def test_rows_without_ids_of_their_own() -> None:
    """Rows without ids are named by their content, so that a repeated block is recognised and equal rows are one."""
    grade = GradeBatch(string_check())
    rows = [{"sample": str(n % 3), "item": {"answer": "1"}} for n in range(6)]

    tables = list(unique([grade(pa.Table.from_pylist(rows)), grade(pa.Table.from_pylist(rows[:2]))]))

    assert [table.num_rows for table in tables] == [3, 0]
    assert tables[0].column("reward").to_pylist() == [0.0, 1.0, 0.0]
