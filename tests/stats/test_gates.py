"""Gates: the number itself, or surely its interval; failed rows count."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from graders.cli import group
from graders.stats import estimates
from graders.stats.figures import Summary
from graders.stats.gates import gates
from graders.stats.gather import gather
from graders.stats.summary import summarise
from tests.report.handmade import write_results
from tests.specs import python, score_model, string_check


def summary_of(path: Path, **options: Any) -> Summary:
    return summarise(gather(path, **options))


PLAIN = [
    # passes of rows, wanted, met: H1 of the study of use
    pytest.param(20, 20, 0.9, True, id="a perfect run is enough, however short"),
    pytest.param(20, 20, 1.0, True, id="and for 1.0"),
    pytest.param(85, 100, 0.8, True, id="above"),
    pytest.param(80, 100, 0.8, True, id="exactly"),
    pytest.param(79, 100, 0.8, False, id="below, by one row"),
]
SURELY = [
    # passes of 100, wanted, verdict: Wilson intervals of 100 rows are about 0.1 wide on each side
    pytest.param(90, 0.8, "met", id="the whole interval is above"),
    pytest.param(85, 0.8, "inconclusive", id="above, but not surely"),
    pytest.param(75, 0.8, "inconclusive", id="below, but not surely"),
    pytest.param(60, 0.8, "failed", id="the whole interval is below"),
    pytest.param(100, 1.0, "inconclusive", id="no interval is all at the top"),
]


@pytest.mark.parametrize(("passes", "n", "wanted", "met"), PLAIN)
def test_a_gate_compares_the_mean(passes: int, n: int, wanted: float, met: bool, tmp_path: Path) -> None:
    """`--fail-under` is about the number itself."""
    path = write_results(tmp_path / "r.jsonl", [{"reward": float(i < passes)} for i in range(n)])

    out = CliRunner().invoke(group, ["report", str(path), "--fail-under", str(wanted)], standalone_mode=False)

    assert out.return_value == (0 if met else 1)
    assert f"{'met' if met else 'failed'}: mean reward" in out.output


@pytest.mark.parametrize(("passes", "wanted", "verdict"), SURELY)
@pytest.mark.parametrize("inconclusive", ["fail", "pass"])
def test_surely_compares_the_interval(
    passes: int, wanted: float, verdict: str, inconclusive: str, tmp_path: Path
) -> None:
    """`--surely` tells unsure from failed, and `--inconclusive` says what unsure comes to."""
    path = write_results(tmp_path / "r.jsonl", [{"reward": float(n < passes)} for n in range(100)])
    options = ["--fail-under", str(wanted), "--surely", "--inconclusive", inconclusive]

    out = CliRunner().invoke(group, ["report", str(path), *options], standalone_mode=False)

    assert f"{verdict}: mean reward" in out.output
    passes_it = verdict == "met" or (verdict == "inconclusive" and inconclusive == "pass")
    assert out.return_value == (0 if passes_it else 1)


FAILED_ROWS = [
    # spec, rewards, failed rows, wanted, min_coverage, verdict
    pytest.param(string_check(), [1.0] * 12, 8, 0.7, None, "failed", id="S4: 12 right, 8 that fail"),
    pytest.param(string_check(), [1.0] * 12, 8, 0.6, None, "met", id="enough with all failed ones wrong"),
    pytest.param(string_check(), [1.0] * 12, 8, 0.7, 0.5, "met", id="left out on purpose"),
    pytest.param(
        score_model(range=[-1, 1]), [1.0] * 9, 1, 0.85, None, "failed", id="at the bottom of the range"
    ),
    pytest.param(
        python(), [-2.0, 4.0, 4.0], 1, 1.5, None, "failed", id="a program: the least of 0 and what it gave"
    ),
]


@pytest.mark.parametrize(("spec", "rewards", "failed", "wanted", "coverage", "verdict"), FAILED_ROWS)
def test_failed_rows_reach_the_gate(
    spec: dict[str, Any],
    rewards: list[float],
    failed: int,
    wanted: float,
    coverage: float | None,
    verdict: str,
    tmp_path: Path,
) -> None:
    """Failed rows count with the lowest reward, unless --min-coverage allows leaving them out."""
    rows: list[dict[str, Any]] = [*({"reward": r} for r in rewards), *[{"reward": None}] * failed]
    found = summary_of(write_results(tmp_path / "r.jsonl", rows, spec))

    gate = gates(found, wanted, coverage)[-1]

    assert gate.verdict == verdict
    assert ("counted as" in gate.text) == (coverage is None)


def test_no_gate_is_surely_met_without_spread(tmp_path: Path) -> None:
    """S1: ten rows of 5.0 from a program tell nothing about what else it gives."""
    path = write_results(tmp_path / "r.jsonl", [{"reward": 5.0}] * 10, python())

    (gate,) = gates(summary_of(path), 4.99, surely=True)

    assert gate.verdict == "inconclusive"
    assert "no interval: all rewards are equal" in gate.text


def test_a_single_item_surely_decides_nothing(tmp_path: Path) -> None:
    """There is no interval of one item, so no gate is surely met by it."""
    path = write_results(
        tmp_path / "r.jsonl", [{"id": "a", "reward": 0.9}, {"id": "a#2", "reward": 0.8}], python()
    )

    (gate,) = gates(summary_of(path), fail_under=0.1, surely=True)

    assert gate.verdict == "inconclusive"


def test_coverage_is_met_or_failed(tmp_path: Path) -> None:
    """Coverage is counted and not estimated, so that its gate is met or failed."""
    found = summary_of(write_results(tmp_path / "r.jsonl", [{}, {}, {}, {"reward": None}]))

    assert [gates(found, min_coverage=wanted)[0].verdict for wanted in (0.75, 0.76)] == ["met", "failed"]


def test_batch_stops_at_its_gates(tmp_path: Path) -> None:
    """`grader batch` exits 1 where a gate is not met, and says which; its summary has the interval."""
    spec, data = tmp_path / "s.json", tmp_path / "d.jsonl"
    spec.write_text(json.dumps(string_check()))
    rows = [
        {"id": n, "sample": "x" if n % 2 else "y", "item": {"answer": "x"} if n else {}} for n in range(60)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["batch", str(spec), str(data), "-o", str(tmp_path / "r.jsonl"), "--force"]

    codes = {}
    for gate in (
        "--fail-under 0.3",
        "--fail-under 0.5 --min-coverage 0.9 --surely",
        "--fail-under 0.5",
        "--fail-under 0.9",
        "--min-coverage 0.98",
        "--min-coverage 0.99",
    ):
        out = CliRunner().invoke(group, [*arguments, *gate.split()], standalone_mode=False)
        verdict = out.output.split("gate ")[-1].split(":")[0]
        codes[gate] = (out.return_value, verdict)

    assert codes == {
        "--fail-under 0.3": (0, "met"),
        "--fail-under 0.5": (0, "met"),
        "--fail-under 0.9": (1, "failed"),
        "--fail-under 0.5 --min-coverage 0.9 --surely": (1, "inconclusive"),
        "--min-coverage 0.98": (0, "met"),
        "--min-coverage 0.99": (1, "failed"),
    }
    low, high = estimates.wilson(30, 59)
    assert f"mean reward  {30 / 59:.4f}  95 % [{low:.4f}, {high:.4f}]  Wilson" in out.output


def test_gates_need_a_file(tmp_path: Path) -> None:
    """A gate on an output that cannot be read again is refused before anything is graded."""
    for output in ("-", os.devnull):
        out = CliRunner().invoke(
            group, ["batch", "s", "d", "-o", output, "--fail-under", "1"], standalone_mode=False
        )

        assert "the gates need OUT to be a file" in str(out.exception)


def test_of_many_rows_the_summary_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts and mean, without reading the results again; gates read them nevertheless."""
    monkeypatch.setattr("graders.cli.batch.SUMMARY_ROWS", 3)
    spec, data = tmp_path / "s.json", tmp_path / "d.jsonl"
    spec.write_text(json.dumps(string_check()))
    data.write_text("".join(f'{{"id": {n}, "sample": "x", "item": {{"answer": "x"}}}}\n' for n in range(4)))
    arguments = ["batch", str(spec), str(data), "-o", str(tmp_path / "r.jsonl"), "--force"]

    short = CliRunner().invoke(group, arguments, standalone_mode=False).output
    gated = CliRunner().invoke(group, [*arguments, "--min-coverage", "1"], standalone_mode=False).output

    assert short.startswith("4 rows: 4 scored, 0 failed\nmean reward of the scored rows: 1\n")
    assert "Wilson" in gated
