"""grader convert: what comes out of a document, what goes into one, and what is said to be lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.documents.convert import FORMS, convert, graders_in
from tests.specs import label_model, multi, python, score_model, string_check, text_similarity

ALL = [string_check(), text_similarity(), python(), score_model(), label_model(), multi()]


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec["type"])
@pytest.mark.parametrize("form", ["local", "rft"])
def test_there_and_back(spec: dict[str, Any], form: str) -> None:
    """One grader comes back from a form that can hold it as it went in."""
    converted = convert(spec, form)
    document = {"method": converted.document} if form == "rft" else converted.document

    (back,) = graders_in(document)[0].values()

    assert back == graders.validate(spec)
    assert converted.lost == []


@pytest.mark.parametrize("spec", ALL[:-1], ids=lambda spec: spec["type"])
def test_evals_there_and_back(spec: dict[str, Any]) -> None:
    """An eval holds every type but multi; a text_similarity gets the threshold that evals want."""
    converted = convert(spec, "evals")

    (back,) = graders_in(converted.document)[0].values()

    assert {key: value for key, value in back.items() if key != "pass_threshold"} == graders.validate(spec)
    assert bool(converted.lost) == (spec["type"] == "text_similarity")


def test_a_multi_falls_apart_in_an_eval_and_says_so() -> None:
    """Its graders stand side by side; the formula is named as lost."""
    converted = convert(multi("0.5 * a + 0.5 * p", {"a": string_check(), "p": python()}), "evals")

    assert [criterion["type"] for criterion in converted.document["testing_criteria"]] == [
        "string_check",
        "python",
    ]
    assert any("0.5 * a + 0.5 * p" in sentence for sentence in converted.lost)


def test_hosted_fills_in_names_and_says_what_is_refused() -> None:
    """What comes out passes strict validation; a grader that cannot is left out by name."""
    member = {key: value for key, value in string_check().items() if key != "name"}
    spec = {"$schema": "x", "type": "multi", "graders": {"a": member}, "calculate_output": "a"}

    converted = convert(spec, "hosted")

    assert graders.validate(converted.document, strict=True) == converted.document
    assert converted.document["graders"]["a"]["name"] == "a"
    assert "$schema" not in converted.document
    refused = convert(text_similarity(evaluation_metric="cosine"), "hosted")
    assert refused.document == {}
    assert refused.lost[0].startswith("similar: the service refuses it: 'cosine'")


def test_several_criteria_become_a_multi() -> None:
    """An eval with several criteria is a fine-tuning job with their mean."""
    evals = {"name": "e", "testing_criteria": [string_check(name="is it right?"), python(name="2nd")]}

    method = convert(evals, "rft").document

    assert method["reinforcement"]["grader"]["calculate_output"] == "(is_it_right_ + _2nd) / 2"
    assert graders.run(method["reinforcement"]["grader"], "x", {"answer": "x"}).reward == 1.0


@pytest.mark.parametrize("operation", ["eq", "ne", "like", "ilike"])
def test_promptfoo_there_and_back(operation: str) -> None:
    """String checks of the output mean the same in promptfoo, variables included."""
    spec = string_check(operation=operation)

    converted = convert(spec, "promptfoo")
    (back,) = graders_in(converted.document)[0].values()

    assert converted.document["assert"][0]["value"] == "{{answer}}"
    assert back == {**spec, "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}


@pytest.mark.parametrize("spec", ALL[1:], ids=lambda spec: spec["type"])
def test_promptfoo_says_what_it_cannot(spec: dict[str, Any]) -> None:
    """Nothing else is turned into something that means something else."""
    converted = convert(spec, "promptfoo")

    assert converted.document == {"assert": []}
    assert len(converted.lost) == 1


def test_promptfoo_assertions_without_a_grader() -> None:
    """What has no grader is listed by its place."""
    found, lost = graders_in(
        {"assert": [{"type": "llm-rubric", "value": "polite"}, {"type": "equals", "value": "x"}], "vars": {}}
    )

    assert list(found) == ["equals_1"]
    assert lost == ["assert[0] (llm-rubric): no grader means the same", "vars is not part of a grader"]


def test_eval_protocol_source_is_python() -> None:
    """The generated module compiles and holds the spec."""
    source = convert(multi(), "eval-protocol").document

    compile(source, "generated", "exec")
    assert "def evaluate_many(row)" in source


@pytest.mark.parametrize(
    "document", [{}, [], "x", {"method": {}}, {"method": {"reinforcement": {}}}, None, 5]
)
def test_no_grader_in_it(document: Any) -> None:
    """A document without one says what was expected."""
    with pytest.raises(graders.SpecError, match="Found no grader"):
        graders_in(document)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The result is on stdout, what is lost on stderr."""
    from graders.cli import main

    file = tmp_path / "eval.json"
    file.write_text(json.dumps({"testing_criteria": [string_check()], "data_source_config": {}}))

    with pytest.raises(SystemExit) as caught:
        main(["convert", str(file)])

    out, err = capsys.readouterr()
    assert caught.value.code == 0
    assert json.loads(out) == string_check()
    assert err == "not carried over: data_source_config is not part of a grader\n"


def test_the_forms_of_the_command() -> None:
    """The command offers every form."""
    from graders.cli.convert import command

    (option,) = (parameter for parameter in command.params if parameter.name == "to")
    assert tuple(option.type.choices) == tuple(FORMS)  # type: ignore[attr-defined]  # a Choice
