"""In and out: the dashboard's export, what an API holds, and back; nothing is lost on the way."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from click.testing import CliRunner, Result

from graders.batch import grade_dataset, read_results
from graders.cli.evals import command, moving
from graders.cli.report import command as report_command
from graders.engine.backends import Backends
from graders.evals.exchange.batch_results import exported_results
from graders.evals.exchange.dashboard import exported_rows
from graders.evals.exchange.imported import ExchangeError
from graders.evals.exchange.importing import import_lines
from graders.evals.exchange.objects import exported_objects
from graders.evals.foreground import execute
from graders.evals.service import Evals
from graders.store import Cursor, RunRecord, Store
from tests.evals.support import client_of, custom, ended, equals, eval_server, items, rows, run_of, sampled

GRADE = "match-73fe48a0-8090-46eb-aa8e-d426ad074eb3"
#: The form of the dashboard's export, as promptfoo's importer reads it.
EXPORT: list[dict[str, Any]] = [
    {
        "run_id": "evalrun_1", "data_source_idx": 0, "item": {"q": "a"},
        "sample": {
            "outputs": [{"role": "assistant", "content": "Paris"}], "error": None, "finish_reason": "stop",
            "token_usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cached_tokens": 0},
        },
        "grades": {GRADE: 1.0}, "passes": {GRADE: True}, "grader_samples": {},
    },
    {"run_id": "evalrun_1", "data_source_idx": 1, "item": {"q": "b"}, "grades": {GRADE: 0.4}, "passes": {GRADE: False}},
    {"run_id": "evalrun_2", "data_source_idx": 0, "item": {"q": "a"}, "grades": {GRADE: 1.0, "other": 0.5}},
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("GRADERS_HOME", str(tmp_path / "home"))
    with Store() as opened:
        yield opened


def lines(values: list[Any]) -> list[bytes]:
    return [json.dumps(value).encode() + b"\n" for value in values]


def evals(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def test_an_export_becomes_runs(store: Store) -> None:
    """One eval, a run a run_id, counts and scores; without `passes` a full score passes. Again: nothing new."""
    found = import_lines(store, lines(EXPORT), "eval_items_1")
    first, second = store.runs.get("evalrun_1"), store.runs.get("evalrun_2")

    assert (found.evals, found.runs, found.items, found.known) == (1, 2, 3, 0)
    assert first is not None
    assert second is not None
    assert store.evals.get(first.eval_id).name == "eval_items_1"  # type: ignore[union-attr]  # it was imported
    assert (first.status, first.passed, first.failed, first.errored, first.n_rows) == (
        "completed",
        1,
        1,
        0,
        2,
    )
    assert [(one.name, one.passed, one.failed) for one in second.criteria] == [(GRADE, 1, 0), ("other", 0, 1)]
    item = store.items.page(first.number, first.id, Cursor()).rows[0]
    shown = json.loads(item.shown or "")
    assert shown["output"][0]["content"] == "Paris"
    assert (shown["finish_reason"], shown["usage"]["total_tokens"]) == ("stop", 5)
    # and out again as they came
    assert [json.loads(line) for line in exported_rows(store, first)] == [
        {"grader_samples": {}, **row} for row in EXPORT[:2]
    ]
    again = import_lines(store, lines(EXPORT), "eval_items_1")
    assert (again.runs, again.items, again.known) == (0, 0, 2)


BAD = [
    b"not json\n",
    b"[]\n",
    b'{"run_id": "r"}\n',
    b'{"object": "eval.run", "id": "r", "eval_id": "eval_none", "created_at": 1, "data_source": {}}\n',
    b'{"object": "eval.run.output_item", "run_id": "r"}\n',
]


@pytest.mark.parametrize("line", BAD)
def test_unknown_lines_are_refused(store: Store, line: bytes) -> None:
    with pytest.raises(ExchangeError, match=r"line 1|has to come before"):
        import_lines(store, [line], "x")


def test_an_import_that_was_broken_off_begins_again(store: Store) -> None:
    """An import that was broken off leaves no whole run, and the same command begins again."""
    with pytest.raises(ExchangeError):
        import_lines(store, [*lines(EXPORT[:2]), b"oops\n"], "x")
    broken = store.runs.get("evalrun_1")

    found = import_lines(store, lines(EXPORT), "x")

    assert broken is not None
    assert broken.status == "importing"
    assert store.runs.to_execute() == []
    assert (found.runs, store.runs.get("evalrun_1").done) == (2, 2)  # type: ignore[union-attr]  # it was imported


def test_a_pulled_run_survives_import_and_export(store: Store, tmp_path: Path) -> None:
    """A run that a server executed is the same, errors included, after pull, import and export."""
    with eval_server(script=lambda ask: "Paris") as server, client_of(server) as client:
        made = client.evals.create(
            name="e",
            metadata={"k": "v"},
            data_source_config=custom("answer"),
            testing_criteria=[equals(), equals("{{item.none}}", name="broken")],
        )
        file = client.files.create(
            file=("x.jsonl", b'{"item": {"answer": "a"}, "sample": {"output_text": "a"}}\n'), purpose="evals"
        )
        source: Any = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
        data = [{"item": {"question": "q", "answer": text}} for text in ("Paris", "Rome")]
        runs = [
            ended(client, client.evals.runs.create(made.id, name="n", metadata={"a": "b"}, data_source=one))
            for one in (sampled(*data), source, rows({"item": {"answer": "a"}}))
        ]
        theirs = {run.id: items(client, run) for run in runs}
        folder = str(tmp_path / "pulled")
        for fetched in (3, 0):
            done = evals("pull", folder, "--base-url", f"{server.url}/v1", "--key-env", "")
            assert done.return_value == 0, done.output
            assert f"{fetched} runs" in done.stdout

    imported = evals("import", folder)

    assert "1 evals, 3 runs, 4 items" in imported.stdout, imported.output
    assert store.files.get(file.id) is not None
    for run in runs:
        found = store.runs.get(run.id)
        assert found is not None
        head, wire, *kept = (json.loads(line) for line in exported_objects(store, found))
        assert head["testing_criteria"] == [
            one.model_dump(exclude_unset=True, by_alias=True) for one in made.testing_criteria
        ]
        assert wire["result_counts"] == run.result_counts.model_dump()
        assert wire["per_testing_criteria_results"] == [
            one.model_dump() for one in run.per_testing_criteria_results
        ]
        for ours, item in zip(kept, theirs[run.id], strict=True):
            assert ours == json.loads(item.model_dump_json(exclude_unset=True))
        # the export's rows, in again and out again
        out = list(exported_rows(store, found))
        renamed = [json.loads(line) | {"run_id": f"{run.id}x"} for line in out]
        import_lines(store, lines(renamed), "again")
        back = store.runs.get(f"{run.id}x")
        assert back is not None
        assert [json.loads(line) for line in exported_rows(store, back)] == renamed
        assert (back.passed, back.failed, back.errored) == (found.passed, found.failed, found.errored)


def test_an_exported_error_is_no_pass_elsewhere(store: Store) -> None:
    """promptfoo passes a row without failed `passes`, and takes any `sample.error` for one: null as well."""
    criteria = [equals(), equals("{{item.more}}", name="more")]
    texts = ("Paris", "Rome")
    data = [{"item": {"answer": "Paris"}, "sample": {"output_text": text}} for text in texts]
    data.append({"item": {"answer": "Paris", "more": "Paris"}, "sample": {"output_text": "Paris"}})
    data.append({"item": {"answer": "Paris"}})
    with eval_server() as server, client_of(server) as client:
        ran = run_of(client, criteria, rows(*data))
        with Store(server.home) as other:
            run = other.runs.get(ran.id)
            assert run is not None
            exported = [json.loads(line) for line in exported_rows(other, run)]

    statuses = []
    for row in exported:
        error = "error" in row["sample"]
        statuses.append("error" if error else "pass" if all(row["passes"].values()) else "fail")
    assert statuses == ["error", "fail", "pass", "error"]
    assert "item.more" in exported[0]["sample"]["error"]["message"]
    assert exported[0]["sample"]["outputs"][0]["content"] == "Paris"
    assert exported[3]["sample"]["outputs"] == []
    import_lines(store, lines([{**row, "run_id": "evalrun_x"} for row in exported]), "back")
    back = store.runs.get("evalrun_x")
    assert back is not None
    assert (back.passed, back.failed, back.errored) == (1, 1, 2)
    assert [json.loads(line) for line in exported_rows(store, back)] == [
        {**row, "run_id": "evalrun_x"} for row in exported
    ]


def test_imported_runs_are_compared_and_graded_again(store: Store, tmp_path: Path) -> None:
    """Hosted verdicts beside ours, by the criterion's name; an export has no criteria, so they are given."""
    import_lines(store, lines(EXPORT[:2]), "x")
    (tmp_path / "criteria.json").write_text(json.dumps([equals("Paris", name="match")]))

    done = evals("regrade", "evalrun_1", "--criteria", f"@{tmp_path / 'criteria.json'}")

    # the row without a sample is an error for a criterion that reads one
    assert done.return_value == 1
    assert "agreement on match: 100.0% of 1" in done.stdout, done.output


