"""validate, run and batch read every document that check and convert read (F9, F13, F20)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from graders.cli import group
from tests.specs import string_check, text_similarity

EXACT = string_check(name="exact")
CLOSE = text_similarity(name="close", pass_threshold=0.8)
JOB = {"model": "o4-mini", "method": {"type": "reinforcement", "reinforcement": {"grader": EXACT}}}
EVAL = {"name": "e", "testing_criteria": [EXACT, CLOSE]}
AZURE = {"type": "azure_ai_evaluator", "name": "fluent", "evaluator_name": "builtin.fluency"}
REQUEST = {"grader": EXACT, "model_sample": "Paris", "item": {"answer": "Paris"}}
AZD = """
model: gpt-4.1
method:
  type: reinforcement
  reinforcement:
    grader:
      type: string_check
      string_check:
        name: exact
        input: "{{sample.output_text}}"
        reference: "{{item.answer}}"
        operation: eq
"""
CLI = """
grader:
  type: string_check
  name: exact
  input: "{{sample.output_text}}"
  reference: "{{item.answer}}"
  operation: eq
model_sample: Paris
item: {answer: Paris}
"""

#: Name -> (file name, text, names of its graders).
DOCUMENTS: dict[str, tuple[str, str, list[str]]] = {
    "a grader": ("spec.json", json.dumps(EXACT), ["exact"]),
    "a fine-tuning job": ("job.json", json.dumps(JOB), ["exact"]),
    "a method alone": ("method.json", json.dumps(JOB["method"]), ["exact"]),
    "an eval": ("eval.json", json.dumps(EVAL), ["exact", "close"]),
    "a list of evals": ("evals.json", json.dumps([EVAL, EVAL]), ["exact", "close", "exact_2", "close_2"]),
    "a page of evals": ("page.json", json.dumps({"object": "list", "data": [EVAL]}), ["exact", "close"]),
    "an eval with an evaluator": ("azure.json", json.dumps({"testing_criteria": [EXACT, AZURE]}), ["exact"]),
    "a request": ("request.json", json.dumps(REQUEST), ["exact"]),
    "graders by name": ("named.json", json.dumps({"exact": EXACT, "close": CLOSE}), ["exact", "close"]),
    "YAML of azd": ("azd.yaml", AZD, ["exact"]),
    "YAML of the openai command": ("cli.yml", CLI, ["exact"]),
    "a promptfoo test": (
        "test.json",
        json.dumps({"assert": [{"type": "equals", "value": "{{answer}}", "metric": "exact"}]}),
        ["exact"],
    ),
}


def run(*arguments: str, text: str | None = None) -> Result:
    """One command; its exit code is what it returns."""
    done = CliRunner().invoke(group, list(arguments), input=text, standalone_mode=False)
    if done.exception is None:
        done.exit_code = done.return_value
    return done


@pytest.fixture(params=DOCUMENTS)
def document(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str]]:
    name, text, graders = DOCUMENTS[request.param]
    path = tmp_path / name
    path.write_text(text)
    return path, graders


def test_validate_reads_every_document(document: tuple[Path, list[str]]) -> None:
    """Every grader of the document is valid."""
    done = run("validate", str(document[0]))

    assert (done.exit_code, "1 of 1 valid" in done.output) == (0, True), done.output


def test_run_reads_every_document(document: tuple[Path, list[str]]) -> None:
    """One grader prints its result, several print theirs by name, and --grader chooses one."""
    path, names = document
    row = ("--sample", "Paris", "--item", '{"answer": "Paris"}')

    done, chosen = run("run", str(path), *row), run("run", str(path), *row, "--grader", names[-1])

    results = json.loads(done.stdout) if len(names) > 1 else {names[0]: json.loads(done.stdout)}
    assert {name: result["reward"] for name, result in results.items()} == dict.fromkeys(names, 1.0)
    assert json.loads(chosen.stdout)["reward"] == 1.0


def test_batch_writes_a_file_for_each_grader(document: tuple[Path, list[str]], tmp_path: Path) -> None:
    """One grader writes OUT; each of several writes a file with its name in it."""
    path, names = document
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"sample": "Paris", "item": {"answer": "Paris"}}) + "\n")

    done = run("batch", str(path), str(data), "-o", str(tmp_path / "out.jsonl"))

    wanted = ["out.jsonl"] if len(names) == 1 else [f"out.{name}.jsonl" for name in names]
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in tmp_path.glob("out*")) == sorted(wanted)


@pytest.mark.parametrize("text", [json.dumps(REQUEST), CLI], ids=["JSON", "YAML"])
def test_a_request_contains_its_own_row(text: str) -> None:
    """The run endpoint's body on standard input is graded without a --sample."""
    done = run("run", "-", text=text)

    assert (done.exit_code, json.loads(done.stdout)["reward"]) == (0, 1.0)


def test_problems_have_their_place_in_the_document(tmp_path: Path) -> None:
    """Path and line are those of the document, not of the grader cut out of it."""
    path = tmp_path / "eval.json"
    path.write_text(json.dumps({"testing_criteria": [EXACT, string_check(operation="is")]}, indent=1))

    done = run("validate", str(path), "--json")

    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["path"], problem["line"]) == ("testing_criteria[1].operation", 13)


def test_an_unknown_grader_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"
    path.write_text(json.dumps(EVAL))

    done = run("run", str(path), "--sample", "x", "--grader", "exakt")

    assert done.exit_code == 1
    assert (
        "There is no grader 'exakt' in an eval; there are 'exact', 'close'. Did you mean 'exact'?"
        in done.output
    )


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ({"model": "x", "training_file": "f"}, "The document has 'model', 'training_file'."),
        (["x"], "The document is a str."),
    ],
)
def test_an_unknown_document_lists_its_keys(value: Any, seen: str, tmp_path: Path) -> None:
    """The message names what was found and the forms that are known."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps(value))

    done = run("validate", str(path))

    assert done.exit_code == 1
    assert seen in done.output
    assert "a fine-tuning job ('method.reinforcement.grader')" in done.output
