"""grader compare: the same rows of two files, and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats as scipy_stats

from graders.cli import group
from graders.results.read import ResultsError
from graders.stats.compare import compare, compare_runs, gate
from graders.stats.paired import smallest_shown
from tests.report.handmade import write_results
from tests.specs import multi, python, string_check, text_similarity


def rewards(path: Path, given: dict[str, float | None], spec: Any = None, **row: Any) -> Path:
    rows = [{"id": row_id, "reward": reward, **row} for row_id, reward in given.items()]
    return write_results(path, rows, spec)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, ["compare", *map(str, arguments)], standalone_mode=False)


def test_rows_are_paired_by_id_and_not_by_place(tmp_path: Path) -> None:
    """Order does not matter; rows in one file only, and failed rows, are counted and in no difference."""
    a = rewards(tmp_path / "a", {"1": 0.5, "2": 0.5, "3": 0.5, "4": None, "5": None, "only a": 0.9}, python())
    b = rewards(
        tmp_path / "b", {"5": None, "4": 0.7, "3": None, "2": 0.75, "only b": 0.1, "1": 0.5}, python()
    )

    found = compare(a, b)

    assert (found.shared, found.pairs, found.failed_in_both) == (5, 2, 1)
    assert (found.a.failed, found.b.failed) == (2, 2)
    assert (found.a.only_ids, found.b.only_ids) == (("only a",), ("only b",))
    assert found.delta is not None
    assert found.delta.value == 0.125
    assert (found.up, found.down, found.same) == (1, 0, 1)
    assert found.a.mean is not None
    # the mean is of the pairs, without row "only a"
    assert found.a.mean.value == 0.5
    assert any("2 shared rows failed in A" in note for note in found.notes)


def test_passes_are_held_to_mcnemar(tmp_path: Path) -> None:
    """The table of pairs, and the p of scipy's exact binomial test of the pairs that differ."""
    outcomes = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 4 + [(0.0, 1.0)] * 13 + [(0.0, 0.0)] * 9
    a = rewards(tmp_path / "a", {str(n): one for n, (one, _) in enumerate(outcomes)})
    b = rewards(tmp_path / "b", {str(n): other for n, (_, other) in enumerate(outcomes)})

    found = compare(a, b)

    assert found.passes is not None
    assert (found.passes.both, found.passes.only_a, found.passes.only_b, found.passes.neither) == (
        20,
        4,
        13,
        9,
    )
    assert found.passes.p_value == pytest.approx(float(scipy_stats.binomtest(4, 17, 0.5).pvalue), rel=1e-9)
    assert found.delta is not None
    assert found.delta.value == pytest.approx(9 / 46)
    assert 0 < found.delta.low < 9 / 46 < found.delta.high
    assert found.verdict == "B is better"


PASSING = [
    # spec, whether there is a table of passes
    pytest.param(text_similarity(pass_threshold=0.5), True, id="a pass_threshold"),
    pytest.param(text_similarity(), False, id="no threshold"),
]


@pytest.mark.parametrize(("spec", "table"), PASSING)
def test_there_is_a_table_where_there_is_a_threshold(spec: Any, table: bool, tmp_path: Path) -> None:
    """Rewards other than 0 and 1 pass by the spec's threshold only."""
    a = rewards(tmp_path / "a", {"1": 0.4, "2": 0.6}, spec)
    b = rewards(tmp_path / "b", {"1": 0.5, "2": 0.3}, spec)

    passes = compare(a, b).passes

    assert (passes is not None) == table
    if passes is not None:
        assert (passes.both, passes.only_a, passes.only_b, passes.neither) == (0, 1, 1, 0)


