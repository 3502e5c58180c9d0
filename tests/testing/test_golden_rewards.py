"""Golden rewards: written with --grader-update, compared row by row, by one process or several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.testing import Golden
from graders.testing.golden import GoldenChanged, merge, read
from tests.specs import multi, string_check, text_similarity
from tests.testing.support import SERIAL_AND_PARALLEL, run

pytest_plugins = ["pytester"]

SPEC = multi("(exact + near) / 2", {"exact": string_check(), "near": text_similarity()})
ROWS = [
    {"id": "fr", "sample": "Paris", "item": {"answer": "Paris"}},
    {"id": "jp", "sample": "Tokio", "item": {"answer": "Tokyo"}},
    {"id": "xx", "sample": "?", "item": {}},
]


@pytest.fixture
def grader() -> graders.Grader:
    return graders.compile(SPEC)


def written(path: Path, grader: graders.Grader) -> Golden:
    Golden(path, update=True).check(grader, grader.run_batch(ROWS))
    return Golden(path)


def test_the_file_has_spec_and_engine(tmp_path: Path, grader: graders.Grader) -> None:
    """Id, reward, sub-rewards, flags, spec digest, engine version, tolerance; ids in order."""
    written(tmp_path / "golden" / "a.json", grader).check(grader, grader.run_batch(ROWS))

    content = json.loads((tmp_path / "golden" / "a.json").read_text())
    assert (content["spec"], content["engine"], content["tolerance"]) == (
        grader.digest,
        graders.__version__,
        1e-9,
    )
    assert content["rewards"]["jp"] == {
        "reward": 0.4,
        "sub_rewards": {"exact": 0.0, "near": 0.8},
        "flags": [],
    }
    assert content["rewards"]["xx"]["flags"] == ["invalid_variable_error"]
    assert [path.name for path in (tmp_path / "golden").iterdir()] == ["a.json"]


CHANGES = [
    # what is graded now, lines of the message
    pytest.param(
        [*ROWS[:1], {**ROWS[1], "sample": "Tokyo"}, ROWS[2]],
        ["jp: reward 0.4 -> 1.0 (+0.6); sub-reward exact 0.0 -> 1.0 (+1); sub-reward near 0.8 -> 1.0 (+0.2)"],
        id="another reward",
    ),
    pytest.param(
        [*ROWS[:2], {**ROWS[2], "item": {"answer": "a"}}],
        ["xx: flags invalid_variable_error -> none"],
        id="no flag any more",
    ),
    pytest.param(ROWS[:2], ["xx: gone, was 0"], id="a row less"),
    pytest.param([*ROWS, {**ROWS[0], "id": "de"}], ["de: new, 1"], id="a row more"),
]


@pytest.mark.parametrize(("rows", "lines"), CHANGES)
def test_differences_are_readable(
    tmp_path: Path, grader: graders.Grader, rows: list[dict[str, object]], lines: list[str]
) -> None:
    """One line a row: what it was, what it is, by how much."""
    golden = written(tmp_path / "a.json", grader)

    with pytest.raises(GoldenChanged) as caught:
        golden.check(grader, grader.run_batch(rows))

    said = str(caught.value).splitlines()
    assert [line.strip() for line in said[1:-1]] == lines
    assert said[-1].strip() == "if that is meant: pytest --grader-update"


def test_a_changed_spec_or_engine_is_reported(tmp_path: Path, grader: graders.Grader) -> None:
    """The reason is in the message; equal rewards of another spec are no difference."""
    golden = written(tmp_path / "a.json", grader)
    content = {**read(tmp_path / "a.json"), "engine": "0.0.1"}
    (tmp_path / "a.json").write_text(json.dumps(content))
    other = graders.compile({**SPEC, "calculate_output": "near"})

    golden.check(graders.compile({**SPEC, "name": "renamed"}), grader.run_batch(ROWS))
    with pytest.raises(GoldenChanged) as caught:
        golden.check(other, other.run_batch(ROWS))

    assert "the spec is another one than when the file was written" in str(caught.value)
    assert f"the file was written by local-graders 0.0.1; this is {graders.__version__}" in str(caught.value)


def test_rewards_may_differ_by_the_tolerance(tmp_path: Path, grader: graders.Grader) -> None:
    """A reward may be off by the file's tolerance, or by one given."""
    golden = written(tmp_path / "a.json", grader)
    # the similarity is 10/11 instead of 0.8
    near = [*ROWS[:1], {**ROWS[1], "sample": "Tokyyo"}, ROWS[2]]

    golden.check(grader, grader.run_batch(near), tolerance=0.2)
    with pytest.raises(GoldenChanged):
        golden.check(grader, grader.run_batch(near))


@pytest.mark.parametrize("row_id", ["", "fr"])
def test_ids_are_needed_and_unique(tmp_path: Path, grader: graders.Grader, row_id: str) -> None:
    """Rows are known by id, never by position."""
    with pytest.raises(ValueError, match="go by id"):
        Golden(tmp_path / "a.json").check(grader, grader.run_batch([ROWS[0], {**ROWS[1], "id": row_id}]))


def test_parts_of_several_processes_are_merged(tmp_path: Path, grader: graders.Grader) -> None:
    """Rows of one file that were graded by different processes end in one file, beside those not graded this time."""
    path, parts = tmp_path / "a.json", tmp_path / "parts"
    parts.mkdir()
    written(path, grader)
    changed: list[dict[str, Any]] = [{**ROWS[0], "sample": "Rome"}, {**ROWS[1], "id": "new"}]
    for row in changed:
        Golden(path, update=True, parts=parts).check(
            grader, grader.run(row["sample"], row["item"], id=row["id"])
        )
    # another process gives the same
    (parts / "another.jsonl").write_text("".join(file.read_text() for file in parts.iterdir()))

    assert merge(parts) == [path]

    rewards = read(path)["rewards"]
    assert list(rewards) == ["fr", "jp", "new", "xx"]
    assert rewards["fr"]["reward"] < 1
    assert rewards["new"] == rewards["jp"]


USER = """
    import pytest

    @pytest.mark.grader_rows("rows.jsonl")
    def test_by_row(reward, grader_golden):
        grader_golden(reward)

    def test_all(grader_batch, grader_golden):
        grader_golden(grader_batch("rows.jsonl"), name="all", tolerance=0.01)
"""


@pytest.mark.parametrize("arguments", SERIAL_AND_PARALLEL)
def test_update_and_compare(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """No file: fails and says what to do; --grader-update writes it; then it holds, and a change is a failure."""
    missing = run(project, USER)
    missing.assert_outcomes(failed=4)
    missing.stdout.fnmatch_lines(["*there is no *all.json yet; run pytest with --grader-update to write it*"])

    updated = run(project, USER, "--grader-update", *arguments)
    updated.assert_outcomes(passed=4)
    updated.stdout.fnmatch_lines(["golden rewards written: *all.json"])
    assert sorted(path.name for path in Path("golden").iterdir()) == [
        "all.json",
        "test_update_and_compare__test_by_row.json",
    ]
    by_row = json.loads(Path("golden/test_update_and_compare__test_by_row.json").read_text())
    assert list(by_row["rewards"]) == ["ca", "fr", "jp"]

    run(project, USER, *arguments).assert_outcomes(passed=4)

    lines = Path("rows.jsonl").read_text().replace('"sample": "Tokyo"', '"sample": "Kyoto"')
    Path("rows.jsonl").write_text(lines)
    changed = run(project, USER)
    changed.assert_outcomes(passed=2, failed=2)
    changed.stdout.fnmatch_lines(["*jp: reward 1.0 -> 0.0 (-1)*"])
