"""Evals: what each figure of docs/evals.md is here, beside its goal; exits 1 where one is missed.

    python benchmarks/evals.py [rows] [--no-browser]

All in one process and one after the other, so that the figures belong together. Ratios are what counts: times are of the
machine, and of what else it does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import graders
from graders.engine.backends import Backends
from graders.evals.exchange.dashboard import exported_rows
from graders.evals.exchange.importing import import_lines
from graders.evals.runner import Runner
from graders.evals.service import Evals
from graders.store import Cursor, Store

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

SPEC = {
    "type": "string_check",
    "name": "equal",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
CONFIG = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}

#: Names of the figures that missed their goals.
missed: list[str] = []


def figure(name: str, value: float, goal: float, unit: str, *, least: bool = False, more: str = "") -> None:
    """Print a figure beside its goal, which is the most it may be, or the least."""
    met = value >= goal if least else value <= goal
    if not met:
        missed.append(name)
    sign = ">=" if least else "<="
    print(
        f"{name:58} {value:9.2f} {unit:2}  goal {sign} {goal:<5g} {'met' if met else 'MISSED':7} {more}",
        flush=True,
    )


def rows_file(folder: Path, n_rows: int) -> Path:
    path = folder / "rows.jsonl"
    with path.open("w") as file:
        for n in range(n_rows):
            row = {"item": {"answer": str(n % 7), "text": "x" * 200}, "sample": {"output_text": str(n % 5)}}
            file.write(json.dumps(row) + "\n")
    return path


def batch_rate(folder: Path, rows: Path, n_rows: int) -> float:
    """Rows a second of `grader batch`, the command's start included."""
    (folder / "spec.json").write_text(json.dumps(SPEC))
    command = [sys.executable, "-m", "graders.cli", "batch", str(folder / "spec.json"), str(rows)]
    started = time.perf_counter()
    done = subprocess.run([*command, "-o", str(folder / "results.jsonl")], capture_output=True)
    assert (folder / "results.jsonl").exists(), done.stderr.decode()
    return n_rows / (time.perf_counter() - started)


def finished(store: Store, evals: Evals, source: Any) -> tuple[str, str, float]:
    """A finished run: its eval, itself and the seconds it took. Somebody has to execute it."""
    made = evals.create({"data_source_config": CONFIG, "testing_criteria": [SPEC]})
    started = time.perf_counter()
    run = evals.create_run(made.id, {"data_source": source})
    # not the run itself, whose data source may be large
    while store.runs.statuses([run.number])[run.number] in ("queued", "in_progress"):
        time.sleep(0.01)
    seconds = time.perf_counter() - started
    found = store.runs.get(run.id)
    assert found is not None
    assert found.status == "completed", found.error
    return made.id, run.id, seconds


def percentiles(work: Callable[[], object], times: int = 200) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98]


def latency(name: str, work: Callable[[], object], goal: float = 3.0, times: int = 200) -> None:
    work()
    p50, p99 = percentiles(work, times)
    figure(name, p50, goal, "ms", more=f"p99 {p99:.1f} ms")


