"""Results handed to the real libraries, without a network; read back through them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from graders.batch import grade_dataset
from graders.cli import group
from graders.exporters import EXPORTERS, export
from tests.specs import multi, string_check, text_similarity

SPEC = multi("a + b", {"a": string_check(), "b": text_similarity()}, pass_threshold=1.5)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ROWS: list[dict[str, Any]] = [
    {"id": "right", "sample": "Paris", "item": {"answer": "Paris"}, "trace_id": TRACE, "span_id": SPAN},
    {
        "id": "wrong",
        "sample": {
            "id": "resp_1",
            "object": "response",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "Rome"}]}],
        },
        "item": {"answer": "Paris"},
    },
    {"id": "failed", "sample": "Paris", "item": {}},
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    grade_dataset(SPEC, ROWS, str(path))
    return path


@pytest.mark.parametrize(
    "to",
    [
        name
        for name in EXPORTERS
        if importlib.util.find_spec({"otel": "opentelemetry"}.get(name, name)) is None
    ],
)
def test_a_missing_library_is_named_with_its_extra(to: str, results: Path) -> None:
    """Exit 2 with the command that installs it."""
    said = CliRunner().invoke(group, ["export", str(results), "--to", to])

    assert said.exit_code == 2
    assert f"pip install 'local-graders[{EXPORTERS[to][1]}]'" in said.output


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ValueError, match="no exporter 'excel'; there are mlflow, wandb, otel"):
        export("results.jsonl", "excel")


@pytest.mark.slow
def test_mlflow_gets_parameters_numbers_and_files(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run with parameters, numbers that leave the failed row out, and the files."""
    mlflow = pytest.importorskip("mlflow", reason="it has an environment of its own (.ci/run exporters)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(str(tmp_path / "mlruns"))

    said = export(results, "mlflow", project="answers", name="first")

    (run,) = mlflow.MlflowClient().search_runs([mlflow.get_experiment_by_name("answers").experiment_id])
    assert run.info.run_id in said
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert (run.data.params["grader"], run.data.params["type"]) == ("many", "multi")
    metrics = run.data.metrics
    assert (metrics["rows"], metrics["scored"], metrics["failed"]) == (3, 2, 1)
    assert metrics["sub_reward/a/mean"] == 0.5
    assert metrics["pass_rate/mean"] == 0.5
    assert metrics["failures/invalid_variable_error"] == 1
    artifacts = {artifact.path for artifact in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert artifacts == {"spec.json", "report.html", "results.jsonl"}


@pytest.mark.slow
def test_wandb_gets_numbers_table_and_file(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An offline run whose record has the numbers, the table of rows and the file."""
    wandb = pytest.importorskip("wandb", reason="it has an environment of its own (.ci/run exporters)")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    run = wandb.init(project="answers", dir=tmp_path)

    said = export(results, "wandb")
    numbers = dict(run.summary)
    (table,) = (json.loads(path.read_text()) for path in Path(run.dir).rglob("*.table.json"))
    run.finish()

    assert run.id in said
    assert (numbers["scored"], numbers["failed"], numbers["sub_reward/a/mean"]) == (2, 1, 0.5)
    assert run.config["grader"]["type"] == "multi"
    assert {row[0]: row[1:3] for row in table["data"]}["failed"] == [None, False]
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


class _Collector(BaseHTTPRequestHandler):
    """What an OpenTelemetry collector is over HTTP."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    bodies: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Collector", (_Collector,), {"bodies": bodies}))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield bodies
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_opentelemetry_gets_events(results: Path, collector: list[bytes]) -> None:
    """Events by the conventions, through the SDK and OTLP over HTTP: a failed row has an error and no score."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="it has an environment of its own")
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    said = export(results, "otel")

    records = [
        record
        for body in collector
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]
    assert said == f"{len(records)} OpenTelemetry events"
    assert {record.event_name for record in records} == {"gen_ai.evaluation.result"}
    events = {}
    for record in records:
        given = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in record.attributes}
        events[given["graders.row.id"], given["gen_ai.evaluation.name"]] = given, record
    right, wrong, failed = (events[row["id"], "many"][0] for row in ROWS)
    assert (right["gen_ai.evaluation.score.value"], right["gen_ai.evaluation.score.label"]) == (2.0, "pass")
    assert (wrong["gen_ai.evaluation.score.label"], wrong["gen_ai.response.id"]) == ("fail", "resp_1")
    assert failed["error.type"] == "invalid_variable_error"
    assert "item.answer" in failed["gen_ai.evaluation.explanation"]
    assert "gen_ai.evaluation.score.value" not in failed
    assert events["right", "many.a"][0]["gen_ai.evaluation.score.value"] == 1.0
    assert events["right", "many"][1].trace_id.hex() == TRACE
    assert events["right", "many"][1].span_id.hex() == SPAN


@pytest.mark.slow
def test_the_programs_own_provider_is_used(results: Path) -> None:
    """Events go through the program's own OpenTelemetry provider if it has one."""
    sdk = pytest.importorskip("opentelemetry.sdk._logs", reason="it has an environment of its own")
    from opentelemetry import _logs
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    memory, provider = InMemoryLogRecordExporter(), sdk.LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    _logs.set_logger_provider(provider)

    export(results, "otel", name="mine")

    assert len(memory.get_finished_logs()) == 3 * len(ROWS)
