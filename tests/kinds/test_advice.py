"""What validate says beforehand of specs that are valid and probably not meant, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from graders.cli import group
from graders.engine.backends import Backends
from graders.engine.configured import problems_here
from graders.kinds.reading import read
from graders.preflight.check import check
from graders.preflight.programs import last_words
from graders.spec.reading import load
from tests.specs import multi, python, score_model, string_check, text_similarity

TRY = "def grade(s, i):\n try:\n  from {} import x\n  return 1.0\n except Exception:\n  return 0.0\n"
FOUNDRY = (
    "def grade(sample, item):\n    return float(item.get('sample', {}).get('output_text') == item['a'])\n"
)
METHOD = "class G:\n    def grade(self, sample, item):\n        return 1.0\n"


def asked(text: str) -> dict[str, Any]:
    return score_model(input=[{"role": "user", "content": text}])


ADVICE = [
    # spec, code, part of the message
    pytest.param(python(TRY.format("no_such_package")), "missing_package", "pip install no_such_package", id="F10 behind try"),
    pytest.param(python("import no_such_package\n\n" + TRY.format("os")), "missing_package", "not installed", id="F10"),
    pytest.param(string_check(input="{{sample.final_answer}}"), "unknown_sample_variable", "'final_answer'", id="F15"),
    pytest.param(python(METHOD), "invalid_source", "a method of G", id="F18 a method"),
    pytest.param(python("def grade(item, sample):\n    return 1.0\n"), "grade_signature", "(item, sample)", id="F18 swapped"),
    pytest.param(python("def grade(s, i) -> dict:\n    return 1.0\n"), "grade_signature", "dict", id="F18 a dict"),
    pytest.param(python(FOUNDRY), "grade_signature", "sample['output_text']", id="F20 Foundry's item"),
    pytest.param(score_model(model="{{deployment}}"), "model_template", "a name", id="F18 model"),
    pytest.param(asked("{% if item.x %}a{% endif %} {{item.x}}"), "jinja_statement", "as it stands", id="F18 Jinja"),
    pytest.param(string_check(operation="like", reference="%done%"), "like_pattern", "contains", id="F18 like"),
    pytest.param(asked("Rate {sample.output_text} {{item.x}}"), "single_braces", "double braces", id="single braces"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "code", "message"), ADVICE)
def test_each_advice_has_its_code(spec: dict[str, Any], code: str, message: str) -> None:
    """Each has a code of its own, and the spec stays valid."""
    (warning,) = read(load(spec)).warnings

    assert warning.code == code
    assert message in warning.message


@pytest.mark.parametrize(
    "spec",
    [
        python("import json, numpy\ndef grade(sample, item) -> float:\n    return 1.0\n"),
        string_check(input="{{ sample.output_json.a }}", reference="{a} {item} { item.x , } {{{item.x}}}"),
        string_check(operation="like", reference="100%"),
        asked("{{sample.choices[0].message.content}} {% raw"),
    ],
)
def test_good_specs_have_no_advice(spec: dict[str, Any]) -> None:
    assert read(load(spec)).warnings == ()


COSINE = multi("a + b", {"a": text_similarity(evaluation_metric="cosine"), "b": string_check()})


def test_a_missing_embedder_is_reported_at_compile(tmp_path: Path) -> None:
    """`validate` warns with the line, for the spec itself is valid; `check` counts it as an error (F20)."""
    spec, data, config = tmp_path / "spec.json", tmp_path / "data.jsonl", tmp_path / "graders.toml"
    spec.write_text(json.dumps(COSINE, indent=1))
    data.write_text('{"sample": "a", "item": {"answer": "a"}}\n')
    config.write_text("")

    validated = CliRunner().invoke(
        group, ["validate", str(spec), "--config", str(config), "--json"], standalone_mode=False
    )
    checked = CliRunner().invoke(
        group, ["check", str(spec), str(data), "--config", str(config), "--json"], standalone_mode=False
    )

    (problem,) = (p for p in json.loads(validated.stdout)["problems"] if p["code"] == "no_embedder")
    assert (problem["severity"], problem["path"], problem["line"]) == (
        "warning",
        "graders.a.evaluation_metric",
        10,
    )
    assert "[embeddings]" in problem["message"]
    assert validated.return_value == 0
    (finding,) = (f for f in json.loads(checked.stdout)["findings"] if f["code"] == "no_embedder")
    assert (finding["severity"], finding["path"]) == ("error", "graders.a.evaluation_metric")
    assert checked.return_value == 1


def test_a_configured_embedder_is_enough(tmp_path: Path) -> None:
    config = tmp_path / "graders.toml"
    config.write_text('[embeddings]\nmodel = "minilm"\n')
    spec = load(COSINE)

    with Backends(config=str(config)) as backends:
        assert problems_here(read(spec).spec, spec, backends) == []


RETIRED = [
    # the judge's name in the spec, graders.toml, the model that is said to end
    pytest.param("o3-mini", "", "o3-mini", id="an alias"),
    pytest.param("o3-mini-2025-01-31", "", "o3-mini-2025-01-31", id="a snapshot"),
    pytest.param("gpt-4o-audio-preview", "", None, id="another model that begins alike"),
    pytest.param(
        "gpt-4o", '[models."*"]\nbase_url = "http://127.0.0.1:8000/v1"', None, id="every name goes elsewhere"
    ),
    pytest.param(
        "gpt-4o", '[models."gpt-4*"]\nbase_url = "http://127.0.0.1:8000/v1"', None, id="a pattern does"
    ),
    pytest.param("gpt-4o", '[judge]\nbase_url = "http://127.0.0.1:8000/v1"', None, id="all judges do"),
    pytest.param(
        "gpt-4o", '[models."o3"]\nbase_url = "http://127.0.0.1:8000/v1"', "gpt-4o", id="another name does"
    ),
    pytest.param("gpt-4o", '[models]\n"gpt-4o" = { model = "gpt-6" }', None, id="sent as a model that stays"),
    pytest.param("mine", '[models]\nmine = { model = "gpt-4o" }', "gpt-4o", id="sent as one that ends"),
    pytest.param("gpt-4o", "[models", "gpt-4o", id="a configuration that cannot be read"),
]


@pytest.mark.parametrize(("name", "config", "model"), RETIRED)
def test_a_retired_judge_is_warned_of_where_openai_is_asked(
    name: str, config: str, model: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    file = tmp_path / "graders.toml"
    file.write_text(config)
    spec = load(multi("a + b", {"a": score_model(model=name), "b": string_check()}))

    with Backends(config=str(file)) as backends:
        found = problems_here(read(spec).spec, spec, backends)

    said = [(problem.code, problem.path, problem.message.split("'")[1]) for problem in found]
    assert said == ([] if model is None else [("model_retired", "graders.a.model", model)])


@pytest.mark.parametrize(("config", "times"), [("", 1), ('[judge]\nbase_url = "http://127.0.0.1:1/v1"\n', 0)])
@pytest.mark.parametrize("command", ["validate", "check", "batch", "run", "test"])
def test_every_command_uses_a_retired_judges_route(
    command: str, config: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning where OpenAI is asked, none where the configuration sends the name elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Path("graders.toml").write_text(f"{config}max_attempts = 1\n" if config else "")
    Path("suite.toml").write_text('[tests.a]\nspec = "spec.json"\ndata = "data.jsonl"\nfail_under = 0\n')
    Path("spec.json").write_text(json.dumps(score_model(model="gpt-4o")))
    Path("data.jsonl").write_text('{"sample": "a", "item": {"answer": "a"}}\n')
    arguments = {"run": ["spec.json", "--sample", "a"], "validate": ["spec.json"], "test": ["suite.toml"]}

    done = CliRunner().invoke(
        group, [command, *arguments.get(command, ["spec.json", "data.jsonl"]), "--config", "graders.toml"]
    )

    assert done.output.count("OpenAI retires 'gpt-4o'") == times


def test_an_unknown_part_gets_a_suggestion() -> None:
    """A chat completion's part names what stands for it here (F20)."""
    spec = score_model(input=[{"role": "user", "content": [{"type": "text", "text": "x"}]}])

    with pytest.raises(ValueError, match=r"Did you mean .input_text.[?]"):
        read(load(spec))


