"""`grader test`: suites in graders.toml and YAML, from their keys to the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from graders.cli import group
from graders.config.config import Config
from graders.config.harmless import settings_that_need_trust
from graders.judges.scripted import Step
from graders.models import ScriptedJudge
from graders.testing import read_suite
from graders.testing.suite_runs import Outcome, SuiteRun
from tests.batch.support import write_spec
from tests.specs import multi, python, score_model, string_check

ROOT = Path(__file__).parents[2]
RIGHT = '{"id": "fr", "sample": "Paris", "item": {"answer": "Paris"}, "topic": "city"}\n'
WRONG = '{"id": "it", "sample": "Lyon", "item": {"answer": "Rome"}, "topic": "city"}\n'
UNREADABLE = '{"id": "x", "sample": "Lyon"\n'
CAPITALS = '[tests.capitals]\nspec = "spec.json"\ndata = "rows.jsonl"\n'


def grader(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["test", *arguments], standalone_mode=False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a spec and two rows, a right and a wrong one; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADERS_CONFIG", raising=False)
    write_spec(Path("spec.json"), string_check())
    Path("rows.jsonl").write_text(RIGHT + WRONG)
    return tmp_path


def suite(text: str, name: str = "graders.toml") -> Path:
    Path(name).write_text(text)
    return Path(name)


@pytest.mark.parametrize(
    ("demands", "rows", "code", "verdict"),
    [
        pytest.param("fail_under = 0.5", "", 0, "passed", id="the mean reaches it"),
        pytest.param("fail_under = 0.6", "", 1, "failed", id="it does not"),
        pytest.param("fail_under = 0.5\nsurely = true", "", 1, "failed", id="the interval does not"),
        pytest.param(
            "fail_under = 0.5\nsurely = true\ninconclusive = 'pass'", "", 0, "passed", id="open is fine"
        ),
        pytest.param("fail_under = 0.5", UNREADABLE, 1, "failed", id="a failed row counts at the bottom"),
        pytest.param("fail_under = 0.5\nmin_coverage = 0.5", UNREADABLE, 0, "passed", id="unless left out"),
        pytest.param("min_coverage = 0.9", UNREADABLE, 1, "failed", id="coverage"),
        pytest.param("fail_under = 1\nfilter = 'item.answer=Paris'", "", 0, "passed", id="filter"),
        pytest.param("fail_under = 1\nlimit = 1", "", 0, "passed", id="limit"),
        pytest.param(
            "fail_under = 0\nsample_field = 'topic'", "", 0, "passed", id="another field is the sample"
        ),
        pytest.param(
            "fail_under = 1\nmap = { answer = 'topic' }\nsample_field = 'topic'", "", 0, "passed", id="map"
        ),
        pytest.param("fail_under = 0\nfilter = 'topic=river'", "", 3, "error", id="no row is chosen"),
        pytest.param("fail_under = 0\nsample_field = 'text'", "", 3, "error", id="no such field"),
    ],
)
def test_a_test_is_held_against_its_demands(demands: str, rows: str, code: int, verdict: str) -> None:
    Path("rows.jsonl").write_text(RIGHT + WRONG + rows)
    suite(CAPITALS + demands)

    done = grader("--json")

    assert done.return_value == code
    (told,) = json.loads(done.stdout)["tests"]
    assert (told["name"], told["verdict"]) == ("capitals", verdict)


MISTAKES = [
    # the suite, what the message has, place included
    ("fail_undr = 1", "graders.toml: error: Unknown parameter: 'tests.capitals.fail_undr'. Did you mean 'fail_under'?"),
    ("fail_under = 'all'", "'tests.capitals.fail_under': expected a number, but got a string"),
    ("min_coverage = 2", "'tests.capitals.min_coverage'"),
    ("repeat = 0", "'tests.capitals.repeat'"),
    ("format = 'xls'", "tests.capitals.format: Invalid value: 'xls'"),
    ("filter = ['topic']", "tests.capitals.filter: 'topic'; expected FIELD=VALUE"),
    ("tags = ['a']", "tests.capitals can not fail: it needs fail_under, min_coverage or both"),
    ("fail_under = 1\n[tests.b]\ndata = 'none.jsonl'\nspec = 'no.json'", "tests.b.spec: there is no file no.json"),
    ("fail_under = 1\n[tests.b]\ndata = 'none.jsonl'\nspec = 'spec.json'", "tests.b.data: there is no file none.jsonl"),
    ("fail_under = 1\n[tests.b]\nspec = 'spec.json'", "Missing required parameter: 'tests.b.data'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISTAKES, ids=[text.splitlines()[-1] for text, _ in MISTAKES])
def test_mistakes_name_file_test_and_key(text: str, said: str) -> None:
    """Mistakes in a suite name file, test and key before a row is graded."""
    suite(CAPITALS + text)

    done = grader()

    assert done.return_value == 1
    assert said in done.stderr
    assert done.stderr.startswith("graders.toml")
    assert done.stdout == ""


def test_mistakes_in_yaml_have_their_line() -> None:
    """All of them, not the first."""
    path = suite(
        "tests:\n  a:\n    spec: spec.json\n    data: rows.jsonl\n    fail_undr: 1\n    repeat: x\n", "s.yaml"
    )

    done = grader(str(path))

    assert done.return_value == 1
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == ["s.yaml:6:5:", "s.yaml:5:5:"]


def test_yaml_holds_the_same_tests() -> None:
    path = suite(
        "tests:\n  a: {spec: spec.json, data: [rows.jsonl], fail_under: 0.5, tags: fast}\n", "graders.yaml"
    )

    assert read_suite(path).tests["a"].tags == ["fast"]
    assert grader().return_value == 0
    suite("tests: {}\njudge: {}\n", "graders.yaml")
    assert "judge belongs into graders.toml" in str(grader(str(path)).exception)


def test_an_invalid_spec_costs_no_row() -> None:
    """The specs of all tests are read before the first is run, and all problems named."""
    write_spec(Path("bad.json"), string_check(operation="equals"))
    write_spec(Path("two.json"), {"testing_criteria": [string_check(), string_check(name="b")]})
    suite(
        CAPITALS + 'fail_under = 0\n[tests.bad]\nspec = "bad.json"\ndata = "rows.jsonl"\nfail_under = 0\n'
        '[tests.two]\nspec = "two.json"\ndata = "rows.jsonl"\nfail_under = 0\n'
    )

    done = grader()

    assert done.return_value == 1
    assert "bad.json" in done.stderr
    assert "tests.two.grader is missing: two.json holds several graders" in done.stderr
    assert done.stdout == ""


TAGGED = "".join(
    f'[tests.{name}]\nspec = "spec.json"\ndata = "rows.jsonl"\nfail_under = 0\ntags = {tags}\n'
    for name, tags in (("math-a", ["fast"]), ("math-b", ["judge"]), ("text", ["fast", "judge"]))
)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["math-a", "math-b", "text"]),
        (["--test", "math-*"], ["math-a", "math-b"]),
        (["--tag", "fast"], ["math-a", "text"]),
        (["--tag", "fast", "--without-tag", "judge"], ["math-a"]),
        (["--test", "text", "--test", "math-b"], ["math-b", "text"]),
    ],
)
def test_tests_are_chosen(options: list[str], names: list[str]) -> None:
    suite(TAGGED)

    listed = grader("--list", *options).stdout.splitlines()

    assert [line.split()[0] for line in listed] == names


def test_a_choice_of_nothing_is_refused() -> None:
    suite(TAGGED)

    assert "no test fits; there are math-a, math-b, text" in str(grader("--tag", "slow").exception)


def test_a_missing_suite_gets_a_remedy() -> None:
    assert "no tests: there is no graders.toml here, and no graders.yaml; `grader init`" in str(
        grader().exception
    )
    suite("[judge]\nvotes = 3\n")
    assert "has no [tests.NAME]" in str(grader().exception)


def test_failures_are_printed_stored_and_reported_to_a_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table says so, the worst row with output and reference, JUnit, GitHub, and the results stay with -o."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    suite(CAPITALS + "fail_under = 0.9\n")

    done = grader("-o", "kept", "--junit", "junit.xml", "--github")

    assert done.return_value == 1
    assert "capitals  failed   2     0       0.5000" in done.stdout
    assert "capitals: row it  reward 0  output 'Lyon'  reference 'Rome'" in done.stdout
    assert "grader report kept/capitals.jsonl" in done.stdout
    assert "::error title=capitals::gate failed: mean reward 0.5" in done.stdout
    assert "| capitals | failed | 2 |" in Path("summary.md").read_text()
    (failure,) = ElementTree.parse("junit.xml").getroot().iter("failure")
    assert (failure.get("message") or "").startswith("mean reward 0.5")
    assert "output: Lyon" in (failure.text or "")
    assert len(Path("kept/capitals.jsonl").read_text().splitlines()) == 3


def test_a_broken_judge_is_no_verdict() -> None:
    """Exit 3, and the reason; a flaky judge that answers in the end is none of the suite's business."""
    with ScriptedJudge() as judge:
        judge.default = judge_error(500)
        write_spec(Path("spec.json"), score_model())
        Path("judge.toml").write_text(f'[judge]\nbase_url = "{judge.base_url}"\nmax_attempts = 1\n')
        path = suite(CAPITALS + "fail_under = 0\n", "suite.toml")

        done = grader(str(path), "--config", "judge.toml")

    assert done.return_value == 3
    assert "capitals: error: no row could be graded" in done.stdout


