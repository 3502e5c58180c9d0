"""Objects in a notebook: what they show of themselves, in a real kernel and in its absence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import graders
from graders import notebook
from graders.batch import grade_dataset
from graders.preflight.check import check
from graders.report.report import make_report
from tests.specs import multi, string_check, text_similarity

SPEC = multi("a + b", {"a": string_check(), "b": text_similarity()}, name="<b>many</b>")
EVIL = '<script>alert("x")</script>'
ROWS: list[dict[str, Any]] = [
    {"id": "right", "sample": "a", "item": {"answer": "a"}},
    {"id": EVIL, "sample": "a", "item": {}},
]


def test_objects_are_shown_as_escaped_html(tmp_path: Path) -> None:
    """Graders, results, explanations, runs, summaries, reports and checks; small, and in the page's own colours."""
    grader = graders.compile(SPEC)
    run = grade_dataset(grader, ROWS, str(tmp_path / "r.jsonl"))
    shown = {
        "grader": grader,
        "result": grader.run("a", {"answer": "a"}),
        "failed result": grader.run("a", {}),
        "explanation": grader.explain(EVIL, {"answer": EVIL}),
        "run": run,
        "summary": run.summary(),
        "report": make_report(tmp_path / "r.jsonl"),
        "check": check(SPEC, ROWS),
    }

    for name, value in shown.items():
        html = value._repr_html_()  # type: ignore[attr-defined]  # each of them has it
        assert "<script" not in html, name
        assert "<b>many" not in html, name
        assert "background:transparent" in html, name
        assert len(html) < 10_000, name
    assert "mean reward" in shown["run"]._repr_html_()  # type: ignore[attr-defined]  # each of them has it


def test_a_run_has_its_figures(tmp_path: Path) -> None:
    """The mean with its interval, failed rows left out; the counts as JSON."""
    run = grade_dataset(
        SPEC, [*ROWS, {"id": "wrong", "sample": "b", "item": {"answer": "a"}}], str(tmp_path / "r")
    )
    summary = run.summary()

    assert summary.rewards is not None
    assert summary.rewards.mean.value == run.to_dict()["mean"] == 1.0
    assert summary.rewards.mean.low <= 1.0 <= summary.rewards.mean.high
    assert (run.to_dict()["rows"], run.to_dict()["failed"]) == (3, 1)


def test_texts_are_cut_and_made_sendable() -> None:
    """A long text ends in an ellipsis; a lone surrogate, which no page can hold, is replaced."""
    assert ("z" * notebook.TEXT_MAX) not in notebook.table("t", [("z" * 1000,)])
    notebook.block("t", "\ud800").encode()


CELLS = [
    "import graders\nfrom graders.batch import grade_dataset\nspec = {'type': 'python', 'source': "
    "'import time\\ndef grade(s, i):\\n    time.sleep(0.3)\\n    return 1.0\\n'}",
    "graders.compile(spec)",
    "graders.run(spec, 'a')",
    "(await graders.arun(spec, 'a')).reward",
    "run = grade_dataset(spec, [{'sample': 'a', 'item': {}}] * 4, 'r.jsonl', jobs=1); run",
    "sorted(dir(graders)) == sorted(graders.__all__)",
]


@pytest.mark.slow
def test_a_real_kernel_shows_results_and_progress(tmp_path: Path) -> None:
    """Sync and async calls beside the kernel's loop, HTML for objects, and a progress line that renews itself."""
    nbclient = pytest.importorskip("nbclient", reason="it has an environment of its own (.ci/run exporters)")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])

    nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    outputs = [cell["outputs"] for cell in book["cells"]]
    assert "python" in outputs[1][0]["data"]["text/html"]
    assert "reward" in outputs[2][0]["data"]["text/html"]
    assert outputs[3][0]["data"]["text/plain"] == "1.0"
    line, run = outputs[4]
    assert line["data"]["text/plain"].startswith("4 rows of 4 (100%)")
    assert "mean reward" in run["data"]["text/html"]
    assert outputs[5][0]["data"]["text/plain"] == "True"
