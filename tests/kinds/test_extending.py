"""A grader type is one file and one line, and so is a metric: two toys go through every room."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.batch.run import grade_dataset
from graders.kinds import KINDS
from graders.kinds.schema import json_schema
from graders.metrics import METRICS
from graders.preflight.check import check
from graders.stats.gather import gather
from graders.stats.summary import summarise
from tests.specs import multi, text_similarity

TOYS = "tests.kinds.toys"
ROWS: list[dict[str, Any]] = [
    {"id": "a", "sample": "1,000.4", "item": {"answer": "1000"}},
    {"id": "b", "sample": "1002", "item": {"answer": "1000"}},
    {"id": "c", "sample": "about a thousand", "item": {"answer": "1000"}},
]
REWARDS = [1.0, 0.0, 0.0]


def number_check(**fields: Any) -> dict[str, Any]:
    return {
        "type": "number_check",
        "name": "number",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "tolerance": 0.5,
        **fields,
    }


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two lines."""
    monkeypatch.setitem(KINDS, "number_check", f"{TOYS}:NumberCheckSpec")
    monkeypatch.setitem(METRICS, "jaccard", TOYS)


def test_a_spec_of_a_toy_type_is_validated() -> None:
    """A spec of the type is valid, its mistakes are named as those of any type, and the normalised spec is it."""
    assert graders.validate(number_check()) == number_check()
    with pytest.raises(graders.SpecError) as caught:
        graders.validate(number_check(tolerence=1, input=5, reference="{{ items.answer }}"))

    assert {(p.path, p.code) for p in caught.value.problems} == {
        ("tolerence", "unknown_parameter"),
        ("input", "invalid_type"),
        ("reference", "invalid_template_namespace"),
    }


def test_strict_refuses_the_toys() -> None:
    """strict refuses what the service would refuse (D6)."""
    for spec in (
        number_check(),
        text_similarity(evaluation_metric="jaccard"),
        multi("a", {"a": number_check()}),
    ):
        graders.validate(spec)
        with pytest.raises(graders.SpecError) as caught:
            graders.validate(spec, strict=True)

        assert [problem.code for problem in caught.value.problems] == ["not_hosted"]


@pytest.mark.parametrize(
    ("spec", "rewards"),
    [
        pytest.param(number_check(), REWARDS, id="alone"),
        pytest.param(multi("1 - a / 2", {"a": number_check()}), [0.5, 1.0, 1.0], id="inside a multi"),
        pytest.param(text_similarity(evaluation_metric="jaccard"), [0.0, 0.0, 0.0], id="a metric"),
    ],
)
def test_run_and_batches_agree(spec: dict[str, Any], rewards: list[float], tmp_path: Path) -> None:
    """One row, a batch of rows and a dataset give the same."""
    grader = graders.compile(spec)

    assert [grader.run(row["sample"], row["item"]).reward for row in ROWS] == rewards
    assert [result.reward for result in grader.run_batch(ROWS)] == rewards
    assert grader.rewards(ROWS) == rewards
    grade_dataset(grader, ROWS, str(tmp_path / "results.jsonl"))
    assert summarise(gather(str(tmp_path / "results.jsonl"))).scored == len(ROWS)


def test_a_metric_over_columns() -> None:
    """A metric of a table entry gets the columnar form of text_similarity."""
    grader = graders.compile(text_similarity(evaluation_metric="jaccard"))

    assert grader.kind.columns() is not None
    rows = [{"sample": "A b c", "item": {"answer": "a b d"}}, {"sample": "", "item": {"answer": ""}}]
    assert [result.reward for result in grader.run_batch(rows)] == [0.5, 1.0]
    assert next(grader.run_batch(rows)).provenance["metric"]["implementation"] == "toys"


@pytest.mark.parametrize("formula", ["1 / (a - 0.5)", "log(1 + a)", "sqrt(a)"])
def test_check_gives_no_false_alarm(formula: str) -> None:
    """A two-valued grader is never tried at values that it cannot give (D2)."""
    report = check(multi(formula, {"a": number_check()}), ROWS)

    assert report.findings == ()


def test_check_finds_mistakes_of_any_comparison() -> None:
    """A type that compares two texts is checked as every such type is, and has its own findings too (D3)."""
    both = check(number_check(input="{{ item.answer }}", reference="{{item.answer}}"), ROWS)
    wrong = check(number_check(), [*ROWS, {"id": "d", "sample": "1", "item": {"answer": "one"}}])

    assert [finding.code for finding in both.findings] == ["same_on_both_sides"]
    assert [(f.code, f.count, f.rows, f.numbers) for f in wrong.findings] == [
        ("reference_not_a_number", 1, ("d",), (4,))
    ]


def test_the_schema_has_the_toys() -> None:
    """Editors know the type, alone and inside a multi, and the metric."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())

    for spec in (
        number_check(),
        multi("a", {"a": number_check()}),
        text_similarity(evaluation_metric="jaccard"),
    ):
        assert validator.is_valid(spec)
    assert not validator.is_valid(number_check(tolerance="half"))


PYPROJECT = """Metadata-Version: 2.1
Name: acme-graders
Version: 1.2
"""
ENTRY_POINTS = f"""[graders.kinds]
number_check = {TOYS}:NumberCheckSpec
[graders.metrics]
jaccard = {TOYS}
"""
CODE = """
import json, sys, graders
result = graders.run(json.loads(sys.argv[1]), "2", {"answer": "2"})
print(json.dumps([result.reward, result.provenance]))
"""


@pytest.mark.parametrize(
    "spec", [number_check(), text_similarity(evaluation_metric="jaccard")], ids=["type", "metric"]
)
def test_entry_points_add_types_and_metrics(spec: dict[str, Any], tmp_path: Path) -> None:
    """Entry points are found where a name is not known here, and results name the distribution."""
    metadata = tmp_path / "acme_graders-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(PYPROJECT)
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    root = Path(__file__).parents[2]

    out = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(spec)],
        cwd=root,
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    reward, provenance = json.loads(out.stdout)
    assert reward == 1.0
    assert "acme-graders 1.2" in json.dumps(provenance)