CHECK = {
    "type": "string_check",
    "name": "c",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.a}}",
}
NEAR = {
    "type": "text_similarity",
    "name": "s",
    "evaluation_metric": "fuzzy_match",
    "input": "{{sample.output_text}}",
    "reference": "{{item.a}}",
}
BOTH = {"type": "multi", "name": "m", "graders": {"c": CHECK, "s": NEAR}, "calculate_output": "0.5*c + 0.5*s"}
DATA: list[dict[str, Any]] = [
    {"id": "x", "item": {"a": "Paris"}, "sample": "Paris", "label": 1},
    {"id": "y", "item": {"a": "Paris"}, "sample": {"output_text": "Pariss"}},
    {"id": "z", "item": {}, "sample": "Rome"},
]
RESULTS = [
    # a spec, options of the batch, (passed, failed, errored) of the run: without a threshold a full score passes
    pytest.param(CHECK, {}, (1, 1, 1), id="a check, with a row that cannot be graded"),
    pytest.param(CHECK, {"texts": False}, (1, 1, 1), id="without texts"),
    pytest.param({**NEAR, "pass_threshold": 0.8}, {}, (2, 0, 1), id="a threshold"),
    pytest.param(BOTH, {}, (1, 1, 1), id="multi: sub-rewards and failed members"),
]


