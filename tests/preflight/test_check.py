"""grader check: 200 mutated good pairs of spec and data, each with the finding it must have; no alarm on the good ones."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.datasets.rows import DataError
from graders.documents.jobs import HYPERPARAMETERS
from graders.formula import Formula
from graders.preflight.check import check
from graders.preflight.formulas import Range, witness
from tests.specs import label_model, multi, python, score_model, string_check, text_similarity

Spec = dict[str, Any]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def backends() -> Iterator[graders.Backends]:
    with graders.Backends() as backends:
        yield backends


# --- good pairs ---------------------------------------------------------------------------------------------------

WORDS = ("Paris", "Rome", "Oslo", "Bern", "Lima", "Cairo", "Delhi", "Tokyo")


def texts() -> Rows:
    """Questions with a text answer."""
    return [
        {
            "id": f"q{n}",
            "sample": f"It is {word}, of course.",
            "item": {"answer": f"the city {word} is it", "question": f"Which? {n}"},
        }
        for n, word in enumerate(WORDS)
    ]


def objects() -> Rows:
    """Structured outputs and nested items."""
    return [
        {
            "id": n,
            "sample": json.dumps({"city": word, "tags": ["a", word]}),
            "item": {"answer": word, "gold": {"city": word}, "meta": '{"k": "v"}'},
        }
        for n, word in enumerate(WORDS)
    ]


def repeats() -> Rows:
    """Two samples of each item: one id, one item, twice."""
    return [{**row, "sample": f"{row['sample']} {n}"} for row in texts() for n in range(2)]


GRADE = "def grade(sample, item):\n    return float(item['answer'] in sample['output_text'])\n"

GOOD: dict[str, tuple[Spec, Callable[[], Rows]]] = {
    "string_check": (string_check(operation="like"), texts),
    "json path": (
        string_check(input="{{ sample.output_json.city }}", reference="{{ item.gold.city }}"), objects,
    ),
    "json in text": (
        string_check(operation="ne", input="{{sample.output_json.tags[1]}}", reference="{{item.meta.k}}"), objects,
    ),
    "fuzzy": (text_similarity(), texts),
    "rouge": (text_similarity(evaluation_metric="rouge_2"), texts),
    "python": (python(GRADE), texts),
    "score": (score_model(input=[{"role": "user", "content": "{{item.question}} {{sample.output_text}} {{item.answer}}"}]), texts),
    "label": (label_model(input=[{"role": "user", "content": [{"type": "input_text", "text": "{{sample.output_text}} {{item.answer}}"}]}]), texts),
    "multi": (
        multi("0.5 * a + 0.5 * s", {"a": string_check(operation="ilike"), "s": text_similarity(evaluation_metric="bleu")}), texts,
    ),
    "multi of all": (
        multi("(a + p + j / 10) / (1 + s^2)", {"a": string_check(), "p": python(GRADE), "s": text_similarity(), "j": score_model(range=[0, 10])}), texts,
    ),
    "repeats": (string_check(operation="like"), repeats),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_no_alarm_on_a_good_pair(name: str, backends: graders.Backends) -> None:
    """Nothing is found where nothing is wrong."""
    spec, rows = GOOD[name]

    report = check(spec, rows(), backends=backends)

    assert report.findings == ()
    assert (report.ok, report.rows, report.has_samples) == (True, len(rows()), True)


# --- mutations ----------------------------------------------------------------------------------------------------
# Each takes a copy of spec and rows, changes something, and says which finding that must give; None: does not apply.

Mutation = Callable[[Spec, Rows, random.Random], str | None]


def _each_template(spec: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every text with a variable in it."""
    for key, value in list(spec.items() if isinstance(spec, dict) else enumerate(spec)):
        if isinstance(value, str) and "{{" in value and key not in ("source",):
            yield spec, key
        elif isinstance(value, (dict, list)):
            yield from _each_template(value)


def _uses(spec: Spec, name: str) -> bool:
    return any(name in container[key] for container, key in _each_template(spec))


