"""Families of samples with the gold's own words: what they make, and where they make nothing since it could be right."""

from __future__ import annotations

from typing import Any

import pytest

from graders.attack.families.wording import capitals, sources, words
from graders.attack.families.wrong import AttackContext, Maker, form_of
from graders.session.rows import read_rows

CASES = [
    # family, gold, item, samples
    pytest.param(words, "Marie Curie", {}, ["Curie Curie Marie Marie"], id="a name"),
    pytest.param(
        words,
        "The vote is put off.",
        {},
        ["off off put put is is vote vote The The.", "is off put The vote."],
        id="a sentence",
    ),
    pytest.param(
        words,
        "red green blue grey pink",
        {},
        ["pink pink grey grey blue blue green green red red"],
        id="names in any order",
    ),
    pytest.param(words, "Paris", {}, [], id="a word said twice may be right"),
    pytest.param(words, "red, green", {}, [], id="a list of labels may be a set"),
    pytest.param(words, "5 km", {}, [], id="numbers"),
    pytest.param(
        words, "<answer>red fox</answer>", {}, ["<answer>fox fox red red</answer>"], id="in its mark"
    ),
    pytest.param(
        capitals,
        "OSLO IS COLD",
        {"question": "In capitals: Oslo is cold."},
        ["Oslo Is Cold", "oslo is cold", "Oslo is cold"],
        id="capitals",
    ),
    pytest.param(
        capitals, "oslo", {"question": "In lower case: Oslo."}, ["OSLO", "Oslo"], id="small letters"
    ),
    pytest.param(capitals, "OSLO", {"question": "The capital of Norway?"}, [], id="not asked for"),
    pytest.param(
        sources,
        "It closed. [1][3]",
        {"cited": [1, 3]},
        ["It closed. [1][3][2][4][5][6][7][8][9]"],
        id="sources of the item",
    ),
    pytest.param(sources, "It closed. [1][3]", {"cited": [1]}, [], id="the item has other sources"),
    pytest.param(sources, "It closed. [1]", {"pages": [1]}, [], id="sources that the spec does not name"),
]


@pytest.mark.parametrize(("family", "gold", "item", "samples"), CASES)
def test_samples(family: Maker, gold: str, item: dict[str, Any], samples: list[str]) -> None:
    (row,) = read_rows([{"gold": gold, "item": item}])

    made = list(family(row, form_of(row), AttackContext([row], spec_text="{{item.cited}}")))

    assert [wrong.sample for wrong in made] == samples
    assert all(wrong.why for wrong in made)