@pytest.mark.parametrize(("spec", "options", "counted"), RESULTS)
def test_results_of_a_batch_survive_import_and_export(
    store: Store, tmp_path: Path, spec: Any, options: Any, counted: tuple[int, int, int]
) -> None:
    """`grader batch` writes a file; imported it is a run, and exported the same lines again, field by field."""
    written = tmp_path / "results.jsonl"
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines(DATA)))
    grade_dataset(spec, tmp_path / "rows.jsonl", str(written), **options)
    with written.open("ab") as file:
        file.write(b'{"id": "torn')

    done = evals("import", str(written))

    assert "1 evals, 1 runs, 3 items" in done.stdout, done.output
    run = only_run(store)
    assert (run.name, run.status, run.n_rows) == ("results", "completed", 3)
    assert (run.passed, run.failed, run.errored) == counted
    back = evals("export", run.id, "--format", "results").stdout.splitlines()
    assert [json.loads(line) for line in back] == [
        json.loads(line) for line in written.read_text().splitlines()[:-1]
    ]
    # the same file again is the same run, whatever it is called; another file of the same spec a run of the same eval
    again = evals("import", str(written), "--name", "again").stdout
    assert "0 evals, 0 runs, 0 items, 1 runs were there already" in again
    assert only_run(store).id == run.id
    with written.open("ab") as file:
        file.write(b'"}\n')
    (tmp_path / "other.jsonl").write_bytes(b"".join(written.read_bytes().splitlines(keepends=True)[:3]))
    assert "0 evals, 1 runs, 2 items" in evals("import", str(tmp_path / "other.jsonl")).stdout