def misspelled_variable(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    places = [(c, k) for c, k in _each_template(spec) if "item.answer" in c[k]]
    if not places:
        return None
    container, key = chance.choice(places)
    container[key] = container[key].replace(
        "item.answer", chance.choice(["item.answr", "item.Answer", "item.gold_answer"])
    )
    return "missing_variable"


def wrong_namespace(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    places = list(_each_template(spec))
    if not places:
        return None
    container, key = chance.choice(places)
    container[key] = container[key].replace("item.", "items.").replace("sample.", "samples.")
    return "invalid_template_namespace"


def row_without_answer(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if not _uses(spec, "item.answer"):
        return None
    del chance.choice(rows)["item"]["answer"]
    return "missing_variable"


def null_answer(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if not _uses(spec, "item.answer"):
        return None
    chance.choice(rows)["item"]["answer"] = None
    return "null_variable"


def number_among_texts(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if not _uses(spec, "item.answer"):
        return None
    chance.choice(rows)["item"]["answer"] = chance.choice([5, 2.5, True, ["x"]])
    return "mixed_types"


def empty_reference(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    leaves = [spec, *spec.get("graders", {}).values()]
    if not any(leaf.get("reference") == "{{item.answer}}" for leaf in leaves):
        return None
    chance.choice(rows)["item"]["answer"] = chance.choice(["", "  ", "\n"])
    return "empty_reference"


def no_sample(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    chance.choice(rows[1:])["sample"] = None
    return "missing_sample"


def not_a_sample(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    chance.choice(rows[1:])["sample"] = chance.choice(
        [5, [], [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]]
    )
    return "invalid_row"


def shared_id(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    one, other = chance.sample(range(0, len(rows), 2), 2)
    rows[one]["id"] = rows[other]["id"]
    return "duplicate_id"


def output_not_json(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if not _uses(spec, "output_json"):
        return None
    chance.choice(rows)["sample"] = chance.choice(["", "Paris", '{"city": "Par', "[NaN]"])
    return "missing_variable"


def compared_with_itself(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    leaves = [leaf for leaf in (spec, *spec.get("graders", {}).values()) if "reference" in leaf]
    if not leaves:
        return None
    leaf = chance.choice(leaves)
    leaf["input"] = leaf["reference"]
    return "same_on_both_sides"


def no_variable(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if "reference" in spec:
        spec["input"], spec["reference"] = "output_text", "answer"
    elif spec["type"] == "score_model":
        spec["input"] = [{"role": "user", "content": "Rate the answer."}]
    else:
        return None
    return "no_variable"


def divides_by_a_member(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if spec["type"] != "multi":
        return None
    key = chance.choice(sorted(spec["graders"]))
    spec["calculate_output"] += chance.choice(
        [f" + 1 / {key}", f" + log({key})", f" + {key}^-1", f" + 1 / ({key} - 1)"]
    )
    return "formula_can_fail"


def divides_by_a_difference(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if spec["type"] != "multi":
        return None
    spec["calculate_output"] += chance.choice(
        [" + 1 / (s - 0.437)", " + sqrt(s - 0.9)", " + exp(1000 * s)", " + (s - 0.5)^0.5"]
    )
    return "formula_can_fail"


def constant_formula(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if spec["type"] != "multi":
        return None
    spec["calculate_output"] = chance.choice(["max(1, a)", "0 * a + 0 * s", "min(0, s)", "a - a"])
    return "formula_constant"


def unknown_name_in_formula(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if spec["type"] != "multi":
        return None
    spec["calculate_output"] += " + b"
    return "invalid_formula"


def program_fails(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    for leaf in (spec, *spec.get("graders", {}).values()):
        if leaf["type"] == "python":
            leaf["source"] = GRADE.replace(
                *chance.choice(
                    [
                        ("'answer'", "'gold'"),
                        ("float", "str"),
                        ("'output_text'", "'text'"),
                        ("item[", "itme["),
                    ]
                )
            )
            return "program_fails"
    return None


def program_does_not_compile(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    for leaf in (spec, *spec.get("graders", {}).values()):
        if leaf["type"] == "python":
            leaf["source"] = chance.choice(
                [
                    GRADE.replace("    ", " \t", 1).replace(":", ""),
                    "x = 1\n",
                    GRADE.replace("(sample, item)", "(sample)"),
                ]
            )
            return "invalid_source"
    return None


def label_that_is_not_one(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if spec["type"] != "label_model":
        return None
    spec["passing_labels"] = ["god"]
    return "invalid_value"


def every_label_passes(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if spec["type"] != "label_model":
        return None
    spec["passing_labels"] = ["bad", "good"]
    return "all_labels_pass"


def reference_that_rouge_cannot_see(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if not spec.get("evaluation_metric", "").startswith("rouge"):
        return None
    answer = chance.choice(["東京", "Rome", "!!!", "Москва"])
    chance.choice(rows)["item"]["answer"] = answer
    return "rouge_short" if answer == "Rome" else "rouge_blind"


def misspelled_word(spec: Spec, rows: Rows, chance: random.Random) -> str | None:
    if "operation" in spec:
        spec["operation"] = "contains"
    elif "evaluation_metric" in spec:
        spec["evaluation_metric"] = "rogue_l"
    else:
        return None
    return "invalid_value"


MUTATIONS: tuple[Mutation, ...] = (
    misspelled_variable, wrong_namespace, row_without_answer, null_answer, number_among_texts, empty_reference, no_sample,
    not_a_sample, shared_id, output_not_json, compared_with_itself, no_variable, divides_by_a_member,
    divides_by_a_difference, constant_formula, unknown_name_in_formula, program_fails, program_does_not_compile,
    label_that_is_not_one, every_label_passes, reference_that_rouge_cannot_see, misspelled_word,
)  # fmt: skip


def mutants() -> Iterator[Any]:
    """Every mutation of every good pair that it applies to, in three ways."""
    for name, (spec, rows) in GOOD.items():
        for mutation in MUTATIONS:
            for seed in range(3):
                changed, data = copy.deepcopy(spec), rows()
                code = mutation(changed, data, random.Random(f"{name} {mutation.__name__} {seed}"))
                if code is not None:
                    yield pytest.param(changed, data, code, id=f"{name}, {mutation.__name__}, {seed}")


MUTANTS = list(mutants())


def test_there_are_200_mutated_pairs() -> None:
    """The promised number of mutated pairs is there."""
    assert len(MUTANTS) >= 200


@pytest.mark.parametrize(("spec", "rows", "code"), MUTANTS)
def test_a_mutated_pair_has_its_finding(
    spec: Spec, rows: Rows, code: str, backends: graders.Backends
) -> None:
    """The finding names the mutation."""
    report = check(spec, rows, backends=backends)

    assert code in {finding.code for finding in report.findings}


# --- bodies -------------------------------------------------------------------------------------------------------


def job(grader: Spec, **hyperparameters: Any) -> dict[str, Any]:
    reinforcement = {"grader": grader, "hyperparameters": hyperparameters}
    return {
        "model": "o4-mini",
        "training_file": "f",
        "method": {"type": "reinforcement", "reinforcement": reinforcement},
    }


TRAIN = [
    {"messages": [{"role": "user", "content": f"Which? {n}"}], "answer": word} for n, word in enumerate(WORDS)
]

VALUES = [
    # hyperparameter, value, whether the reference allows it (openapi v2.3.0 and the fine-tuning reference)
    ("batch_size", "auto", True), ("batch_size", 256, True), ("batch_size", 257, False), ("batch_size", 1.5, False),
    ("learning_rate_multiplier", 0.1, True), ("learning_rate_multiplier", 0, False),
    ("n_epochs", 50, True), ("n_epochs", 51, False), ("n_epochs", 0, False), ("n_epochs", True, False),
    ("compute_multiplier", 10, True), ("compute_multiplier", 10.1, False), ("compute_multiplier", 0.00001, False),
    ("eval_interval", 1, True), ("eval_interval", 0, False), ("eval_samples", "many", False),
    ("reasoning_effort", "default", True), ("reasoning_effort", "max", False), ("epochs", 3, False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "allowed"), VALUES)
def test_hyperparameters_of_a_job_are_checked(name: str, value: Any, allowed: bool) -> None:
    """The job's body is accepted as a spec, and its hyperparameters are held to the reference."""
    report = check(job(string_check(operation="like"), **{name: value}), TRAIN)

    assert report.ok == allowed
    assert not report.has_samples
    if not allowed:
        assert report.findings[0].path == f"method.reinforcement.hyperparameters.{name}"
    assert set(HYPERPARAMETERS) >= {"batch_size", "n_epochs"}


def test_training_rows_need_no_outputs() -> None:
    """Items are looked at; what the model will say is not missed."""
    good = check(job(string_check(operation="like")), TRAIN)
    bad = check(job(string_check(reference="{{item.gold}}")), TRAIN)

    assert (good.findings, good.rows, good.has_samples) == ((), len(TRAIN), False)
    assert [finding.code for finding in bad.findings] == ["missing_variable"]


def test_criteria_of_an_eval_are_checked() -> None:
    """Every criterion is checked by its name; an eval has no multi, and its similarities need a threshold."""
    criteria = [
        string_check(name="exact", reference="{{item.nothing}}"),
        text_similarity(name="close"),
        multi(name="both"),
    ]

    report = check({"name": "e", "testing_criteria": criteria}, texts())

    found = {(finding.code, finding.path or finding.grader) for finding in report.findings}
    assert found == {
        ("missing_variable", "reference"),
        ("missing_required_parameter", "testing_criteria[1].pass_threshold"),
        ("multi_in_eval", "testing_criteria[2]"),
    }
    assert report.graders == ("exact", "close", "both")


# --- the rest -----------------------------------------------------------------------------------------------------


def test_findings_have_positions_and_suggestions(tmp_path: Path) -> None:
    """File, line, rows, and the nearest name that is there."""
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(string_check(operation="is", reference="{{item.answr}}"), indent=2))
    (finding,) = check(string_check(reference="{{item.answr}}"), texts()).findings
    report = check(file, texts())

    assert finding.suggestion == "Did you mean 'item.answer'? --map answr=answer gives it."
    assert (finding.count, finding.rows) == (8, ("q0", "q1", "q2"))
    assert [(f.code, f.line) for f in report.findings] == [("invalid_value", 4)]


def test_an_unreadable_line_is_a_finding(tmp_path: Path) -> None:
    """A broken line is found; the others are still looked at."""
    data = tmp_path / "data.jsonl"
    lines = [json.dumps(row) for row in texts()]
    lines[3] = lines[3][:20]
    data.write_text("\n".join(lines))

    report = check(string_check(operation="like"), str(data))

    assert [finding.code for finding in report.findings] == ["unreadable_row"]
    assert report.rows == 8


def test_expected_spending_of_judges(backends: graders.Backends) -> None:
    """Calls, tokens; equal repeatable questions once."""
    spec = score_model(sampling_params={"temperature": 0, "seed": 1, "max_completions_tokens": 100})
    rows = [{"sample": f"answer {n % 5}", "item": {}} for n in range(20)]

    estimate = check(spec, rows, backends=backends).estimates["judge"]

    assert (estimate.calls, estimate.completion_tokens) == (5, 500)
    assert estimate.cost is None


@pytest.mark.parametrize(
    ("data", "message"), [([], "has no rows"), ("nowhere.jsonl", "cannot read nowhere.jsonl")]
)
def test_data_without_rows_is_an_error(data: Any, message: str) -> None:
    """There has to be something to look at."""
    with pytest.raises(DataError, match=message):
        check(string_check(), data)


def test_a_document_without_a_grader_is_refused() -> None:
    """A document of another kind says what was expected."""
    with pytest.raises(graders.SpecError, match="Found no grader"):
        check({"model": "x"}, texts())


@pytest.mark.parametrize(
    "text", ["a / (b + 1)", "log(1 + a)", "sqrt(a^2 + b^2)", "a / max(b, 0.01)", "exp(a)", "1 / (2 - a)"]
)
def test_sound_formulas_have_no_witness(text: str) -> None:
    """A formula that cannot fail over its ranges is never accused."""
    assert witness(Formula(text, ("a", "b")), [Range(0, 1), Range(0, 1)]) is None


def test_a_range_of_the_judges() -> None:
    """A score_model's own range counts: what is safe for [1, 7] fails for [-1, 1]."""
    formula = Formula("1 / a", ("a",))

    assert witness(formula, [Range(1, 7)]) is None
    error = witness(formula, [Range(-1, 1)])
    assert error is not None
    assert "a=0" in str(error)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "graders.cli", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_command(tmp_path: Path) -> None:
    """1 with an error, 0 without; text and JSON say the same."""
    data, good, bad = (tmp_path / name for name in ("data.jsonl", "good.json", "bad.json"))
    data.write_text("".join(json.dumps(row) + "\n" for row in texts()))
    good.write_text(json.dumps(string_check(operation="like")))
    bad.write_text(json.dumps(string_check(reference="{{item.answr}}")))

    fine, wrong = run_command(str(good), str(data)), run_command(str(bad), str(data))
    listed = json.loads(run_command(str(bad), str(data), "--json").stdout)

    assert (fine.returncode, wrong.returncode) == (0, 1)
    assert fine.stdout.startswith("fine  8 rows")
    assert (
        "Did you mean 'item.answer'? --map answr=answer gives it. Rows: q0 (line 1), q1 (line 2), q2 (line 3), ..."
        in wrong.stdout
    )
    assert [finding["code"] for finding in listed["findings"]] == ["missing_variable"]
    assert run_command(str(good), str(tmp_path / "none.jsonl")).returncode == 2
    assert run_command(str(tmp_path / "none.json"), str(data)).returncode == 1


@pytest.mark.slow
def test_100_000_rows_are_checked_in_linear_time(tmp_path: Path) -> None:
    """Looking every variable up in 100,000 rows takes 2 s of CPU, 20 s at most: time that grew with the square would be hours."""
    data = tmp_path / "data.jsonl"
    with data.open("w") as file:
        for n in range(100_000):
            row = {
                "id": f"r{n}",
                "sample": f"it is {n}",
                "item": {"answer": f"it is {n % 7}", "question": "?"},
            }
            file.write(json.dumps(row) + "\n")
    started = time.process_time()

    report = check(string_check(), str(data))

    assert report.findings == ()
    assert time.process_time() - started < 20
