"""Specs: every problem at once, with its place; nothing but SpecError for any JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import graders
from graders.kinds import KINDS, spec_of
from graders.kinds.reading import read
from graders.kinds.schema import json_schema
from graders.spec.model import EXPORTED_KEYS
from graders.spec.reading import load
from tests.specs import label_model, multi, python, score_model, string_check, text_similarity

EXAMPLES = Path(__file__).parents[2] / "examples"
VALID = [string_check(), text_similarity(), python(), score_model(), label_model(), multi()]
KEYS = sorted(
    {field for kind in KINDS for field in spec_of(kind).model_fields} | {"text", "role", "content", "data"}
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from([*KINDS, "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=12,
)


def problems_of(spec: Any) -> tuple[graders.Problem, ...]:
    """The problems of a spec that is refused; () when it is valid. Every refusal names one."""
    try:
        graders.validate(spec)
    except graders.SpecError as error:
        return error.problems or pytest.fail("refused without a problem")
    return ()


@given(JSON)
def test_any_json_is_a_spec_or_a_spec_error(value: Any) -> None:
    """validate raises nothing else, and a text is treated like the value it holds."""
    if isinstance(value, str):
        # a text may also be a path
        return

    assert problems_of(value) is not None


@given(st.sampled_from(VALID), st.sampled_from(KEYS), JSON)
def test_a_spec_with_any_field_replaced_is_a_spec_or_a_spec_error(
    spec: dict[str, Any], key: str, value: Any
) -> None:
    """The same for specs that are almost right."""
    assert problems_of({**spec, key: value}) is not None


@pytest.mark.parametrize("spec", VALID, ids=lambda spec: spec["type"])
def test_normalised_specs_validate_again(spec: dict[str, Any]) -> None:
    """validate returns a spec that validate returns unchanged."""
    normalised = graders.validate(spec)

    assert graders.validate(normalised) == normalised


def test_validate_adds_a_name_and_nothing_else() -> None:
    """As in the transcripts of the live endpoint: a nameless grader gets a name, and no image_tag is filled in."""
    source = "def grade(sample, item):\n    return 1.0\n"
    validated = graders.validate({"type": "python", "source": source}, strict=True)

    assert re.fullmatch(r"grader-[A-Za-z0-9]{12}", validated.pop("name"))
    assert validated == {"type": "python", "source": source}
    assert graders.validate(string_check()) == string_check()


def test_a_generated_name_is_the_same_on_every_answer() -> None:
    """Validate and run call a nameless grader by one name."""
    spec = string_check()
    del spec["name"]

    name = graders.validate(spec)["name"]

    assert graders.run(spec, "x", {"answer": "x"}).to_wire()["metadata"]["name"] == name
    assert graders.compile(spec).name == "string_check"


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        pytest.param({**string_check(), "#": 1}, "#", id="a grader's field (found by fuzzing)"),
        pytest.param(score_model(sampling_params={"#text": 1}), "sampling_params.#text", id="a nested field"),
        pytest.param(
            {"type": "endpoint", "url": "https://grader.test", "headers": {"#part": 5}},
            "headers.#part",
            id="a free name",
        ),
    ],
)
def test_a_key_that_looks_like_a_mark_of_the_parser_is_named(spec: dict[str, Any], path: str) -> None:
    """`#` marks the members of unions in pydantic's paths; a user's key may begin with it."""
    with pytest.raises(graders.SpecError) as caught:
        graders.validate(spec)

    assert [problem.path for problem in caught.value.problems] == [path]


def test_problems_have_line_and_column(tmp_path: Path) -> None:
    """Each problem of a file has its line and column, in the order of the file."""
    file = tmp_path / "spec.json"
    file.write_text(
        '{\n  "type": "string_check",\n  "operation": "is",\n  "input": 5,\n  "reference": "{{ x.y }}"\n}'
    )

    with pytest.raises(graders.SpecError) as caught:
        graders.validate(file)

    places = [(problem.line, problem.column, problem.path) for problem in caught.value.problems]
    assert places == [(3, 3, "operation"), (4, 3, "input"), (5, 3, "reference")]
    assert str(caught.value).startswith(f"{file}:3:3: Invalid value: 'is'.")


def test_problems_in_yaml_have_line_and_column(tmp_path: Path) -> None:
    """YAML specs are read, and have lines too."""
    pytest.importorskip("yaml")
    file = tmp_path / "spec.yaml"
    file.write_text(
        "type: multi\ngraders:\n  a:\n    type: string_check\n    operation: is\ncalculate_output: a\n"
    )

    with pytest.raises(graders.SpecError) as caught:
        graders.validate(file)

    assert ("graders.a.operation", 5) in [(problem.path, problem.line) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param('{"type": "string_check",}', "invalid_json", id="a comma too many"),
        pytest.param("{", "invalid_json", id="cut off"),
        pytest.param(" \n", "invalid_json", id="empty"),
        pytest.param('{"a": ' * 100_000, "spec_too_large", id="very deep"),
        pytest.param("no-such-file.json", "unreadable_file", id="no file"),
        pytest.param("x" * 5000, "unreadable_file", id="a name too long"),
        pytest.param("a\0b", "unreadable_file", id="NUL in a name"),
    ],
)
def test_a_text_that_is_no_spec_is_explained(text: str, code: str) -> None:
    """A text is JSON or a path; what it is not is said."""
    with pytest.raises(graders.SpecError) as caught:
        graders.validate(text)

    assert caught.value.problems[0].code == code


def test_an_empty_file_gets_an_example_grader(tmp_path: Path) -> None:
    file = tmp_path / "empty.json"
    file.write_text("")
    with pytest.raises(graders.SpecError, match="empty; expected a grader, such as"):
        graders.validate(file)


def test_yaml_that_refers_to_itself(tmp_path: Path) -> None:
    """Aliases neither hang nor crash."""
    pytest.importorskip("yaml")
    bomb = "a: &a [x, x]\n" + "".join(
        f"{c}: &{c} [*{p}, *{p}]\n"
        for p, c in zip("abcdefghijklmnopqrst", "bcdefghijklmnopqrstu", strict=False)
    )
    for text in ("type: multi\ngraders: &g\n  a: *g\n", bomb):
        file = tmp_path / "spec.yml"
        file.write_text(text)

        with pytest.raises(graders.SpecError):
            graders.validate(file)


class HasDump:
    def model_dump(self, mode: str, exclude_unset: bool) -> dict[str, Any]:
        return string_check()


@pytest.mark.parametrize("form", ["dict", "text", "path", "object", "grader"])
def test_every_form_of_a_spec_compiles(form: str, tmp_path: Path) -> None:
    """dict, JSON text, path, an object with model_dump, and a compiled grader all compile."""
    file = tmp_path / "s.json"
    file.write_text(json.dumps(string_check()))
    forms = {
        "dict": string_check(),
        "text": json.dumps(string_check()),
        "path": str(file),
        "object": HasDump(),
        "grader": graders.compile(string_check()),
    }

    assert graders.run(forms[form], "x", {"answer": "x"}).reward == 1.0


def test_the_schema_and_validate_agree() -> None:
    """The printed JSON Schema validates every valid spec and refuses what pydantic's shape refuses."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    for spec in VALID:
        assert validator.is_valid(spec), spec["type"]
        assert not validator.is_valid({**spec, "surprise": 1})
        assert not validator.is_valid({key: value for key, value in spec.items() if key != "type"})
    assert not validator.is_valid(multi(graders={"a": multi()}))


