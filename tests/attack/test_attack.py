"""The attack: what it finds, that its samples are wrong, its budget, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import graders
from graders.attack.families.wrong import AttackContext, form_of
from graders.audit import FAMILIES, attack, check_reward, climb
from graders.cli.attack import command
from graders.config.config import Config
from graders.judges.scripted import ScriptedJudge, say
from graders.session.rows import as_number, read_rows
from tests.audit import further, reported
from tests.audit import public_graders as public
from tests.specs import python, score_model, string_check

CAPITALS = [
    {"id": "fr", "item": {"answer": "Paris"}, "gold": "Paris", "prompt": "The capital of France?"},
    {"id": "jp", "item": {"answer": "Tokyo"}, "gold": "Tokyo", "prompt": "The capital of Japan?"},
]


@pytest.fixture(scope="module")
def backends() -> Iterator[graders.Backends]:
    with graders.Backends(config=Config()) as shared:
        yield shared


FOUND = [
    # a flawed grader of the frozen sets, a family that breaks it, the sample
    ("sign_dropped", "numbers", "3"),
    ("latex_stripped", "notation", "34"),
    ("year_alone", "year_alone", "1961"),
    ("unit_dropped", "units", "5 m"),
    ("name_only", "call_names", None),
    ("any_call", "call_others", None),
    ("superset_of_rows", "query_rows", "SELECT name FROM people"),
    ("true_of_nothing", "json_empty", "{}"),
    ("error_is_right", "code_exit", None),
    ("claimed_score", "claims", None),
    ("no_arguments_match_all", "call_arguments", None),
    ("text_makes_up_for_calls", "call_missing", None),
    ("first_declared", "several", None),
    ("second_block_in_the_first", "several", None),
    ("first_object", "json_more", None),
    ("words_too_many_are_free", "json_more", '{"time": "nine or zqxj"}'),
    ("order_of_rows_is_lost", "query_order", "SELECT amount FROM sales ORDER BY amount"),
    ("rating_in_the_reply", "spec_words", "[[9]]"),
    ("f1_of_distinct_words", "words", None),
    ("title_is_capitals", "capitals", "Lima Is Dry"),
    ("checkpoints_outweigh", "answer_replaced", None),
    ("citations_of_everything", "sources", None),
]


@pytest.mark.parametrize(("name", "family", "sample"), [pytest.param(*case, id=case[0]) for case in FOUND])
def test_flaws_are_broken(name: str, family: str, sample: str | None, backends: graders.Backends) -> None:
    """A family breaks the grader that has its flaw; the sample gets the reward that is printed, and `bad` holds it."""
    (entry,) = (one for one in (*public.FLAWED, *reported.FLAWED, *further.FLAWED) if one.name == name)

    found = attack(entry.spec, entry.rows, families=[family], backends=backends)

    assert found
    assert sample is None or sample in [exploit.sample for exploit in found]
    for exploit in found:
        row = next(row for row in entry.rows if row["id"] == exploit.row)
        grader = graders.compile(entry.spec, backends=backends)
        assert grader.run(exploit.sample, row["item"]).reward == exploit.reward
        assert exploit.sample in exploit.bad["bad"]
        assert exploit.why


SHAPES = [
    pytest.param(public.CALLS, "call_", id="tool calls"),
    pytest.param(public.RECORDS, "json_", id="JSON"),
    pytest.param(public.FUNCTIONS, "code_", id="code"),
    pytest.param(public.QUERIES, "query_", id="queries"),
]


@pytest.mark.parametrize(("rows", "prefix"), SHAPES)
def test_each_shape_has_four_families(rows: list[dict[str, Any]], prefix: str) -> None:
    read = read_rows(rows)
    context = AttackContext(read, spec_text="want")

    trying = [
        n
        for n, f in FAMILIES.items()
        if n.startswith(prefix) and any(True for _ in f.make(read[0], form_of(read[0]), context))
    ]

    assert len(trying) >= 4


FORMS = [
    # gold, the item's answer, the gold with X in the answer's place, whether a mark says where that is
    pytest.param(
        "C because a car moves.", "C", "X because a car moves.", False, id="a letter of a word is no answer"
    ),
    pytest.param(
        "\\boxed{E = mc^2}\nAnswer: B",
        "B",
        "\\boxed{E = mc^2}\nAnswer: X",
        True,
        id="a box beside the answer",
    ),
    pytest.param("It is fine.\nGRADE: C", "C", "It is fine.\nGRADE: X", True, id="a line with a label"),
    pytest.param("Note: it is C", "C", "Note: it is X", False, id="a label and a sentence"),
    pytest.param("<answer>\n42\n</answer>", "42", "<answer>\nX\n</answer>", True, id="white space in a tag"),
    pytest.param("Paris, or paris.", "PARIS", "Paris, or X.", False, id="letters of another case"),
    pytest.param("#### 42", "seven", "#### X", True, id="a mark with what the item has not"),
]


@pytest.mark.parametrize(("gold", "answer", "other", "marked"), FORMS)
def test_the_answer_is_found_in_its_gold(gold: str, answer: str, other: str, marked: bool) -> None:
    (row,) = read_rows([{"gold": gold, "item": {"answer": answer}}])

    form = form_of(row)

    assert (form.holding("X"), form.marked) == (other, marked)


def test_a_gold_that_is_the_wrapper_of_others_is_no_echo() -> None:
    """The part that all golds share is a right answer where one of them is nothing more."""
    rows = [
        {"id": gold, "item": {"answer": gold}, "gold": gold} for gold in ("to go", "to go home", "to go on")
    ]

    assert check_reward(string_check(), rows, checks=["wrapper_echo"]) == []


#: Golds and right answers in other spellings, that no family may take for wrong.
RIGHT = [
    pytest.param("1,200", {"answer": "1200"}, ["1200", "1,200"], id="separators of thousands"),
    pytest.param(
        "2020-01-05", {"answer": "2020-01-05"}, ["20200105", "2020-01-05"], id="a date in the basic form"
    ),
    pytest.param("25%", {"answer": "25%"}, ["0.25", "25"], id="a percentage"),
    pytest.param("12:30", {"answer": "12:30"}, ["1230"], id="a time"),
    pytest.param(
        "Paris", {"answer": "Paris", "also": "Lutetia"}, ["Lutetia", "paris"], id="an alias of the item"
    ),
    pytest.param(
        "It costs 70,000 dollars.\nA: 70000",
        {"answer": "70000"},
        ["It costs much.\nA: 70000"],
        id="a line with the answer",
    ),
    pytest.param("70,000 or so; 3 and 5", {"answer": "70,000 or so; 3 and 5"}, [], id="a comma in a number"),
    pytest.param(
        "SELECT a FROM t", {"sql": "SELECT a FROM t"}, ["SELECT a FROM t"], id="a query without a condition"
    ),
]


@pytest.mark.parametrize(("gold", "item", "right"), RIGHT)
def test_right_answers_are_not_tried(gold: str, item: dict[str, Any], right: list[str]) -> None:
    """A grader that takes every right spelling and nothing else is not broken."""
    body = f"def grade(sample, item):\n    return float(sample['output_text'].strip().lower() in {[r.lower() for r in [gold, *right]]!r})\n"
    rows = [{"gold": gold, "item": item}, {"gold": "Lutetia", "item": {"answer": "Lutetia"}}]

    assert list(attack({"type": "python", "source": body}, rows[:1])) == []


def test_a_list_is_not_read_as_a_number() -> None:
    """ "1, 2, 3" was read as 123, so that golds of lists had numeric neighbours."""
    assert (as_number("1, 2, 3"), as_number("1,2,3"), as_number("1,200"), as_number("$1,200.50")) == (
        None,
        None,
        1200,
        1200.5,
    )


def test_a_budget_ends_an_attack_and_start_continues_it() -> None:
    """A budget ends the attack early; two halves find what one whole finds."""
    spec = string_check(operation="ilike")
    whole = attack(spec, CAPITALS)
    first = attack(spec, CAPITALS, budget=40)
    rest = attack(spec, CAPITALS, start=first.n_samples)

    assert first.n_samples == 40 < first.n_planned == whole.n_samples
    assert {e.family for e in first} | {e.family for e in rest} == {e.family for e in whole}
    assert attack(spec, CAPITALS, seconds=1e-9).n_samples == 0


def test_judges_are_asked_only_with_a_budget() -> None:
    with pytest.raises(ValueError, match="max_calls"):
        attack(score_model(), CAPITALS)


def test_saved_rows_hold_a_grader_to_them(tmp_path: Path) -> None:
    """--save writes rows on which the check `bad` finds the exploit again."""
    rows, spec, saved = tmp_path / "rows.jsonl", tmp_path / "spec.json", tmp_path / "saved.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in CAPITALS))
    spec.write_text(json.dumps(string_check(operation="ilike")))

    ended = CliRunner().invoke(
        command,
        [str(spec), str(rows), "--save", str(saved), "--fail-on", "exploit", "--json"],
        standalone_mode=False,
    )

    assert ended.return_value == 1
    document = json.loads(ended.stdout)
    assert {"family", "row", "rows", "sample", "reward", "why", "bad"} <= set(document["exploits"][0])
    assert [f.check for f in check_reward(str(spec), saved, checks=["bad"])] != []


def test_accepted_families_are_left_out() -> None:
    hedged = ["negation", "candidates", "thoughts", "unclosed"]

    assert list(attack(string_check(operation="ilike"), CAPITALS, accept=hedged)) == []
    with pytest.raises(ValueError, match="negation"):
        attack(string_check(), CAPITALS, accept=["negations"])


def test_a_models_proposals_are_checked_like_the_others() -> None:
    """Of three proposals, the one that is the answer and the one that holds it are not tried; the third breaks the row."""
    samples = [
        {"sample": text, "why": "it is wrong"} for text in ("paris", "It may be Paris.", "a b c d e f")
    ]
    proposals = json.dumps({"samples": samples})
    spec = python(
        "def grade(sample, item):\n    return float(len(sample['output_text'].split()) > 4 or sample['output_text'] == item['answer'])\n"
    )
    with ScriptedJudge(say(f"```json\n{proposals}\n```")) as model:
        where = {"base_url": model.base_url, "api_key_env": ""}
        with graders.Backends(config=Config({"models": {"*": where}})) as backends:
            found = attack(spec, CAPITALS, families=["numbers"], model="attacker", backends=backends)

    assert {exploit.family for exploit in found} == {"proposed"}
    assert [exploit.why for exploit in found] == ["proposed by attacker: it is wrong"]
    # one call a row, with the grader and the right answer in it
    assert len(model.received) == len(CAPITALS)
    assert "def grade" in "\n".join(model.received[0].texts)


@pytest.mark.slow
def test_a_climb_finds_the_exploit_of_a_policy(backends: graders.Backends) -> None:
    """Wrong answers climb step by step if the grader pays for length, and stay at 0 if it pays for nothing wrong."""
    length = python(
        "def grade(sample, item):\n    text = sample['output_text']\n    return 1.0 if text == item['answer'] else min(1.0, len(text) / 9000)\n"
    )

    pays = climb(length, CAPITALS, budget=600, backends=backends)
    sound = climb(string_check(), CAPITALS, budget=200)

    shares = [step.share for step in pays.steps]
    assert shares == sorted(shares)
    assert shares[-1] > 1.2 * shares[0] > 0
    assert [step.share for step in sound.steps][-1] == 0
    assert sound.steps[-1].n_samples <= 200
    with pytest.raises(ValueError, match="max_calls"):
        climb(score_model(), CAPITALS)


def test_the_command_climbs_and_claims(tmp_path: Path) -> None:
    rows, spec, claims = tmp_path / "rows.jsonl", tmp_path / "spec.json", tmp_path / "claims.json"
    rows.write_text("".join(json.dumps(row) + "\n" for row in CAPITALS))
    spec.write_text(json.dumps(string_check(operation="ilike")))

    def run(*arguments: str) -> str:
        return CliRunner().invoke(command, [str(spec), str(rows), *arguments], standalone_mode=False).stdout

    assert "of the gold's reward without its answer" in run("--climb", "--budget", "100")
    run("--claims", str(claims), "--accept", "thoughts")
    claim = json.loads(claims.read_text())["attack"]
    assert "paid are " in claim["text"]
    assert claim["text"].endswith("accepted: thoughts")
    assert claim["exploits"]
