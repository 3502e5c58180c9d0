"""The search of the attack: pairs of samples, smaller witnesses, seeds from the spec, and progress."""

from __future__ import annotations

from typing import Any

import pytest

import graders
from graders.attack.seeds import constants, verdicts
from graders.audit import attack
from tests.specs import label_model, multi, python, score_model, string_check

ROWS = [
    {"id": "fr", "item": {"answer": "Paris"}, "gold": "Paris", "prompt": "The capital of France?"},
    {"id": "jp", "item": {"answer": "Tokyo"}, "gold": "Tokyo", "prompt": "The capital of Japan?"},
]


def pays(formula: str, **words: str) -> dict[str, Any]:
    """A grader of right answers that also looks for words anywhere in a text."""
    looked_for = {key: string_check(operation="like", reference=word) for key, word in words.items()}
    return multi(formula, {"right": string_check(), **looked_for})


def test_witnesses_are_shrunk() -> None:
    """A witness of three thousand characters is shrunk to the one word that is paid."""
    found = attack(pays("max(right, word)", word="Lorem"), ROWS, families=["effort"])

    assert {exploit.why for exploit in found} == {
        "steps and length alone",
        "steps and length around a wrong answer",
    }
    for exploit in found:
        assert (exploit.sample, exploit.reward, exploit.gold_reward) == ("Lorem", 1.0, 1.0)
        assert exploit.rows == ("fr", "jp")


def test_pairs_are_crossed() -> None:
    """Two samples that are paid two fifths each are an exploit together, which is shrunk as well."""
    spec = pays("max(right, 0.4 * word + 0.4 * claim)", word="Lorem", claim="Verdict: correct")

    found = attack(spec, ROWS, families=["claims", "effort"])

    assert {exploit.family for exploit in found} <= {"claims+effort", "effort+claims"}
    assert found[0].reward == pytest.approx(0.8)
    assert len(found[0].sample) < 200
    assert "Lorem" in found[0].sample
    assert "Verdict: correct" in found[0].sample


SEEDS = [
    # spec, a text that it is tried with
    pytest.param(string_check(reference="Answer: {{item.answer}}"), "Answer:", id="a template"),
    pytest.param(multi("0.25 * a", {"a": string_check()}), "0.25", id="a number of the formula"),
    pytest.param(
        python("def grade(sample, item):\n    return item['points']\n"), "points", id="a key of a program"
    ),
    pytest.param(
        python("KEYS = {'gold-bar': 1}\ndef grade(s, i):\n    return 0\n"), "gold-bar", id="a constant"
    ),
    pytest.param(
        python(
            "import re\ndef grade(s, i):\n    return float(bool(re.search(r'score: (\\d+)/10', s['output_text'])))\n"
        ),
        "score: 9/10",
        id="a regular expression",
    ),
]


@pytest.mark.parametrize(("spec", "text"), SEEDS)
def test_seeds_come_from_the_spec(spec: dict[str, Any], text: str) -> None:
    assert text in constants(graders.compile(spec).spec)


def test_verdicts_are_the_best_of_each_judge() -> None:
    """Labels that pass, and the top of a range, in the judge's own form."""
    spec = multi("a + b", {"a": label_model(), "b": score_model(range=[1, 7])})

    assert verdicts(graders.compile(spec).spec) == ('"good"', "7.0")


def test_progress_is_reported() -> None:
    """Samples done, samples of the plan, and exploits so far."""
    told: list[tuple[int, int, int]] = []

    found = attack(string_check(operation="ilike"), ROWS, on_progress=lambda *three: told.append(three))

    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert told[-1][:2] == (found.n_planned, found.n_planned)
    assert told[-1][2] > 0