def reader(port: int) -> Callable[[str], bytes]:
    """Gets paths of a server on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def read(path: str) -> bytes:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body[:500]
        return body

    return read


def runs_until(store: Store, evals: Evals, source: Any, over: threading.Event) -> None:
    """Make one run after the other until `over` is set."""
    while not over.is_set():
        finished(store, evals, source)


def over_http(store: Store, evals: Evals, eval_id: str, run_id: str, source: Any) -> None:
    """Pages of items and the run, over HTTP; then the run and single grades beside a run that executes."""
    from tests.server.support import RUN, serving

    run = store.runs.get(run_id)
    assert run is not None
    last = store.items.page(run.number, run_id, Cursor(1, descending=True)).rows[0].id
    path = f"/v1/evals/{eval_id}/runs/{run_id}"
    body = json.dumps({"grader": SPEC, "model_sample": "a", "item": {"answer": "a"}})
    with serving(store=store) as server:
        read = reader(server.port)
        connection = http.client.HTTPConnection("127.0.0.1", server.port)

        def grade() -> None:
            connection.request("POST", RUN, body, {"content-type": "application/json"})
            connection.getresponse().read()

        for name, query in (("first", ""), ("deep", f"&order=desc&after={last}"), ("failed", "&status=fail")):
            address = f"{path}/output_items?limit=100{query}"
            latency(f"100 output items over HTTP, {name}", partial(read, address))
        latency("a run over HTTP", lambda: read(path))
        grade()
        idle, _ = percentiles(grade, 500)
        measured = threading.Event()
        work = threading.Thread(target=runs_until, args=(store, evals, source, measured))
        work.start()
        time.sleep(0.5)
        latency("a run over HTTP, while one executes", lambda: read(path))
        busy, _ = percentiles(grade, 500)
        measured.set()
        figure(
            "/graders/run while a run executes, of idle",
            busy / idle,
            2.0,
            "x",
            more=f"{idle:.2f} and {busy:.2f} ms",
        )
        work.join()


def exchanged(folder: Path, n_rows: int) -> None:
    """Seconds to import a dashboard's export of many rows, and to export it: the same rows again."""
    rows = [
        {
            "run_id": "evalrun_1",
            "data_source_idx": n,
            "item": {"q": f"question {n}", "text": "x" * 200},
            "sample": {
                "outputs": [{"role": "assistant", "content": "Paris " * 20}],
                "error": None,
                "finish_reason": "stop",
                "token_usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 2,
                    "total_tokens": 5,
                    "cached_tokens": 0,
                },
            },
            "grades": {"match": float(n % 2)},
            "passes": {"match": bool(n % 2)},
            "grader_samples": {},
        }
        for n in range(n_rows)
    ]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    with Store(folder / "exchanged") as store:
        started, spent = time.perf_counter(), time.process_time()
        import_lines(store, lines, "benchmark")
        seconds, processor = time.perf_counter() - started, time.process_time() - spent
        figure(f"import of {n_rows:,} rows", seconds, 15.0, "s", more=f"{processor:.1f} s of the processor")
        run = store.runs.get("evalrun_1")
        assert run is not None
        assert [json.loads(line) for line in exported_rows(store, run)] == rows


def canceled(folder: Path, n_rows: int = 2000) -> None:
    """From the answer to a cancel to the last question to the model, which takes 50 ms for each."""
    from graders.judges.scripted import ScriptedJudge, Step, completion
    from tests.evals.support import client_of, custom, equals, eval_server, sampled

    rows = [{"item": {"question": str(n), "answer": ""}} for n in range(n_rows)]
    with ScriptedJudge(lambda received: Step(body=completion(received, "1"), delay_s=0.05)) as model:
        config = f'[models."*"]\nbase_url = "{model.base_url}"\napi_key_env = ""\n'
        with eval_server(config) as server, client_of(server) as client:
            made = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])
            run = client.evals.runs.create(made.id, data_source=sampled(*rows))
            while len(model.received) < 200:
                time.sleep(0.01)
            client.evals.runs.cancel(run.id, eval_id=made.id)
            answered = time.monotonic()
            server.wait_for("graders_runs_under_way", 0)
            time.sleep(1)
            last = max(one.at for one in model.received) - answered
    figure("from a cancel's answer to the last question", max(0.0, last), 1.0, "s")


def model(connection: Connection) -> None:
    """A model that takes 50 ms for an answer, in a process of its own; sends its address, and ends with the pipe."""
    from graders.judges.scripted import ReceivedRequest, ScriptedJudge, Step, completion

    def answer(received: ReceivedRequest) -> Step:
        text = '{"steps": [], "result": 1.0}' if "response_format" in received.json else "1"
        return Step(body=completion(received, text), delay_s=0.05)

    with ScriptedJudge() as judge:
        judge.default = answer
        connection.send(judge.base_url)
        with suppress(EOFError):
            connection.recv()


