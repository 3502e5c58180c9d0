"""Evals: how fast rows of a run are graded beside `grader batch`, and how fast a page of many items is read.

    python benchmarks/evals.py [rows]

All in one process and one after the other, so that the figures belong together; ratios are what counts.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def percentiles(work: Callable[[], object], times: int = 200) -> str:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(taken, n=100)
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms"


def pages(store: Store, eval_id: str, run_id: str, n_rows: int) -> None:
    from tests.server.support import serving

    run = store.runs.get(run_id)
    assert run is not None
    middle = store.items.page(run.number, run_id, Cursor(1, descending=True)).rows[0].id
    with serving(store=store) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)

        def read(path: str) -> bytes:
            connection.request("GET", f"/v1/evals/{eval_id}/runs/{run_id}{path}")
            return connection.getresponse().read()

        deep = f"&order=desc&after={middle}"
        for name, path in (
            ("first 100 items", "/output_items?limit=100"),
            ("deep, 100 items", f"/output_items?limit=100{deep}"),
            ("100 that failed", "/output_items?limit=100&status=fail"),
            ("the run itself", ""),
        ):
            read(path)
            print(f"  {name} of {n_rows}: {percentiles(lambda path=path: read(path))}")  # type: ignore[misc]  # mypy does not see the default's type


def beside_a_run(store: Store, evals: Evals, source: Any) -> None:
    """The run endpoint's latency, idle and while a run executes."""
    from tests.server.support import serving

    with serving(store=store) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        body = json.dumps({"grader": SPEC, "model_sample": "a", "item": {"answer": "a"}})

        def grade() -> None:
            connection.request(
                "POST", "/v1/fine_tuning/alpha/graders/run", body, {"content-type": "application/json"}
            )
            connection.getresponse().read()

        grade()
        print(f"  /graders/run, idle: {percentiles(grade, 500)}")
        work = threading.Thread(target=finished, args=(store, evals, source))
        work.start()
        time.sleep(0.5)
        print(f"  /graders/run, beside a run: {percentiles(grade, 500)}")
        work.join()


def exchanged(folder: Path, n_rows: int) -> None:
    """Seconds to import a dashboard's export of many rows, and to export it: the same rows again."""
    rows = [
        {
            "run_id": "evalrun_1", "data_source_idx": n, "item": {"q": f"question {n}", "text": "x" * 200},
            "sample": {"outputs": [{"role": "assistant", "content": "Paris " * 20}], "error": None, "finish_reason": "stop",
                       "token_usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cached_tokens": 0}},
            "grades": {"match": float(n % 2)}, "passes": {"match": bool(n % 2)}, "grader_samples": {},
        }
        for n in range(n_rows)
    ]  # fmt: skip
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    with Store(folder / "exchanged") as store:
        with timed(f"import of {n_rows} rows"):
            import_lines(store, lines, "benchmark")
        run = store.runs.get("evalrun_1")
        assert run is not None
        with timed(f"export of {n_rows} rows"):
            made = list(exported_rows(store, run))
    assert [json.loads(line) for line in made] == rows


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Prints the block's seconds by the clock and of the processor."""
    started, spent = time.perf_counter(), time.process_time()
    yield
    seconds, processor = time.perf_counter() - started, time.process_time() - spent
    print(f"{name}: {seconds:.1f} s, {processor:.1f} s of the processor")


def sampling(folder: Path, n_rows: int = 2000, in_flight: int = 64) -> None:
    """Rows a second of a run that samples, beside judges of `grader.run_batch`, from one model that takes 50 ms."""
    from graders.judges.scripted import Received, ScriptedJudge, Step, completion

    def answer(received: Received) -> Step:
        text = '{"steps": [], "result": 1.0}' if "response_format" in received.json else "1"
        return Step(body=completion(received, text), delay_s=0.05)

    judge = {
        "type": "score_model",
        "name": "j",
        "model": "m",
        "input": [{"role": "user", "content": "{{item.answer}}"}],
    }
    template = {"type": "template", "template": [{"role": "user", "content": "{{item.answer}}"}]}
    content = [{"item": {"answer": str(n)}} for n in range(n_rows)]
    with ScriptedJudge() as model:
        model.default = answer
        config = folder / "graders.toml"
        config.write_text(
            f'[models."*"]\nbase_url = "{model.base_url}"\napi_key_env = ""\nmax_in_flight = {in_flight}\n'
        )
        with Backends(config=str(config)) as backends, Store(folder / "sampling") as store:
            grader = graders.compile(judge, backends=backends)
            rows = [{"sample": "", **row} for row in content]
            started = time.perf_counter()
            assert all(result.ok for result in grader.run_batch(rows, window=2 * in_flight, in_order=False))
            judged = n_rows / (time.perf_counter() - started)
            runner = Runner(store, backends, rows=in_flight)
            source = {
                "type": "completions",
                "model": "m",
                "input_messages": template,
                "source": {"type": "file_content", "content": content},
            }
            _, run_id, seconds = finished(store, Evals(store, backends), source)
            runner.close()
            run = store.runs.get(run_id)
            assert run is not None
            assert run.errored == 0
    rate = n_rows / seconds
    print(
        f"sampling, {in_flight} in flight: {rate:,.0f} rows/s, {rate / judged:.2f} of the judge client's {judged:,.0f}"
    )


def main(n_rows: int) -> None:
    with tempfile.TemporaryDirectory() as name, Backends() as backends:
        folder = Path(name)
        rows = rows_file(folder, n_rows)
        batch = batch_rate(folder, rows, n_rows)
        print(f"grader batch: {batch:,.0f} rows/s")
        exchanged(folder, n_rows)
        sampling(folder)
        with Store(folder / "home") as store:
            evals = Evals(store, backends)
            upload = store.files.upload()
            upload.write(rows.read_bytes())
            file_id = store.files.add(upload, purpose="evals", filename="rows.jsonl").id
            source = {"type": "jsonl", "source": {"type": "file_id", "id": file_id}}
            runner = Runner(store, backends)
            eval_id, run_id, seconds = finished(store, evals, source)
            runner.close()
            print(f"a run: {n_rows / seconds:,.0f} rows/s, {n_rows / seconds / batch:.2f} of grader batch")
            pages(store, eval_id, run_id, n_rows)
            beside_a_run(store, evals, source)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