def test_the_schema_names_every_field() -> None:
    """Made from the models: each kind's fields are in it, and each kind is told apart by a constant."""
    definitions = json_schema()["$defs"]

    for kind in KINDS:
        model = spec_of(kind)
        assert set(definitions[model.__name__]["properties"]) == {*model.model_fields, *EXPORTED_KEYS}
        assert definitions[model.__name__]["properties"]["type"]["const"] == kind


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.grader.json")), ids=lambda path: path.name)
def test_examples_are_valid(example: Path) -> None:
    """Every example spec passes the printed schema and, unless the service lacks its type, strict validation."""
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(example.read_text())

    read(load(example), strict=spec_of(document["type"]).hosted)

    jsonschema.validate(document, json_schema())


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        pytest.param(
            text_similarity(evaluation_metric="meteor", pass_threshold=1), "meteor_never_one", id="meteor"
        ),
        pytest.param(
            text_similarity(evaluation_metric="rouge_l", reference="你好"), "rouge_blind", id="rouge, Chinese"
        ),
        pytest.param(
            text_similarity(evaluation_metric="rouge_3", reference="two words"),
            "rouge_short",
            id="rouge, short",
        ),
        pytest.param(label_model(passing_labels=[]), "no_passing_label", id="nothing passes"),
        pytest.param(label_model(passing_labels=["good", "bad"]), "all_labels_pass", id="everything passes"),
        pytest.param(python("def grade(x):\n    return 1\n"), "invalid_source", id="one parameter"),
        pytest.param(python("async def grade(s, i):\n    return 1\n"), "invalid_source", id="async"),
    ],
)
def test_warnings(spec: dict[str, Any], code: str) -> None:
    """A warning does not refuse the spec, and names what to look at."""
    assert [warning.code for warning in read(load(spec)).warnings] == [code]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("def grade(sample, item):\n    return 1\n", id="plain"),
        pytest.param("def grade(s, i, /):\n    return 1\n", id="positional only"),
        pytest.param("def grade(s, i, verbose=False):\n    return 1\n", id="a default"),
        pytest.param("def grade(*args):\n    return 1\n", id="star"),
        pytest.param("def grade(s, *rest):\n    return 1\n", id="one and star"),
        pytest.param("grade = lambda s, i: 1\n", id="assigned"),
        pytest.param("from math import pow as grade\n", id="imported"),
        pytest.param("if True:\n    def grade(s, i):\n        return 1\n", id="in a block"),
        pytest.param("class G:\n    pass\ntry:\n    grade = G()\nfinally:\n    pass\n", id="in a try"),
        pytest.param("x = '\\d'\ndef grade(s, i):\n    return 1\n", id="an odd escape"),
    ],
)
def test_sources_that_may_work_are_not_accused(source: str) -> None:
    """Sources that may work get no warning."""
    assert read(load(python(source))).warnings == ()


STRICT = [
    string_check(operation="neq"),
    string_check(input="{{ sample.output }}"),
    string_check(input="{{ item }}"),
    python("no program"),
    multi("a", [{**string_check(), "name": "a"}]),
]


@pytest.mark.parametrize("spec", STRICT)
def test_strict_names_the_source_of_a_rule(spec: dict[str, Any]) -> None:
    """Each refusal of what we would take names its source (F5)."""
    with pytest.raises(graders.SpecError) as caught:
        graders.validate(spec, strict=True)

    assert all("Refused because of --strict: " in problem.message for problem in caught.value.problems)
