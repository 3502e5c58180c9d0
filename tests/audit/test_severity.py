"""Which findings of `check_reward` are an exploit, a fault or a note."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import graders
from graders.config.config import Config
from graders.testing import check_reward
from tests.audit.public_graders import NAMES, Rows, program, rows_of
from tests.audit.unseen_graders import SUMMARIES
from tests.specs import string_check, text_similarity


@pytest.fixture(scope="module")
def backends() -> Iterator[graders.Backends]:
    with graders.Backends(config=Config()) as shared:
        yield shared


RATED = rows_of("It is {}.", ["poor", "excellent"], ["How good is the first?", "How good is the second?"])
#: Four rows with two answers: a word of the spec that is right on two of them may be another name of their answer.
LETTERS = rows_of(
    "{}", ["A", "B", "A", "B"], ["Is ice cold?", "Is fire cold?", "Do birds fly?", "Do fish walk?"]
)
FIRST_RATING = """
said = next((word for word in ('excellent', 'poor') if word in text), '')
return float(said == item['answer'])
"""
LETTER_OR_LABEL = """
names = {'A': 'A', '[CORRECT]': 'A', 'B': 'B', '[INCORRECT]': 'B'}
return float(names.get(text.strip()) == item['answer'])
"""
CASES = [
    # spec, rows, families that accuse, families that are noted
    pytest.param(
        string_check(operation="ilike"),
        NAMES,
        set(),
        {"negation", "candidates", "thoughts", "unclosed"},
        id="an answer that is looked for anywhere is a note",
    ),
    pytest.param(
        program(FIRST_RATING),
        RATED,
        {"negation", "candidates", "thoughts", "unclosed"},
        set(),
        id="but not where the spec lists the answers",
    ),
    pytest.param(program(LETTER_OR_LABEL), LETTERS, set(), set(), id="another name of an answer is right"),
    pytest.param(
        text_similarity(evaluation_metric="rouge_1"),
        SUMMARIES,
        set(),
        {"words"},
        id="a metric without order is known to have none",
    ),
    pytest.param(string_check(), NAMES, set(), set(), id="equal texts"),
]


@pytest.mark.parametrize(("spec", "rows", "accused", "noted"), CASES)
def test_samples_of_the_attack(
    spec: dict[str, Any], rows: Rows, accused: set[str], noted: set[str], backends: graders.Backends
) -> None:
    found = check_reward(spec, rows, checks=["attack"], backends=backends)

    families: dict[str, set[str]] = {"exploit": set(), "note": set()}
    for finding in found:
        families[finding.severity].add(finding.message.rpartition("(")[2].rstrip(")"))
    assert families == {"exploit": accused, "note": noted}


OTHERS = [
    # program, the check that finds something, its severity
    pytest.param("return 5.0 * (text == item['answer'])", "in_range", "note", id="a scale that golds use"),
    pytest.param(
        "return float(item['answer'].split()[0] in text)", "near_miss", "exploit", id="a part is paid"
    ),
    pytest.param(
        "return float(text.split()[0] == item['answer'].split()[0])",
        "failed",
        "fault",
        id="a blank answer is an error, and not punished",
    ),
]


@pytest.mark.parametrize(("body", "check", "severity"), OTHERS)
def test_other_findings(body: str, check: str, severity: str, backends: graders.Backends) -> None:
    found = check_reward(program(body), NAMES, checks=[check], backends=backends)

    assert {(finding.check, finding.severity) for finding in found} == {(check, severity)}
