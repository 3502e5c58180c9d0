"""The reward checks: sixty graders with and without a flaw, each check on its own, and what users may get wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graders
from graders.config.config import Config
from graders.testing import (
    CHECKS,
    CannotCheck,
    Finding,
    RewardNotOk,
    assert_reward_ok,
    check_reward,
    items,
    samples,
    specs,
)
from tests.audit.catalog import (
    CAPITALS,
    EITHER,
    FACTS,
    FLAWED,
    GROUPED,
    NUMBERS,
    REPLIES,
    SOUND,
    SUMS,
    Entry,
)
from tests.audit.catalog_tables import findings, names, run_all, tables, written
from tests.specs import multi, python, score_model, string_check, text_similarity

#: Of the entries that need the sandbox, those that every run tries; all sixty are tried by the slow test.
QUICK = {"last_number", "by_keywords"}


def quick(entry: Entry) -> bool:
    return '"source"' not in json.dumps(entry.spec) or entry.name in QUICK


@pytest.fixture(scope="module")
def backends() -> Iterator[graders.Backends]:
    with graders.Backends(config=Config()) as shared:
        yield shared


@pytest.mark.parametrize("entry", [pytest.param(e, id=e.name) for e in FLAWED if quick(e)])
def test_flaws_are_found(entry: Entry, backends: graders.Backends) -> None:
    """A planted flaw is a finding that names a check, says what it saw, and on which rows of those given."""
    found = findings(entry, backends)

    assert found
    ids = {row["id"] for row in entry.rows}
    assert all(f.check in CHECKS and f.message and set(f.rows) <= ids for f in found)


@pytest.mark.parametrize("entry", [pytest.param(e, id=e.name) for e in SOUND if quick(e)])
def test_sound_graders_are_clean(entry: Entry, backends: graders.Backends) -> None:
    """No check accuses a grader without a flaw."""
    found = [f for f in findings(entry, backends) if f.check != "latency" and f.severity != "note"]
    assert [str(finding) for finding in found] == []


@pytest.mark.slow
def test_nearly_all_flaws_are_caught_and_sound_graders_cleared() -> None:
    """Of 31 flawed graders at least 30 are caught, of 29 sound ones at most one is accused; the docs show just that."""
    caught = run_all()

    assert (len(FLAWED), len(SOUND)) == (31, 29)
    assert sum(bool(caught[entry.name]) for entry in FLAWED) >= 30
    assert sum(bool(caught[entry.name]) for entry in SOUND) <= 1
    assert written() == tables(caught)


SAYS_ONE = python("def grade(sample, item):\n    return 1.0\n")
LENGTH = multi(
    "min(1, shown + long)",
    {
        "shown": string_check(operation="like"),
        "long": python("def grade(sample, item):\n    return min(1.0, len(sample['output_text']) / 3000)\n"),
    },
)

#: One flaw for each check, found by that check when it is the only one.
ALONE = [
    # check, spec, rows, options, a row that is named, part of the message
    ("latency", python("import time\ndef grade(sample, item):\n    time.sleep(0.3)\n    return 1.0\n"), CAPITALS, {"latency_s": 0.02}, "fr", "the budget is 0.02 s"),
    ("gold", string_check(reference="{{item.answer}}!"), CAPITALS, {}, "fr", "the gold answer gets 0, 0, 0"),
    ("empty", string_check(operation="ne", reference="no"), CAPITALS, {}, "fr", "an answer without content gets 1"),
    ("refusal", string_check(operation="ne", reference=""), CAPITALS, {}, "fr", "a refusal gets 1"),
    ("bad", string_check(operation="like", reference="It"), REPLIES, {}, "fr", "a sample that the row calls bad"),
    ("prompt_echo", string_check(operation="like"), EITHER, {}, "a", "an echo of the prompt"),
    ("wrapper_echo", string_check(operation="like", reference="####"), SUMS, {}, "s1", "without the answer"),
    ("permuted", python("def grade(sample, item):\n    return float(sample['output_text'] in ('Paris', 'Tokyo', 'Ottawa'))\n"), CAPITALS, {}, "fr", "another row's gold answer"),
    ("corrupted", python("def grade(sample, item):\n    return float(len(sample['output_text']) == len(item['answer']))\n"), CAPITALS, {}, "fr", "junk of the gold's length"),
    ("near_miss", string_check(operation="like"), NUMBERS, {}, "n1", "with a digit too many"),
    ("listing", string_check(operation="like"), NUMBERS, {}, "n2", "every possible answer"),
    ("length", LENGTH, CAPITALS, {}, "fr", "length raises the reward"),
    ("stuffing", text_similarity(reference="{{item.reference}}", input="step by step {{item.reference}}"), FACTS, {}, "f1", "a heap of keywords"),
    ("template", python("def grade(sample, item):\n    text = sample['output_text'].replace('{answer}', item['answer'])\n    return float(text == item['answer'])\n"), CAPITALS, {}, "jp", "a template of the answer"),
    ("override", python("def grade(sample, item):\n    text = sample['output_text']\n    return float(text == item['answer'] or 'as correct' in text)\n"), CAPITALS, {}, "fr", "tells the grader what to give"),
    ("attack", python("import re\ndef grade(sample, item):\n    return float(re.findall(r'\\d+', sample['output_text']) == [item['answer']])\n"), NUMBERS, {}, "n1", "the number with the other sign"),
    ("blind", string_check(), CAPITALS, {"blind_to": ["whitespace"]}, "fr", "said to be blind to whitespace"),
    ("deterministic", python("import os\ndef grade(sample, item):\n    return os.urandom(1)[0] / 256\n"), CAPITALS, {}, None, "the same sample got"),
    ("remembering", python("SEEN = []\ndef grade(sample, item):\n    SEEN.append(1)\n    return float(len(SEEN) == 1)\n"), CAPITALS, {}, None, "when other rows were graded before it"),
    ("peeking", python("import inspect\ndef grade(sample, item):\n    return float(len(inspect.stack()) > 0)\n"), CAPITALS, {}, None, "callers' frames"),
    ("hardcoded", python("A = {'Name the capital of Peru.': 'Lima', 'Name the capital of Canada.': 'Ottawa'}\ndef grade(sample, item):\n    return float(A.get(item['question'], '?') in sample['output_text'])\n"), REPLIES[2:], {}, "pe", "written into it"),
    ("spread", SAYS_ONE, GROUPED, {}, "jp", "of group 'g1'"),
    ("members", multi("a + 0 * b", {"a": string_check(), "b": text_similarity()}), CAPITALS, {}, None, "'b' never moves the total"),
    ("failed", python("def grade(sample, item):\n    return {'Paris': 1.0}[item['answer']]\n"), CAPITALS, {}, "ca", "KeyError"),
    ("in_range", python("def grade(sample, item):\n    return 10.0\n"), CAPITALS, {}, "fr", "a reward of 10 is outside 0 to 1"),
]  # fmt: skip


def test_every_check_is_tried_alone() -> None:
    """A new check comes with a flaw that it finds."""
    assert [case[0] for case in ALONE] == list(CHECKS)


@pytest.mark.parametrize(
    ("check", "spec", "rows", "options", "row", "said"),
    [
        # latency is told by waiting
        pytest.param(*case, id=case[0], marks=pytest.mark.slow if case[0] == "latency" else ())
        for case in ALONE
    ],
)
def test_each_check_works_alone_and_can_be_skipped(
    check: str,
    spec: dict[str, Any],
    rows: list[dict[str, Any]],
    options: dict[str, Any],
    row: str | None,
    said: str,
    backends: graders.Backends,
) -> None:
    """Each check works by itself, and can be left out."""
    found = check_reward(spec, rows, checks=[check], backends=backends, **options)

    assert {finding.check for finding in found} == {check}
    assert any(said in finding.message for finding in found), found
    assert row is None or any(row in finding.rows for finding in found), found
    assert check_reward(spec, rows, checks=[check], skip=[check], backends=backends, **options) == []


MEMBER_LOST = multi("1 - wrong", {"wrong": string_check(operation="ne")})
MORE = [
    # what, spec, rows, check that finds it
    pytest.param(MEMBER_LOST, CAPITALS, "failed", id="a failing member makes the top of a wrong answer"),
    pytest.param(multi("a / b", {"a": string_check(), "b": string_check(operation="like")}), CAPITALS, "in_range", id="a formula that divides by zero"),
    pytest.param(python("def grade(sample, item):\n    return float('nan')\n"), CAPITALS, "in_range", id="NaN"),
    pytest.param(python("import os\ndef grade(sample, item):\n    os.abort() if 'Lorem' in sample['output_text'] else 0\n    return 1.0\n"), CAPITALS, "failed", id="a sample brings the program down"),
    pytest.param(python("def grade(sample, item):\n    return eval(sample['output_text'], {'__builtins__': {}})\n"), NUMBERS, "peeking", id="eval without builtins"),
    pytest.param(python("from pathlib import Path\ndef grade(sample, item):\n    return float(Path('/data/gold').exists())\n"), CAPITALS, "peeking", id="looks for a file"),
    pytest.param(python("from datetime import datetime\ndef grade(sample, item):\n    return float(datetime.now().year < 2035)\n"), CAPITALS, "deterministic", id="good for ten years"),
    pytest.param(python("def grade(sample, item):\n    return hash(sample['output_text']) % 5 / 4\n"), CAPITALS, "deterministic", id="hash"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "rows", "check"), MORE)
def test_a_check_finds_every_flaw_of_its_kind(
    spec: dict[str, Any], rows: list[dict[str, Any]], check: str, backends: graders.Backends
) -> None:
    """Each check finds further flaws of its kind."""
    assert check in names(check_reward(spec, rows, checks=[check], backends=backends))


FINE = [
    # rows in shapes that graders take
    pytest.param([{"id": "a", "gold": "Paris", "item": {"answer": "Paris"}}], id="one row"),
    pytest.param([{"gold": "Paris", "item": {"answer": "Paris"}}, {"gold": "Rome", "item": {"answer": "Rome"}}], id="no ids"),
    pytest.param([{"id": 1, "gold": {"output_text": "Paris"}, "item": {"answer": "Paris"}}], id="a sample object, a number as id"),
    pytest.param([{"id": "a", "gold": [{"role": "assistant", "content": "Paris"}], "item": {"answer": "Paris"}}], id="chat messages"),
    pytest.param([{"id": "a", "gold": "Paris", "item": {"answer": "Paris"}, "prompt": [{"role": "user", "content": "Where?"}], "bad": "Rome", "group": 3}], id="a chat prompt, one bad sample, a number as group"),
    pytest.param([{"id": "a", "gold": "パリ", "item": {"answer": "パリ"}}, {"id": "b", "gold": "東京", "item": {"answer": "東京"}}], id="other scripts"),
    pytest.param([{"id": "a", "gold": "Paris", "item": {"answer": "Paris"}}] * 1 + [{"id": "b", "gold": "paris ", "item": {"answer": "paris "}}], id="golds that differ by case"),
]  # fmt: skip


@pytest.mark.parametrize("rows", FINE)
def test_every_documented_row_shape_is_checked(rows: list[dict[str, Any]]) -> None:
    """A sound grader is clean on rows of every documented shape."""
    assert check_reward(string_check(), rows) == []


@pytest.mark.slow
@given(specs(), st.lists(st.tuples(samples(), items()), min_size=1, max_size=3))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_any_grader_and_rows_get_findings(
    spec: dict[str, Any], pairs: list[tuple[Any, dict[str, Any]]]
) -> None:
    """Any valid grader and any rows give a list of findings, and no exception."""
    rows = [{"id": str(at), "gold": gold, "item": item, "group": 1} for at, (gold, item) in enumerate(pairs)]

    assert all(isinstance(finding, Finding) for finding in check_reward(spec, rows))


def test_a_grader_with_a_scale_is_sound(backends: graders.Backends) -> None:
    """A grader with marks from 0 to 5 is sound if `scale` says so."""
    spec = python("def grade(sample, item):\n    return 5 * (sample['output_text'] == item['answer'])\n")

    assert names(check_reward(spec, CAPITALS, backends=backends)) == ["in_range"]
    assert names(check_reward(spec, CAPITALS, backends=backends, scale=(0, 5))) == []


@pytest.mark.slow
def test_code_run_by_run_untrusted_is_sound(backends: graders.Backends) -> None:
    """A grader that runs programs by run_untrusted, which shows them neither row nor tests, is clean."""
    spec = python(
        "from graders_sandbox import run_untrusted\n"
        "def grade(sample, item):\n"
        "    return run_untrusted(sample['output_text'], item['tests'], timeout=5, entry='f').score\n"
    )
    rows = [
        {
            "id": "double",
            "gold": "def f(x):\n    return x * 2",
            "item": {"tests": "assert f(2) == 4\nassert f(5) == 10"},
        },
        {
            "id": "next",
            "gold": "def f(x):\n    return x + 1",
            "item": {"tests": "assert f(2) == 3\nassert f(-1) == 0"},
        },
        {
            "id": "minus",
            "gold": "def f(x):\n    return -x",
            "item": {"tests": "assert f(2) == -2\nassert f(-1) == 1"},
        },
    ]

    assert names(check_reward(spec, rows, backends=backends)) == []


def test_rows_keep_their_ids() -> None:
    """A finding names rows by the ids that they came with, numbers as numbers."""
    rows = [{**row, "id": at} for at, row in enumerate(CAPITALS, 7)]

    (finding,) = check_reward(string_check(reference="no"), rows, checks=["gold"])

    assert finding.rows == (7, 8, 9)


def test_assert_reward_ok(tmp_path: Path) -> None:
    """assert_reward_ok raises an AssertionError with every finding, its rows and its sample; rows may be a file."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in CAPITALS))

    assert_reward_ok(string_check(), path)
    with pytest.raises(RewardNotOk) as caught:
        assert_reward_ok(
            string_check(
                name="reversed", operation="like", input="{{item.answer}}", reference="{{sample.output_text}}"
            ),
            path,
        )

    assert [finding.check for finding in caught.value.findings] == ["empty", "near_miss"]
    assert "reversed: 2 findings" in str(caught.value)
    assert "[rows fr, jp, ca]" in str(caught.value)
    assert 'sample: "Pa"' in str(caught.value)


