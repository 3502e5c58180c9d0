"""Why a row got its reward: `Grader.explain` and `grader run --explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import graders
from graders.cli import group
from graders.formula import Formula
from tests.specs import score_model, string_check, text_similarity

JOINED = {
    "type": "multi",
    "name": "joined",
    "graders": {"right": string_check(), "close": text_similarity()},
    "calculate_output": "0.5 * right + max(close, 0.2)",
}


def steps_of(spec: dict[str, Any], sample: str, item: dict[str, Any], **backends: Any) -> dict[str, str]:
    with graders.Backends(**backends) as made:
        explanation = graders.compile(spec, backends=made).explain(sample, item)
    return {step.at: step.text for step in explanation.steps}


def test_the_texts_that_were_compared() -> None:
    assert steps_of(string_check(), "Paris", {"answer": "Rome"}) == {"input": "Paris", "reference": "Rome"}


def test_members_and_every_step_of_the_formula() -> None:
    steps = steps_of(JOINED, "abcd", {"answer": "abcd"})

    assert steps["graders.right.reference"] == "abcd"
    assert steps["graders.close"] == "1"
    assert list(steps.items())[-3:] == [
        ("0.5 * right", "0.5"),
        ("max(close, 0.2)", "1"),
        ("0.5 * right + max(close, 0.2)", "1.5"),
    ]


def test_a_result_is_explained_without_grading_again() -> None:
    """A result of a batch, too: its judge is asked once."""
    asked: list[dict[str, Any]] = []

    def judge(body: dict[str, Any]) -> float:
        asked.append(body)
        return 0.5

    with graders.Backends(models=judge) as backends:
        grader = graders.compile(score_model(), backends=backends)
        (result,) = grader.run_batch([{"sample": "some text", "item": {}}])
        explanation = result.explain(grader, "some text", {})

    assert explanation.result is result
    assert "Rate this: some text" in str(explanation)
    assert len(asked) == 1


def test_explanations_show_a_judges_question_and_answer() -> None:
    asked: list[dict[str, Any]] = []

    def judge(body: dict[str, Any]) -> float:
        asked.append(body)
        return 0.5

    steps = steps_of(score_model(), "some text", {}, models=judge)

    assert steps["input (user to judge)"] == "Rate this: some text"
    assert '"verdict": 0.5' in steps["judge"]
    assert len(asked) == 1


@pytest.mark.parametrize(
    "spec", [string_check(), JOINED, score_model(input=[{"role": "user", "content": "{{item.answer}}"}])]
)
def test_a_missing_variable_is_a_step_and_no_score(spec: dict[str, Any]) -> None:
    """An explanation shows a missing variable as a step without a score."""
    with graders.Backends(models=lambda body: 0.5) as backends:
        explanation = graders.compile(spec, backends=backends).explain("x", {})

    assert any(step.text.startswith("no text: no 'item.answer'") for step in explanation.steps)
    assert str(explanation).endswith("which is no score: the row failed")


def test_steps_are_in_the_order_of_work() -> None:
    steps = list(Formula("-(a + 1) ^ 2 / b", ["a", "b"]).steps((1.0, 4.0)))

    assert steps == [
        ("a + 1.0", 2.0),
        ("(a + 1.0)^2.0", 4.0),
        ("-(a + 1.0)^2.0", -4.0),
        ("-(a + 1.0)^2.0 / b", -1.0),
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_the_steps(tmp_path: Path, as_json: bool) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(JOINED), encoding="utf-8")
    more = ["--json"] if as_json else []
    arguments = ["run", str(spec), "--sample", "x", "--item", '{"answer": "x"}', "--explain", *more]
    shown = CliRunner().invoke(group, arguments, standalone_mode=False).stdout

    if as_json:
        assert json.loads(shown)["steps"][-1] == {"at": JOINED["calculate_output"], "text": "1.5"}
    else:
        assert shown.splitlines()[-2:] == ["0.5 * right + max(close, 0.2): 1.5", "reward: 1.5"]