def test_an_import_of_results_that_was_killed_begins_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed import leaves an unfinished run, and the same command completes it without a second one."""
    written = tmp_path / "results.jsonl"
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines(DATA)))
    grade_dataset(CHECK, tmp_path / "rows.jsonl", str(written))
    read = moving._lines

    def killed(path: Path) -> Iterator[bytes]:
        yield from list(read(path))[:3]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(moving, "_lines", killed)
        patched.setattr("graders.evals.exchange.imported.CHUNK", 1)
        assert evals("import", str(written)).exception is not None
    broken = only_run(store)
    found = evals("import", str(written))

    assert (broken.status, broken.done) == ("importing", 2)
    assert "0 evals, 1 runs, 3 items" in found.stdout, found.output
    whole = only_run(store)
    assert (whole.id, whole.status, whole.done) == (broken.id, "completed", 3)


def test_a_pipe_is_imported(store: Store, tmp_path: Path) -> None:
    """A pipe can be read only once, so its results are a new run."""
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines(DATA)))
    grade_dataset(CHECK, tmp_path / "rows.jsonl", str(tmp_path / "results.jsonl"))
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(
        target=lambda: (tmp_path / "pipe").write_bytes((tmp_path / "results.jsonl").read_bytes())
    )
    writer.start()

    found = evals("import", str(tmp_path / "pipe"))

    writer.join()
    assert "1 evals, 1 runs, 3 items" in found.stdout, found.output


def only_run(store: Store) -> RunRecord:
    (eval_record,) = store.evals.page(Cursor()).rows
    (run,) = store.runs.page(eval_record.id, Cursor()).rows
    return run


def test_a_judges_row_keeps_its_usage_and_its_verdict(store: Store) -> None:
    header = {
        "graders_results": 1,
        "digest": "d" * 64,
        "spec": {},
        "name": "j",
        "type": "score_model",
        "engine": "e",
    }
    used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cached_tokens": None}
    row = {
        "id": "1",
        "reward": 0.5,
        "ok": True,
        "seconds": 0.1,
        "usage": {"m": used},
        "provenance": {"judge": {"text": "t"}},
    }

    import_lines(store, lines([header, row]), "j")

    run = only_run(store)
    assert [(one.model, one.role, one.calls, one.total_tokens) for one in run.usage] == [
        ("m", "grader", 1, 5)
    ]
    assert [json.loads(line) for line in exported_results(store, run)] == [header, row]


def test_a_run_becomes_a_results_file(store: Store, tmp_path: Path) -> None:
    """One criterion at a time; the report's command reads it, and imported again it counts the same."""
    source = rows(*({"item": one["item"], "sample": {"output_text": "Paris"}} for one in DATA))
    criteria = [{**CHECK, "name": "one"}, {**NEAR, "name": "two", "pass_threshold": 0.5}]
    with Backends() as backends:
        made = Evals(store, backends).create({"data_source_config": custom(), "testing_criteria": criteria})
        run = execute(
            store, backends, Evals(store, backends).create_run(made.id, {"data_source": source}).id, print
        )
    assert run is not None

    unnamed = evals("export", run.id, "--format", "results")
    out = tmp_path / "two.jsonl"
    named = evals("export", run.id, "--format", "results", "--criterion", "two", "-o", str(out))

    assert unnamed.return_value == 1
    assert "name it with --criterion" in unnamed.stderr
    assert named.return_value == 0, named.output
    header, results = read_results(out)
    assert (header.name, header.spec["evaluation_metric"], header.data) == ("two", "fuzzy_match", run.id)
    graded = list(results)
    assert [(one.id, one.reward, one.ok) for one in graded] == [
        ("0", 1.0, True),
        ("1", 1.0, True),
        ("2", None, False),
    ]
    assert (graded[0].item, graded[0].output_text) == ({"a": "Paris"}, "Paris")
    shown = CliRunner().invoke(report_command, [str(out)], standalone_mode=False)
    assert shown.return_value == 0, shown.output
    assert "0 evals" not in evals("import", str(out)).stdout
    back = store.runs.page(f"eval_{header.digest[:32]}", Cursor()).rows[0]
    two = run.criteria[1]
    assert (back.passed, back.failed, back.errored) == (two.passed, two.failed, two.errored)
    assert "\n".join(exported_results(store, back)) + "\n" == out.read_text()


def test_an_imported_export_has_no_spec_for_a_results_file(store: Store) -> None:
    import_lines(store, lines(EXPORT[:2]), "x")

    done = evals("export", "evalrun_1", "--format", "results")

    assert done.return_value == 1
    assert "does not have the spec" in done.stderr


def test_export_writes_a_file(store: Store, tmp_path: Path) -> None:
    import_lines(store, lines(EXPORT), "x")

    assert evals("export", "evalrun_1", "-o", str(tmp_path / "out.jsonl")).return_value == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    first = json.loads(evals("export", "evalrun_2").stdout)
    assert (first["grades"], first["passes"]) == ({GRADE: 1.0, "other": 0.5}, {GRADE: True, "other": False})
    assert evals("export", "evalrun_none").return_value == 1