WRONG = [
    # rows, options, error
    pytest.param([], {}, "there is no row", id="no rows"),
    pytest.param([{"id": "a", "item": {}}], {}, "row 'a' has no 'gold'", id="no gold"),
    pytest.param([{"id": "a", "gold": "x"}] * 2, {}, "two rows have the id 'a'", id="an id twice"),
    pytest.param(CAPITALS, {"checks": ["gols"]}, "Did you mean 'gold'?", id="an unknown check"),
    pytest.param(CAPITALS, {"skip": "gold"}, "expected a list of checks", id="a text for a list"),
    pytest.param(CAPITALS, {"blind_to": ["cases"]}, "Did you mean 'case'?", id="an unknown claim"),
    pytest.param(CAPITALS, {"scale": (1, 0)}, "from the wrong answer's reward up", id="a scale upside down"),
]


@pytest.mark.parametrize(("rows", "options", "error"), WRONG)
def test_invalid_rows_and_options_are_refused(
    rows: list[dict[str, Any]], options: dict[str, Any], error: str
) -> None:
    """Invalid rows and options are refused before anything is graded."""
    with pytest.raises(ValueError, match=error.replace("?", r"\?")):
        check_reward(string_check(), rows, **options)


def test_no_judge_is_no_finding() -> None:
    """A judge that cannot be reached raises CannotCheck and makes no finding."""
    where = {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "", "max_attempts": 1}
    with (
        graders.Backends(config=Config({"models": {"*": where}})) as backends,
        pytest.raises(CannotCheck, match="'fr'"),
    ):
        check_reward(score_model(), CAPITALS, backends=backends)


def test_audits_parse_no_source_in_the_host(
    monkeypatch: pytest.MonkeyPatch, backends: graders.Backends
) -> None:
    """A source can crash or hold up the compiler, so that audits read it in the sandbox alone."""
    import ast

    spec = python(
        "import os\ndef grade(sample, item):\n    return float(os.environ.get('GOLD', '') == sample['output_text'])\n"
    )
    monkeypatch.setattr(ast, "parse", lambda *_args, **_options: pytest.fail("parsed in the host"))

    found = check_reward(
        spec, CAPITALS, checks=["peeking", "hardcoded", "deterministic", "remembering"], backends=backends
    )

    assert "reads the environment (environ)" in " ".join(finding.message for finding in found)
