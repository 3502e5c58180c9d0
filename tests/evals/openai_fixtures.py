"""A pytest plugin for openai-python's own tests: the objects that they ask for by fixed ids are laid before each.

    python -m pytest -p tests.evals.openai_fixtures SDIST/tests/api_resources/test_evals.py

GRADERS_HOME names the store of the server under test, TEST_API_BASE_URL the server.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graders.store import EvalRecord, FinishedItem, ItemScore, JobRecord, ModelUsage, NewItem, Store

CONFIG = (
    '{"type":"custom","schema":{"type":"object","properties":{"item":{"type":"object"}},"required":["item"]}}'
)
CRITERIA = '[{"type":"string_check","name":"c","id":"c-1","input":"a","reference":"a","operation":"eq"}]'
SOURCE = '{"type":"jsonl","source":{"type":"file_id","id":"file_id"}}'


@pytest.fixture(scope="session")
def graders_store() -> Iterator[Store]:
    with Store() as store:
        yield store


@pytest.fixture(autouse=True)
def laid(graders_store: Store) -> None:
    """An eval, a finished run with an item, and a file."""
    store = graders_store
    if store.files.get("file_id") is None:
        with store.database.write() as db:
            db.execute("DELETE FROM files WHERE id = 'file_id'")
        upload = store.files.upload()
        upload.write(b'{"item": {}}\n')
        store.files.add(upload, purpose="assistants", filename="rows.jsonl", file_id="file_id")
    if store.evals.get("eval_id") is None:
        store.evals.add(EvalRecord("eval_id", 1, 1, "name", "{}", CONFIG, CRITERIA))
    if store.runs.get("run_id") is None:
        number = store.runs.add(
            run_id="run_id",
            eval_id="eval_id",
            created_at=1,
            name="name",
            model="model",
            metadata="{}",
            data_source=SOURCE,
            criteria=["c-1"],
            status="in_progress",
        )
        assert number is not None
        store.items.add(number, 0, [NewItem("{}", "", item_id="output_item_id")], last=True)
        result = '[{"name":"c-1","type":"string_check","passed":true,"score":1.0,"sample":null}]'
        shown = (
            '{"input":[{"role":"user","content":"a"}],"output":[{"role":"assistant","content":"a"}],'
            '"finish_reason":"stop","model":"m","usage":null,"error":null,"seed":null,"temperature":null,'
            '"top_p":null,"max_completion_tokens":null}'
        )
        item = FinishedItem(0, 1, "pass", shown, result, (ItemScore(0, 1.0, True),))
        store.items.finish(number, [item], [ModelUsage("m", "sampler", 1, 1, 1, 2, 0)])
        store.runs.end(number, "completed")


JOB = "ft-AF1WoRqd3aJAHsqc9NY7iL8F"
CHECKPOINT = "ft:gpt-4o-mini-2024-07-18:org:weather:B7R9VjQd"
PERMISSION = "cp_zc4Q7MP6XxulcVzj4MZdwsAB"


@pytest.fixture(autouse=True)
def laid_job(graders_store: Store, request: pytest.FixtureRequest) -> None:
    """A job that can be paused and cancelled, or resumed, its training file, and a permission."""
    store = graders_store
    for file_id in ("file-abc123", "training_file"):
        if store.files.get(file_id) is None:
            upload = store.files.upload()
            upload.write(b"{}\n")
            store.files.add(upload, purpose="fine-tune", filename="rows.jsonl", file_id=file_id)
    status = "paused" if "resume" in request.node.name else "running"
    if store.jobs.get(JOB) is None:
        method = '{"type":"supervised","supervised":{}}'
        job = JobRecord(JOB, 1, status, "gpt-4o-mini", "file-abc123", None, None, 1, method, "{}", None, None)
        store.jobs.add(job)
    store.jobs.change(JOB, lambda _: status)
    with store.database.write() as db:
        db.execute("DELETE FROM permissions WHERE id = ?", (PERMISSION,))
        db.execute(
            "INSERT INTO permissions (id, checkpoint, created_at, project_id) VALUES (?, ?, 1, 'p')",
            (PERMISSION, CHECKPOINT),
        )