def sampling(folder: Path, n_rows: int = 2000, in_flight: int = 64, rounds: int = 5) -> None:
    """Rows a second of a run that samples, beside judges of `grader.run_batch`, from one model.

    Both have as many requests in flight, and twice as many rows under way. Median of the rounds, which take turns.
    """
    judge = {
        "type": "score_model",
        "name": "j",
        "model": "m",
        "input": [{"role": "user", "content": "{{item.answer}}"}],
    }
    template = {"type": "template", "template": [{"role": "user", "content": "{{item.answer}}"}]}
    content = [{"item": {"answer": str(n)}} for n in range(n_rows)]
    rows = [{"sample": "", **row} for row in content]
    source = {
        "type": "completions",
        "model": "m",
        "input_messages": template,
        "source": {"type": "file_content", "content": content},
    }
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=model, args=(theirs,))
    process.start()
    theirs.close()
    config = folder / "graders.toml"
    config.write_text(
        f'[models."*"]\nbase_url = "{ours.recv()}"\napi_key_env = ""\nmax_in_flight = {in_flight}\n'
    )
    rates = []
    with Backends(config=str(config)) as backends, Store(folder / "sampling") as store:
        grader = graders.compile(judge, backends=backends)
        runner = Runner(store, backends, rows=2 * in_flight)
        for _ in range(rounds):
            started = time.perf_counter()
            assert all(result.ok for result in grader.run_batch(rows, window=2 * in_flight, in_order=False))
            judged = n_rows / (time.perf_counter() - started)
            _, run_id, seconds = finished(store, Evals(store, backends), source)
            run = store.runs.get(run_id)
            assert run is not None
            assert run.errored == 0
            rates.append((n_rows / seconds, judged))
        runner.close()
    ours.close()
    process.join()
    ratio = statistics.median(sampled / judged for sampled, judged in rates)
    sampled, judged = (statistics.median(side) for side in zip(*rates, strict=True))
    figure(
        f"sampled rows, {in_flight} in flight, of the judge client's",
        ratio,
        0.8,
        "x",
        least=True,
        more=f"{sampled:,.0f} and {judged:,.0f} rows/s",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    parser.add_argument("--no-browser", action="store_true")
    wanted = parser.parse_args()
    n_rows: int = wanted.rows
    from benchmarks import pages

    with tempfile.TemporaryDirectory() as name, Backends() as backends:
        folder = Path(name)
        rows = rows_file(folder, n_rows)
        batch = batch_rate(folder, rows, n_rows)
        exchanged(folder, n_rows)
        sampling(folder)
        canceled(folder)
        with Store(folder / "home") as store:
            evals = Evals(store, backends)
            upload = store.files.upload()
            upload.write(rows.read_bytes())
            file_id = store.files.add(upload, purpose="evals", filename="rows.jsonl").id
            source = {"type": "jsonl", "source": {"type": "file_id", "id": file_id}}
            runner = Runner(store, backends)
            eval_id, run_id, seconds = finished(store, evals, source)
            runner.close()
            rate = n_rows / seconds
            more = f"{rate:,.0f} and {batch:,.0f} rows/s"
            figure("graded rows, of grader batch's", rate / batch, 0.3, "x", least=True, more=more)
            over_http(store, evals, eval_id, run_id, source)
        with Store(folder / "pages") as store:
            run, run_id = pages.fill(store, n_rows)
            store.search.add_words(run, 3600)
            for name, p50, p99 in pages.by_filter(store, run, run_id):
                figure(f"100 of {n_rows:,} items, {name}", p50, 3.0, "ms", more=f"p99 {p99:.1f} ms")
            if not wanted.no_browser and shutil.which("chromium"):
                for name, paint, drawn, goal in pages.browsed(store, run_id):
                    figure(f"first paint, {name}", paint / 1000, 1.0, "s")
                    if goal is not None:
                        figure(name, drawn / 1000, goal, "s")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