@pytest.mark.parametrize(
    ("options", "variable", "asked"),
    [
        pytest.param([], "", "suite", id="those of the suite's file"),
        pytest.param(["--config", "other.toml"], "", "other", id="unless another is named"),
        pytest.param([], "other.toml", "other", id="or set"),
    ],
)
def test_a_suites_folder_configures_its_judges(
    options: list[str], variable: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("GRADERS_CONFIG", variable)
    write_spec(Path("spec.json"), score_model())
    with ScriptedJudge() as one, ScriptedJudge() as two:
        Path("other.toml").write_text(f'[judge]\nbase_url = "{two.base_url}"\n')
        path = suite(f'[judge]\nbase_url = "{one.base_url}"\n{CAPITALS}fail_under = 0\n', "suite.toml")

        done = grader(str(path), *options)

        assert done.return_value == 0
        assert [bool(judge.received) for judge in (one, two)] == [asked == "suite", asked == "other"]


def judge_error(status: int) -> Step:
    return Step(status=status, body={"error": {"message": "down"}})


def test_repeats_are_rows_of_one_item() -> None:
    """Three grades of each row; the statistics know the item."""
    suite(CAPITALS + "fail_under = 0.5\nrepeat = 3\n")

    (told,) = json.loads(grader("--json").stdout)["tests"]

    assert (told["report"]["rows"], told["report"]["items"]) == (6, 2)


def test_fail_fast_stops_at_the_first() -> None:
    suite(CAPITALS + 'fail_under = 1\n[tests.b]\nspec = "spec.json"\ndata = "rows.jsonl"\nfail_under = 0\n')

    assert [test["name"] for test in json.loads(grader("--json", "--fail-fast").stdout)["tests"]] == [
        "capitals"
    ]


def test_a_grader_of_several_is_named() -> None:
    write_spec(Path("spec.json"), multi())
    write_spec(
        Path("two.json"), {"testing_criteria": [string_check(), string_check(name="b", operation="ne")]}
    )
    suite('[tests.b]\nspec = "two.json"\ngrader = "b"\ndata = "rows.jsonl"\nfail_under = 0.5\n')

    assert grader().return_value == 0


@pytest.mark.parametrize(
    ("path", "harmless"),
    [("rows.jsonl", True), ("below/*.jsonl", True), ("../rows.jsonl", False), ("/etc/rows.jsonl", False)],
)
def test_a_found_suite_reads_its_own_folder(path: str, harmless: bool) -> None:
    """A stranger's graders.toml may not have other files sent to a judge before its owner said `grader trust`."""
    tables = {
        "tests": {"a": {"spec": "spec.json", "data": ["a.jsonl", path], "fail_under": 0.5, "map": {"a": "b"}}}
    }

    assert (settings_that_need_trust(Config(tables).tables) == []) is harmless


def test_watch_runs_a_test_again_when_its_data_changes() -> None:
    """A real process: the first run fails, the mended file passes, Ctrl-C ends with the last run's code."""
    suite(CAPITALS + "fail_under = 1\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "graders.cli", "test", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    try:
        seen = _until(process.stdout, "watching")
        assert "1 failed" in seen
        Path("rows.jsonl").write_text(RIGHT)
        assert "1 passed" in _until(process.stdout, "watching")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_after_the_last_row_ends_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C after the last row ends watching with the run's exit code."""
    outcomes = SuiteRun.outcomes

    def interrupted_late(run: SuiteRun) -> Iterator[Outcome]:
        yield from outcomes(run)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SuiteRun, "outcomes", interrupted_late)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it goes on watching"))
    suite(CAPITALS + "fail_under = 0.5\n")

    assert grader("--watch").return_value == 0


HANGS = "import time\ndef grade(sample, item):\n    time.sleep(100 if item['answer'] == 'Rome' else 0)\n    return 1\n"


@pytest.mark.parametrize("signals", [pytest.param(1, marks=pytest.mark.slow, id="waits 20 s for the row"), 2])
def test_an_interrupted_suite_prints_the_command_for_the_rest(signals: int) -> None:
    """After one or two Ctrl-C the printed command names the tests that did not end, and the exit code is 130."""
    write_spec(Path("hangs.json"), {**python(HANGS), "name": "hangs"})
    table = 'data = "rows.jsonl"\nfail_under = 0\n'
    tests = {"whole": "spec.json", "half": "hangs.json", "never run": "spec.json"}
    suite("".join(f'[tests."{name}"]\nspec = "{spec}"\n{table}' for name, spec in tests.items()))
    process = subprocess.Popen(
        [sys.executable, "-m", "graders.cli", "test", "-o", "kept", "--test", "*", "--without-tag=slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        until = time.monotonic() + 60
        while _lines("kept/half.jsonl") != 2 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _until(process.stderr, "once more stops at once")
        if signals == 2:
            process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 130
    assert "1 passed, 2 interrupted" in out
    assert "half: interrupted: what it demands was not judged" in out
    assert said.endswith(
        "interrupted. Go on with: grader test -o kept --without-tag=slow --test=half '--test=never run'\n"
    )


def _lines(path: str) -> int:
    return Path(path).read_bytes().count(b"\n") if Path(path).exists() else 0


def _until(stream: Iterator[str], word: str) -> str:
    lines = []
    for line in stream:
        lines.append(line)
        if word in line:
            break
    return "".join(lines)


def test_the_example_passes_as_the_document_shows() -> None:
    """docs/suites.md has the table that `grader test examples/graders.toml` prints, seconds aside."""
    shown = (
        (ROOT / "docs" / "suites.md")
        .read_text(encoding="utf-8")
        .partition("```text\n")[2]
        .partition("\n\n")[0]
    )

    done = grader(str(ROOT / "examples" / "graders.toml"))

    assert done.return_value == 0
    assert done.stdout.partition("\n\n")[0] == shown