ITEMS = [{"nums": [1]}, {"nums": [2]}]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param(
            "def grade(s, i):\n    return float(i['numbers'][0])\n",
            ["program_fails"],
            id="a key that no item has",
        ),
        pytest.param(
            "import json\ndef grade(s, i):\n    return float(json.loads(s['output_text'])['x'])\n",
            [],
            id="an output is needed",
        ),
        pytest.param("def grade(s, i):\n    return float(i['nums'][0])\n", [], id="good"),
    ],
)
def test_programs_are_tried_on_items_alone(source: str, found: list[str]) -> None:
    """Programs are tried on items without outputs; only errors that no output would prevent are reported (F10)."""
    report = check(python(source), ITEMS)

    assert [finding.code for finding in report.findings] == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Traceback:\n  File x\nKeyError: 'gold'", "KeyError: 'gold'"),
        (
            "Traceback:\n\nLookupError:\n*****\n  Resource punkt not found.\n*****\n",
            "LookupError: Resource punkt not found.",
        ),
        ("nltk.LookupError: x", "nltk.LookupError: x"),
        ("the program was ended", "the program was ended"),
    ],
)
def test_a_warning_quotes_the_exception_of_a_traceback(text: str, words: str) -> None:
    """The exception and its first words, not a line of stars (F11)."""
    assert last_words(text) == words
