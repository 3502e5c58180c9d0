"""Mutation testing of specs: which changes are made, which rows notice them, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import graders
from graders.audit import mutate
from graders.cli.mutate import command
from graders.config.config import Config
from graders.mutation.mutants import mutants
from graders.session.rows import read_rows
from tests.specs import multi, python, score_model, string_check, text_similarity

ROWS = [
    {"id": "fr", "item": {"answer": "Paris", "country": "France"}, "gold": "Paris", "bad": ["Lyon"]},
    {"id": "jp", "item": {"answer": "Tokyo", "country": "Japan"}, "gold": "Tokyo", "bad": ["Kyoto"]},
]


@pytest.fixture(scope="module")
def backends() -> Iterator[graders.Backends]:
    with graders.Backends(config=Config()) as shared:
        yield shared


PROGRAM = (
    "import re\n"
    "def grade(sample, item):\n"
    "    text = sample['output_text'].strip()\n"
    "    if not re.fullmatch('[a-zA-Z]+', text) or len(text) > 40:\n"
    "        return 0.0\n"
    "    return float(text == item['answer'])\n"
)
MADE = [
    # a spec, a kind of change that is made, a word of what stands there then
    pytest.param(string_check(), "operation swapped", "ilike", id="operation"),
    pytest.param(string_check(), "wrong field", "country", id="field"),
    pytest.param(text_similarity(), "operation swapped", "rouge_l", id="metric"),
    pytest.param(
        multi("0.5 * a", {"a": string_check()}), "off formula", "(0.5 + 1)", id="constant of a formula"
    ),
    pytest.param(multi("0.5 * a", {"a": string_check()}), "off formula", "+", id="operator of a formula"),
    pytest.param(python(PROGRAM), "normalisation dropped", "sample['output_text']", id="strip"),
    pytest.param(python(PROGRAM), "weaker regex", "re.search", id="fullmatch"),
    pytest.param(python(PROGRAM), "comparison swapped", "!=", id="comparison"),
    pytest.param(python(PROGRAM), "condition dropped", "40", id="condition"),
    pytest.param(python(PROGRAM), "constant returned", "1.0", id="return"),
]


@pytest.mark.parametrize(("spec", "kind", "word"), MADE)
def test_each_operator_makes_its_mutants(
    spec: dict[str, Any], kind: str, word: str, backends: graders.Backends
) -> None:
    made = mutants(graders.compile(spec, backends=backends).spec, read_rows(ROWS), backends.sandbox)

    assert [one for one in made if one.kind == kind and word in one.after]


def test_a_sample_exposes_an_unnoticed_mutant() -> None:
    """Whether the operation is `eq` or `ilike` shows on no exact gold; the row that is told of makes the score whole."""
    first = mutate(string_check(), ROWS)
    more = mutate(
        string_check(), [*ROWS, *({**row, "id": f"told {at}"} for at, row in enumerate(first.rows()))]
    )

    assert {one.mutant.after for one in first.survivors} == {"like", "ilike"}
    assert all(one.killing_sample is not None for one in first.survivors)
    assert first.score < more.score == 1.0


def test_the_same_grader_by_other_words_has_no_killing_sample(backends: graders.Backends) -> None:
    """`>= 1` and `> 0` of a count are the same; nothing is said to tell them apart."""
    body = "def grade(sample, item):\n    return float(sample['output_text'].count(item['answer']) > 0)\n"
    survivors = mutate(python(body), ROWS, backends=backends).survivors

    assert all(one.killing_sample is not None or one.mutant.kind != "comparison swapped" for one in survivors)


def test_a_limit_draws_a_sample_and_reports_the_total() -> None:
    found = mutate(text_similarity(), ROWS, max_mutants=3)

    assert len(found.tried) <= 3 < found.of


def test_judges_are_refused() -> None:
    with pytest.raises(ValueError, match="a judge is asked for every mutant"):
        mutate(score_model(), ROWS)


def test_the_command_gates_on_the_score_and_saves_rows(tmp_path: Path) -> None:
    """The exit code goes by --fail-under; --save writes the rows that are missing, --claims the score."""
    spec, rows, saved, claims = (
        tmp_path / name for name in ("spec.json", "rows.jsonl", "more.jsonl", "claims.json")
    )
    spec.write_text(json.dumps(string_check()))
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    arguments = [str(spec), str(rows), "--save", str(saved), "--claims", str(claims), "--json"]

    ended = CliRunner().invoke(command, [*arguments, "--fail-under", "0.9"], standalone_mode=False)

    assert ended.return_value == 1
    document = json.loads(ended.stdout)
    assert document["score"] < 0.9
    assert {"kind", "where", "before", "after", "noticed", "killing_sample"} == set(document["mutants"][0])
    assert len(saved.read_text().splitlines()) == 2
    assert "notice" in json.loads(claims.read_text())["mutation"]["text"]