def test_repeats_of_one_item_narrow_no_interval(tmp_path: Path) -> None:
    """Ten samples of each of six items: the interval is as wide as for six, and a note says so for McNemar."""
    lift = [0.3, -0.1, 0.2, 0.25, -0.05, 0.1]
    ids = [f"q{item}" if n == 0 else f"q{item}#{n + 1}" for item in range(6) for n in range(10)]
    old = rewards(tmp_path / "a", dict.fromkeys(ids, 0.5), python())
    new = rewards(tmp_path / "b", {row_id: 0.5 + lift[n // 10] for n, row_id in enumerate(ids)}, python())
    one = rewards(tmp_path / "c", {f"q{item}": 0.5 for item in range(6)}, python())
    other = rewards(tmp_path / "d", {f"q{item}": 0.5 + lift[item] for item in range(6)}, python())

    many, few = compare(old, new), compare(one, other)

    assert many.delta is not None
    assert few.delta is not None
    assert (many.delta.low, many.delta.high) == pytest.approx((few.delta.low, few.delta.high), rel=1e-9)
    assert many.p_value == few.p_value
    assert (many.items, many.pairs) == (6, 60)


def test_other_specs_are_refused_unless_allowed(tmp_path: Path) -> None:
    """The error says where the specs differ and what to do; told, the difference is a note."""
    a = rewards(tmp_path / "a", {"1": 0.0}, string_check(operation="eq"))
    b = rewards(tmp_path / "b", {"1": 1.0}, string_check(operation="like"))

    refused, told = run(a, b), run(a, b, "--different-specs")

    assert isinstance(refused.exception, Exception)
    assert "operation: 'eq' and 'like'" in str(refused.exception)
    assert "--different-specs" in str(refused.exception)
    assert told.return_value == 0
    assert "note: the specs differ: operation: 'eq' and 'like'" in told.output


def test_sub_rewards_are_compared_too(tmp_path: Path) -> None:
    """B minus A of each grader of a multi."""
    spec = multi("a + b", {"a": string_check(), "b": text_similarity()})
    a = rewards(tmp_path / "a", {str(n): 1.0 for n in range(9)}, spec, sub_rewards={"a": 1.0, "b": 0.0})
    b = rewards(tmp_path / "b", {str(n): 1.25 for n in range(9)}, spec, sub_rewards={"a": 1.0, "b": 0.25})

    found = compare(a, b)

    assert [(sub.key, sub.delta.value) for sub in found.subs] == [("a", 0.0), ("b", 0.25)]


def test_the_biggest_movers_come_first_with_their_texts(tmp_path: Path) -> None:
    """Up and down apart, largest first, equal ones by id; rows that did not move are not there."""
    a = rewards(
        tmp_path / "a", {"1": 0.5, "2": 0.5, "3": 0.5, "4": 0.5, "5": 0.5}, python(), row={"sample": "old"}
    )
    b = rewards(
        tmp_path / "b", {"1": 0.6, "2": 0.9, "3": 0.5, "4": 0.1, "5": 0.6}, python(), row={"sample": "new"}
    )

    found = compare(a, b)

    assert [mover.id for mover in found.gained] == ["2", "1", "5"]
    (lost,) = found.lost
    assert lost.id == "4"
    assert lost.delta == pytest.approx(-0.4)
    assert (found.gained[0].a_text, found.gained[0].b_text) == ("old", "new")
    assert len(compare(a, b, movers=1).gained) == 1


EDGES = [
    # a, b, verdict
    pytest.param({"1": 0.5}, {"2": 0.5}, "nothing to compare: no row was scored in both", id="no shared row"),
    pytest.param({"1": 0.5}, {"1": None}, "nothing to compare: no row was scored in both", id="failed in B"),
    pytest.param({"1": 0.5, "2": 1.0}, {"1": 0.5, "2": 1.0}, "no row differs", id="equal"),
    pytest.param(
        {"1": 0.5},
        {"1": 0.9},
        "no difference shown: one item alone has no interval",
        id="one item has no interval",
    ),
    pytest.param({}, {}, "nothing to compare: no row was scored in both", id="no rows"),
]


@pytest.mark.parametrize(("a", "b", "verdict"), EDGES)
@pytest.mark.parametrize("format_", ["text", "md", "json"])
def test_every_form_shows_empty_comparisons(
    a: Any, b: Any, verdict: str, format_: str, tmp_path: Path
) -> None:
    """Every form can say that there is nothing to say."""
    files = rewards(tmp_path / "a", a, python()), rewards(tmp_path / "b", b, python())

    out = run(*files, "--format", format_)

    assert compare(*files).verdict == verdict
    assert out.return_value == 0
    assert verdict in out.output


def test_a_file_equals_itself(tmp_path: Path) -> None:
    """No row differs, and nobody is better."""
    a = rewards(tmp_path / "a", {str(n): n / 10 for n in range(10)}, python())

    found = compare(a, a)

    assert (found.pairs, found.same, found.p_value, found.verdict) == (10, 10, 1.0, "no row differs")


def test_json_is_plain(tmp_path: Path) -> None:
    """Numbers that do not exist are null, and the figures are those of `compare`."""
    a, b = rewards(tmp_path / "a", {"1": 0.5}, python()), rewards(tmp_path / "b", {"1": 0.75}, python())

    told = json.loads(run(a, b, "--json").output)

    assert told["delta"]["value"] == 0.25
    assert told["delta"]["low"] is None
    assert (told["verdict"], told["pairs"]) == ("no difference shown: one item alone has no interval", 1)


DROPS = [
    # mean of B minus A, allowed drop, surely, verdict; the interval is about 0.06 wide on each side
    pytest.param(0.0, 0.1, True, "met", id="no change"),
    pytest.param(-0.08, 0.1, True, "inconclusive", id="within, but not surely"),
    pytest.param(-0.08, 0.1, False, "met", id="within"),
    pytest.param(-0.2, 0.1, False, "failed", id="not within"),
    pytest.param(-0.3, 0.1, True, "failed", id="surely worse"),
]


@pytest.mark.parametrize(("shift", "allowed", "surely", "verdict"), DROPS)
def test_a_gate_on_the_drop(shift: float, allowed: float, surely: bool, verdict: str, tmp_path: Path) -> None:
    """Exit 1 where B is worse by more than is allowed; with --surely, unless it surely is not."""
    noise = [math.sin(n * 12.9898) * 0.28 for n in range(40)]
    a = rewards(tmp_path / "a", {str(n): 0.5 for n in range(40)}, python())
    b = rewards(tmp_path / "b", {str(n): 0.5 + shift + off for n, off in enumerate(noise)}, python())

    out = run(a, b, "--max-drop", str(allowed), *["--surely"] * surely)

    assert gate(compare(a, b), allowed, surely=surely).verdict == verdict
    assert out.return_value == (0 if verdict == "met" else 1)
    assert f"{verdict}: difference" in out.output


def test_missing_fields_are_reported(tmp_path: Path) -> None:
    """A usage error that names the file."""
    a = rewards(tmp_path / "a", {"1": 0.5})

    with pytest.raises(ResultsError, match=r"cannot read .*missing: No such file"):
        compare(a, tmp_path / "missing")


def test_a_verdict_needs_interval_and_test(tmp_path: Path) -> None:
    """S6: five rows that all rose: the interval is above 0, and a sign-flip test cannot be below 0.0625."""
    a = rewards(tmp_path / "a", {str(n): 0.5 for n in range(5)}, python())
    b = rewards(tmp_path / "b", {str(n): 0.6 + n / 100 for n in range(5)}, python())

    found = compare(a, b)

    assert found.delta is not None
    assert found.delta.low > 0
    assert found.p_value == 0.0625
    assert found.verdict == "no difference shown: only 5 rows of 5 differ"


def noisy_runs(tmp_path: Path, seed: int, rows: int, lifts: list[float], subs: int = 0) -> list[Path]:
    """Runs of a multi with noise in every sub-reward, each better than the first by its lift."""
    chance = np.random.default_rng(seed)
    keys = [f"s{n}" for n in range(subs)]
    spec = multi("+".join(keys), {key: python() for key in keys}) if subs else python()
    made = []
    for number, lift in enumerate([0.0, *lifts]):
        values = chance.normal(0.5 + lift, 0.2, (rows, max(1, subs)))
        lines = [
            {
                "id": str(n),
                "reward": float(row.sum()),
                "sub_rewards": dict(zip(keys, row.tolist(), strict=False)),
            }
            for n, row in enumerate(values)
        ]
        made.append(write_results(tmp_path / f"{seed}-{number}.jsonl", lines, spec))
    return made


def test_several_runs_are_held_to_one_error(tmp_path: Path) -> None:
    """Each against the first: intervals are wider than for one, p values adjusted, and the real difference found."""
    paths = noisy_runs(tmp_path, 1, 60, [0.0, 0.3, 0.0])

    alone, found = compare(*paths[:2]), compare_runs(paths)
    out = run(*paths)

    assert [each.verdict for each in found][1] == "B is better"
    assert found[0].delta is not None
    assert alone.delta is not None
    assert found[0].delta.width > alone.delta.width
    assert all(each.p_adjusted >= each.p_value for each in found)
    assert found[0].level > 0.95
    assert "3 files (B) against" in out.output
    assert len(json.loads(run(*paths, "--json").output)["comparisons"]) == 3


def test_several_runs_with_repeats_in_any_order(tmp_path: Path) -> None:
    """The level knows items, wherever each file has its rows: shuffled files give the same."""
    chance = np.random.default_rng(8)
    ids = [f"q{n}{mark}" for n in range(20) for mark in ("", "#2", "#3")]
    files: list[dict[str, float | None]] = [
        {row_id: float(chance.random()) for row_id in ids} for _ in range(3)
    ]
    straight = [rewards(tmp_path / f"s{n}", file, python()) for n, file in enumerate(files)]
    shuffled = [
        rewards(
            tmp_path / f"m{n}",
            {row_id: file[row_id] for row_id in chance.permutation(ids).tolist()},
            python(),
        )
        for n, file in enumerate(files)
    ]

    one, other = compare_runs(straight), compare_runs(shuffled)

    assert [each.items for each in one] == [20, 20]
    assert [each.level for each in one] == pytest.approx([each.level for each in other], rel=1e-3)


def test_sub_rewards_are_held_to_one_error(tmp_path: Path) -> None:
    """Twelve of pure noise: intervals that hold all at once, p values by Holm."""
    found = compare(*noisy_runs(tmp_path, 2, 60, [0.0], subs=12))

    assert len(found.subs) == 12
    assert all(sub.delta.low < 0 < sub.delta.high for sub in found.subs)
    assert min(sub.p_adjusted for sub in found.subs) > 0.05


@pytest.mark.slow
def test_the_smallest_difference_that_pairs_could_show() -> None:
    """By simulation: pairs with that true difference are found to differ in about four of five runs."""
    chance = np.random.default_rng(5)
    wanted = float(np.mean([smallest_shown(chance.normal(0, 1, 40)) for _ in range(200)]))

    shown = [scipy_stats.ttest_1samp(chance.normal(wanted, 1, 40), 0).pvalue < 0.05 for _ in range(2000)]

    assert np.mean(shown) == pytest.approx(0.8, abs=0.04)
    assert wanted == pytest.approx(2.87 / math.sqrt(40), rel=0.03)


def test_pass_hat_k_of_both_sides(tmp_path: Path) -> None:
    """Of repeated samples, how often all of an item's pass, before and after."""
    ids = [f"q{n}{mark}" for n in range(10) for mark in ("", "#2")]
    a = rewards(tmp_path / "a", {row_id: float(not row_id.endswith("#2")) for row_id in ids})
    b = rewards(tmp_path / "b", dict.fromkeys(ids, 1.0))

    found = compare(a, b)

    assert [side.repeats[-1].all_of_k.value for side in (found.a, found.b)] == [0.0, 1.0]
    assert "pass^2" in run(a, b).output