AZURE_RUN = {
    "object": "eval.run",
    "id": "evalrun_1",
    "eval_id": "eval_1",
    "created_at": 1,
    "status": "completed",
    "name": "n",
    "data_source": {"type": "jsonl", "source": {"type": "file_id", "id": "file-1"}},
    "metadata": {},
    "model": "m",
    "per_testing_criteria_results": [{"testing_criteria": GRADE, "passed": 2, "failed": 0}],
}
AZURE_ITEMS = [
    {
        "object": "eval.run.output_item",
        "id": f"outputitem_{n}",
        "run_id": "evalrun_1",
        "eval_id": "eval_1",
        "created_at": 1,
        "datasource_item_id": n,
        "datasource_item": {"q": str(n)},
        "status": "pass",
        "results": [{"name": GRADE, "passed": True, "score": 1.0, "sample": None}],
        "sample": {"output": []},
    }
    for n in range(2)
]
AZURE_EVAL = {
    "object": "eval",
    "id": "eval_1",
    "created_at": 1,
    "name": "azure",
    "metadata": {},
    "data_source_config": {"type": "custom", "schema": {"type": "object", "properties": {}}},
    "testing_criteria": [{**equals(), "id": GRADE}],
}


class AzureHandler(BaseHTTPRequestHandler):
    """A resource of Azure with one eval: every request needs the prefix, `api-key`, `api-version` and `aoai-evals`.

    Source: the reference of Azure AI Foundry Models' v1 API, "List evaluations for a project": authorization, headers and
    query parameters. The version is optional there; addresses of resources that demand one are why there is an option.
    """

    #: Path -> what a list holds; a page has one object.
    lists: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "/evals": [AZURE_EVAL],
        "/evals/eval_1/runs": [AZURE_RUN],
        "/evals/eval_1/runs/evalrun_1/output_items": AZURE_ITEMS,
    }
    refused: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        prefix, _, path = address.path.partition("/openai/v1")
        if prefix or not path:
            self._answer(404, {"error": {"code": "404", "message": "Resource not found"}})
        elif self.headers["api-key"] != "azure-secret" or "authorization" in self.headers:
            self._answer(
                401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}
            )
        elif query.get("api-version") != "preview" or self.headers["aoai-evals"] != "preview":
            self._answer(400, {"error": {"code": "BadRequest", "message": "API version not supported"}})
        elif path == "/files/file-1/content":
            self._answer(200, {"item": {"q": "0"}})
        else:
            held = self.lists[path]
            ids = [one["id"] for one in held]
            start = ids.index(query["after"]) + 1 if "after" in query else 0
            page = held[start : start + 1]
            self._answer(200, {"object": "list", "data": page, "has_more": start + 1 < len(held)})

    def _answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        if status != 200:
            self.refused.append(f"{status} {self.path}")
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


@pytest.fixture
def azure() -> Iterator[str]:
    """The address of Azure's resource."""
    AzureHandler.refused.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), AzureHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_pull_sends_azures_key_version_and_prefix(
    azure: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key, version and prefix go with every request: of pages behind the first one and of files, too."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-secret")
    folder = str(tmp_path / "pulled")

    done = evals(
        "pull",
        folder,
        "--base-url",
        f"{azure}/openai/v1",
        "--key-env",
        "AZURE_OPENAI_API_KEY",
        "--azure",
        "--api-version",
        "preview",
    )
    imported = evals("import", folder)

    assert AzureHandler.refused == []
    assert done.return_value == 0, done.output
    assert done.stdout.strip() == "1 evals, 1 runs, 2 items, 1 files"
    assert "1 evals, 1 runs, 2 items" in imported.stdout, imported.output
    run = store.runs.get("evalrun_1")
    assert run is not None
    assert (run.name, run.status, run.passed) == ("n", "completed", 2)
    assert store.files.get("file-1") is not None
    assert b"azure-secret" not in b"".join(path.read_bytes() for path in Path(folder).rglob("*.jsonl"))


REFUSED_BY_AZURE = [
    pytest.param("/openai/v1", ["--api-version", "preview"], "401", id="the key as OpenAI wants it"),
    pytest.param("/openai/v1", ["--azure"], "400", id="no version"),
    pytest.param("/v1", ["--azure", "--api-version", "preview"], "404", id="no prefix"),
]


@pytest.mark.parametrize(("path", "options", "status"), REFUSED_BY_AZURE)
def test_azures_refusal_is_reported(
    azure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, options: list[str], status: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "azure-secret")

    done = evals("pull", str(tmp_path), "--base-url", f"{azure}{path}", *options)

    assert done.return_value == 3
    assert f"GET /evals gave {status}" in done.stderr


def test_a_key_that_is_refused_ends_a_pull(tmp_path: Path) -> None:
    """A refused key ends a pull at once with the API's answer."""
    with eval_server(token="secret") as server:
        done = evals("pull", str(tmp_path), "--base-url", f"{server.url}/v1", "--key-env", "")

    assert done.return_value == 3
    assert "401" in done.stderr
    assert "run it again" in done.stderr
