"""Fine-tuning: lists of many jobs and events, the server's memory, and grading beside a job that trains.

    python benchmarks/tuning.py [--jobs 10000] [--events 100] [--trainer PYTHON]

`--trainer` names a Python with torch and TRL, in which a tiny model trains while rows are graded; without it that part is
left out. Each figure stands beside its goal. Exit status 1: one is missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from graders.store import Cursor, JobRecord, NewEvent, Store

ROOT = Path(__file__).parents[1]
MODEL = "gpt-4o-mini"
P99_MS = 20.0
RSS_MB = 80.0
BESIDE_RATIO = 1.5
SPEC = {
    "type": "string_check",
    "name": "equal",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}


class Server:
    """`grader serve --tuning` as a process, asked on one connection."""

    def __init__(self, home: Path, toml: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "graders.cli",
            "serve",
            "--tuning",
            "--port",
            "0",
            "--config",
            str(toml),
        ]
        environment = {**os.environ, "GRADERS_HOME": str(home)}
        self.process = subprocess.Popen(
            [*command, "--no-access-log"], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        line = next(line for line in self.process.stderr if "listening on" in line)
        address = line.split("base_url http://")[1].split("/")[0]
        self._connection = http.client.HTTPConnection(address)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, f"/v1{path}", data, {"content-type": "application/json"})
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        return answer

    def upload(self, rows: list[Any]) -> str:
        """The id of a training file."""
        content = "".join(json.dumps(row) + "\n" for row in rows)
        fields = (
            '--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="t.jsonl"\r\n\r\n{content}\r\n--b--\r\n'
        )
        self._connection.request(
            "POST", "/v1/files", fields, {"content-type": "multipart/form-data; boundary=b"}
        )
        made: str = json.loads(self._connection.getresponse().read())["id"]
        return made

    def rss_mb(self) -> float:
        """Resident memory of the server's process now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


@contextmanager
def running(folder: Path, toml: str) -> Iterator[Server]:
    path = folder / "graders.toml"
    path.write_text(toml)
    server = Server(folder / "home", path)
    try:
        yield server
    finally:
        server.close()


def fill(home: Path, n_jobs: int, n_events: int) -> tuple[str, str]:
    """A store with jobs that have ended; the ids of one in the middle, and of an event in the middle of it."""
    method = json.dumps({"type": "supervised", "supervised": {}})
    with Store(home) as store:
        for n in range(n_jobs):
            job_id, metadata = f"ftjob-{n:024}", json.dumps({"n": str(n % 100)})
            job = JobRecord(
                job_id, n, "succeeded", MODEL, "file-1", None, None, 1, method, "{}", None, metadata
            )
            steps = (
                NewEvent(
                    f"Step {step}/{n_events}: training loss={1 / step:.2f}",
                    type="metrics",
                    data={"step": step, "train_loss": 1 / step},
                    step=step,
                )
                for step in range(1, n_events + 1)
            )
            store.jobs.add(job, list(steps))
            store.jobs.add_checkpoint(job.id, n_events, f"ft:{MODEL}:local::{n:08}", "{}")
        middle = f"ftjob-{n_jobs // 2:024}"
        return middle, store.jobs.events(middle, Cursor(limit=n_events // 2)).rows[-1].id


def milliseconds(work: Callable[[], object], times: int) -> list[float]:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def lists(server: Server, job_id: str, event_id: str) -> bool:
    """Prints p50 and p99 of each list; whether all are within the goal."""
    jobs, met = "/fine_tuning/jobs", True
    for name, path in (
        ("jobs, the newest 20", jobs),
        ("jobs, 100 from the middle", f"{jobs}?limit=100&after={job_id}"),
        ("jobs with metadata", f"{jobs}?metadata[n]=42"),
        ("a job", f"{jobs}/{job_id}"),
        ("its events, the newest 20", f"{jobs}/{job_id}/events"),
        ("its events, 100 from the middle", f"{jobs}/{job_id}/events?limit=100&after={event_id}"),
        ("its checkpoints", f"{jobs}/{job_id}/checkpoints"),
    ):
        server.ask("GET", path)
        cuts = statistics.quantiles(milliseconds(partial(server.ask, "GET", path), 300), n=100)
        print(f"{name}: p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms; goal {P99_MS:g}")
        met &= cuts[98] <= P99_MS
    return met


def beside(server: Server) -> bool:
    """Prints the run endpoint's latency alone and while a job trains; whether the ratio is within the goal."""
    body = {"grader": SPEC, "model_sample": "a", "item": {"answer": "a"}}

    def grade() -> Any:
        return server.ask("POST", "/fine_tuning/alpha/graders/run", body)

    grade()
    alone = milliseconds(grade, 2000)
    rows = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}]}
        for n in range(64)
    ]
    job = {
        "model": MODEL,
        "training_file": server.upload(rows),
        "hyperparameters": {"n_epochs": 50, "batch_size": 1},
    }
    path = f"/fine_tuning/jobs/{server.ask('POST', '/fine_tuning/jobs', job)['id']}"
    while not any(event["type"] == "metrics" for event in server.ask("GET", f"{path}/events")["data"]):
        time.sleep(0.1)
    training = milliseconds(grade, 2000)
    status = server.ask("GET", path)["status"]
    assert status == "running", f"the job is {status}: nothing trained beside the rows"
    server.ask("POST", f"{path}/cancel")
    ratios = []
    for name, at in (("p50", 49), ("p99", 98)):
        one, two = (statistics.quantiles(taken, n=100)[at] for taken in (alone, training))
        ratios.append(two / one)
        print(f"/graders/run {name}: {one:.2f} ms alone, {two:.2f} ms while a job trains: {two / one:.2f} x")
    print(f"goal of p50: {BESIDE_RATIO:g} x")
    return ratios[0] <= BESIDE_RATIO


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=100, help="of each job")
    parser.add_argument("--trainer", metavar="PYTHON")
    options = parser.parse_args()
    command = ["false"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.trainer:
            roots = os.pathsep.join(str(ROOT / part) for part in ("", "trainer", "sandbox"))
            command = [
                "env",
                f"PYTHONPATH={roots}",
                "OMP_NUM_THREADS=1",
                options.trainer,
                "-m",
                "graders_train",
            ]
            program = "import sys; from graders_train.models import write_tiny; write_tiny(sys.argv[1])"
            subprocess.run([*command[:4], "-c", program, str(folder / "model")], check=True)
        toml = (
            f"[tuning]\ncommand = {json.dumps(command)}\nthreads = 1\n"
            f'[tuning.models]\n"{MODEL}" = "{folder / "model"}"\n'
        )
        started = time.perf_counter()
        job_id, event_id = fill(folder / "home", options.jobs, options.events)
        seconds = time.perf_counter() - started
        print(f"{options.jobs} jobs and {options.jobs * options.events} events, written in {seconds:.0f} s")
        with running(folder, toml) as server:
            met = lists(server, job_id, event_id)
            if options.trainer:
                met &= beside(server)
            rss = server.rss_mb()
            print(f"memory of the server: {rss:.0f} MB; goal {RSS_MB:g}")
            met &= rss <= RSS_MB
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
