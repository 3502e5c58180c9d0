"""grader convert: what comes out of a document, what goes into one, and what is said to be lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graders
from graders.documents.convert import FORMS, ConvertedDocument
from graders.documents.convert import convert as convert_source
from graders.documents.reading import read_document
from graders.spec.reading import Source
from graders.template import Template
from tests.specs import label_model, multi, python, score_model, string_check, text_similarity


def convert(document: Any, to: str) -> ConvertedDocument:
    return convert_source(Source(document), to)


def graders_in(document: Any) -> tuple[dict[str, Any], list[str]]:
    """The graders by name, and what is lost."""
    found = read_document(Source(document))
    return {name: source.value for name, source in found.sources.items()}, found.document.lost


ALL = [string_check(), text_similarity(), python(), score_model(), label_model(), multi()]


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec["type"])
@pytest.mark.parametrize("form", ["local", "rft"])
def test_a_grader_survives_conversion_and_back(spec: dict[str, Any], form: str) -> None:
    """One grader comes back from a form that can hold it as it went in."""
    converted = convert(spec, form)
    document = {"method": converted.document} if form == "rft" else converted.document

    (back,) = graders_in(document)[0].values()

    assert back == graders.validate(spec)
    assert converted.lost == []


@pytest.mark.parametrize("spec", ALL[:-1], ids=lambda spec: spec["type"])
def test_an_eval_survives_conversion_and_back(spec: dict[str, Any]) -> None:
    """An eval holds every type but multi; a text_similarity gets the threshold that evals want."""
    converted = convert(spec, "evals")

    (back,) = graders_in(converted.document)[0].values()

    assert {key: value for key, value in back.items() if key != "pass_threshold"} == graders.validate(spec)
    assert bool(converted.lost) == (spec["type"] == "text_similarity")


def test_an_eval_lists_a_multis_members_and_the_lost_formula() -> None:
    """A multi becomes one criterion a member, and the conversion reports the lost formula."""
    converted = convert(multi("0.5 * a + 0.5 * p", {"a": string_check(), "p": python()}), "evals")

    assert [criterion["type"] for criterion in converted.document["testing_criteria"]] == [
        "string_check",
        "python",
    ]
    assert any("0.5 * a + 0.5 * p" in sentence for sentence in converted.lost)


def test_hosted_fills_in_names_and_lists_refused_parts() -> None:
    """Converted specs pass strict validation; a grader that cannot is left out and named."""
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
    """An eval with several criteria is a fine-tuning job with their mean; what has one key gets two (F4)."""
    evals = {"name": "e", "testing_criteria": [string_check(name="is it right?"), python(name="2nd")]}

    method = convert(evals, "rft").document

    assert method["reinforcement"]["grader"]["calculate_output"] == "(is_it_right_ + _2nd) / 2"
    assert graders.run(method["reinforcement"]["grader"], "x", {"answer": "x"}).reward == 1.0


@pytest.mark.parametrize("operation", ["eq", "ne", "like", "ilike"])
def test_string_checks_survive_promptfoo_and_back(operation: str) -> None:
    """String checks of the output mean the same in promptfoo, variables included."""
    spec = string_check(operation=operation)

    converted = convert(spec, "promptfoo")
    (back,) = graders_in(converted.document)[0].values()

    assert converted.document["defaultTest"]["assert"][0]["value"] == "{{answer}}"
    assert back == {**spec, "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}


@pytest.mark.parametrize("spec", ALL[1:], ids=lambda spec: spec["type"])
def test_promptfoo_lists_unsupported_graders(spec: dict[str, Any]) -> None:
    """Graders that promptfoo lacks are listed and not converted to something else."""
    converted = convert(spec, "promptfoo")

    assert converted.document == {"defaultTest": {"assert": []}}
    assert len(converted.lost) == 1


def test_promptfoo_assertions_without_a_grader() -> None:
    """Assertions without a grader are listed with their place."""
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
    "document", [{"model": "x"}, [[]], {"method": {}}, {"method": {"reinforcement": {}}}, ["x"]]
)
def test_a_document_without_a_grader_is_refused(document: Any) -> None:
    """A document without one says what was expected."""
    with pytest.raises(graders.SpecError, match="Found no grader"):
        graders_in(document)


def test_the_command_prints_result_and_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_no_criterion_is_dropped() -> None:
    """Names that become one key, and graders inside a multi, all stand in the joined grader (F4, F14)."""
    names = ["my check!", "my check?", "a b", "a_b", "a-b", "-", "+", "1"]
    criteria = [string_check(name=name) for name in names]
    rubric = score_model(name="rubric", range=[0, 100])
    evals = {"testing_criteria": [*criteria, rubric, multi("a^2 / 2", {"a": text_similarity()}, name="both")]}

    converted = convert(evals, "rft")
    grader = converted.document["reinforcement"]["grader"]

    assert len(grader["graders"]) == len(names) + 2
    assert grader["calculate_output"].count("+") == len(names) + 1
    assert "(both_a^2.0 / 2.0)" in grader["calculate_output"]
    assert {member["name"] for member in grader["graders"].values()} >= {*names, "rubric"}
    assert any("rubric 0 to 100" in sentence for sentence in converted.lost)


TEXTS = st.sampled_from(
    ["{{item.answer}}", "the {{ item.answer }}", "{{item.a.b[0]}}", "Paris", "{{item.b-c}}", "{ x }"]
)
NAMES = st.text(st.sampled_from("ab _-!1"), min_size=1, max_size=4)
CHECKS = st.builds(
    lambda name, operation, reference: string_check(name=name, operation=operation, reference=reference),
    NAMES,
    st.sampled_from(["eq", "ne", "like", "ilike"]),
    TEXTS,
)


@given(
    st.lists(CHECKS, min_size=1, max_size=4),
    st.sampled_from(["local", "hosted", "rft", "evals", "promptfoo"]),
)
def test_conversions_without_loss_are_reversible(checks: list[dict[str, Any]], form: str) -> None:
    """Every grader that no sentence names stands in the converted document as it was."""
    converted = convert({"testing_criteria": checks}, form)
    try:
        back, _ = graders_in(converted.document)
    except graders.SpecError:
        back = {}
    if form == "rft" and len(checks) > 1:
        back = next(iter(back.values()))["graders"]

    assert len(back) + sum("no promptfoo assertion" in sentence for sentence in converted.lost) >= len(
        {json.dumps(check, sort_keys=True) for check in checks}
    )
    found = [(grader["operation"], Template(grader["reference"]).pieces) for grader in back.values()]
    for check in checks:
        lost = any("no promptfoo assertion" in sentence for sentence in converted.lost)
        assert lost or (check["operation"], Template(check["reference"]).pieces) in found


@pytest.mark.parametrize(
    "value",
    [
        "{{ answer | upper }}",
        "{% for x in y %}",
        "file://x.txt",
        "{{env.KEY}}",
        "{{ a - b }}",
        "{{open",
        "{# note #}",
    ],
)
def test_jinja_beyond_a_variable_is_listed(value: str) -> None:
    """Jinja beyond a variable is listed and never copied as text (F14)."""
    document = {"tests": [{"vars": {"answer": "x"}, "assert": [{"type": "contains", "value": value}]}]}

    found = read_document(Source(document))

    assert found.sources == {}
    assert found.document.lost[0].startswith("tests[0].assert[0] (contains): ")


def test_a_whole_promptfoo_configuration() -> None:
    """Its default test and its tests are read, equal assertions once; the rest is listed (F14)."""
    document = {
        "prompts": ["Say {{topic}}"],
        "providers": ["p"],
        "defaultTest": {"assert": [{"type": "icontains", "value": "{{ items[0].name }}"}]},
        "tests": [
            {"vars": {"topic": "a"}, "assert": [{"type": "equals", "value": "x", "weight": 2}]},
            {
                "vars": {"topic": "b"},
                "assert": [{"type": "equals", "value": "x", "transform": "output.trim()"}],
            },
        ],
    }

    found, lost = graders_in(document)

    assert [grader["reference"] for grader in found.values()] == ["{{item.items[0].name}}", "x"]
    assert lost == [
        "tests[0].assert[0].weight: put it in a multi's calculate_output",
        "tests[1].assert[0] (equals): its transform has no counterpart in a grader",
        "prompts is not part of a grader",
        "providers is not part of a grader",
        "tests[0].vars: put them into the items of the data",
        "tests[1].vars: put them into the items of the data",
    ]
