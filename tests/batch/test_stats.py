"""Statistics of a results file: equal to scipy, covering what they promise, and about the scored rows only."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from graders.cli import group
from graders.report.text import figure, percent, seconds, summary_markdown, summary_text
from graders.results.read import ResultsError
from graders.stats import estimates
from graders.stats.estimates import Estimate
from graders.stats.labels import agreement
from graders.stats.summary import Summary, gates, gather, histogram, summarise
from tests.batch.handmade import write_results
from tests.specs import multi, python, score_model, string_check, text_similarity

CLOSE = {"rel": 1e-9, "abs": 1e-9}


def summary_of(path: Path, **options: Any) -> Summary:
    return summarise(gather(path, **options))


# --- against scipy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passes", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (515, 1319), (999, 1000)]
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_is_scipys(passes: int, n: int, level: float) -> None:
    """As scipy.stats.binomtest(...).proportion_ci(method="wilson")."""
    theirs = scipy_stats.binomtest(passes, n).proportion_ci(level, method="wilson")

    assert estimates.wilson(passes, n, level) == pytest.approx((theirs.low, theirs.high), **CLOSE)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 10, 29, 30, 100, 1999, 2000, 2001, 5000])
@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995])
def test_student_is_scipys(p: float, df: int) -> None:
    """The series and the expansion equal scipy.stats.t.ppf."""
    assert estimates.t_quantile(p, df) == pytest.approx(float(scipy_stats.t.ppf(p, df)), **CLOSE)


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_the_exact_binomial(only_a: int, only_b: int) -> None:
    """As scipy.stats.binomtest(b, b + c, 0.5); 1 where no pair differs."""
    n = only_a + only_b
    theirs = scipy_stats.binomtest(only_a, n, 0.5).pvalue if n else 1.0

    assert estimates.mcnemar(only_a, only_b) == pytest.approx(float(theirs), **CLOSE)


def test_mcnemar_of_many_pairs_goes_on_where_the_exact_one_ends() -> None:
    """The normal tail with continuity correction is within a hundredth of the exact p there."""
    exact, more = estimates.mcnemar(24_800, 25_200), estimates.mcnemar(24_801, 25_201)

    assert more == pytest.approx(exact, rel=0.01)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
@settings(max_examples=40, deadline=None)
def test_sign_flips_are_counted(deltas: list[int]) -> None:
    """For few items, exactly the part of all sign patterns that give as large a sum; zeros do not matter."""
    total = abs(sum(deltas))
    patterns = list(itertools.product((-1, 1), repeat=len(deltas)))
    reached = sum(abs(sum(s * d for s, d in zip(signs, deltas, strict=True))) >= total for signs in patterns)

    assert estimates.sign_flip(np.array(deltas, float)) == pytest.approx(reached / len(patterns), **CLOSE)


def test_sign_flips_of_many_items_agree_with_scipy() -> None:
    """Random flips, and the normal tail beyond MAX_DRAWN items, stand beside scipy.stats.permutation_test."""
    chance = np.random.default_rng(5)
    deltas = chance.normal(0.12, 1, 200)
    theirs = scipy_stats.permutation_test(
        (deltas,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    many = np.concatenate([deltas] * 60) / math.sqrt(60)

    assert estimates.sign_flip(deltas) == pytest.approx(theirs.pvalue, abs=0.012)
    assert estimates.sign_flip(many) == pytest.approx(
        float(2 * scipy_stats.norm.sf(many.sum() / np.sqrt((many**2).sum())))
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=30))
@settings(max_examples=60, deadline=None)
def test_correlations_are_scipys(pairs: list[tuple[int, int]]) -> None:
    """Pearson's r and, over ranks, Spearman's rho with ties; NaN where one side does not vary."""
    one, other = (np.array(side, float) for side in zip(*pairs, strict=True))
    if one.std() == 0 or other.std() == 0:
        assert math.isnan(estimates.correlation(one, other))
        return

    assert estimates.correlation(one, other) == pytest.approx(
        float(scipy_stats.pearsonr(one, other)[0]), **CLOSE
    )
    rho = estimates.correlation(estimates.ranks(one), estimates.ranks(other))
    assert rho == pytest.approx(float(scipy_stats.spearmanr(one, other)[0]), **CLOSE)


def test_the_error_of_a_mean_is_scipys() -> None:
    """One row an item: the usual standard error. Beyond MAX_DRAWN items the interval is made of it."""
    values = np.random.default_rng(0).random(20_000)
    n, sem = len(values), float(scipy_stats.sem(values))

    found = estimates.mean(values)

    assert estimates.standard_error(values, np.ones(n)) == pytest.approx(sem, **CLOSE)
    assert (found.low, found.high) == pytest.approx(
        scipy_stats.norm.interval(0.95, values.mean(), sem), **CLOSE
    )


def test_the_bootstrap_is_scipys() -> None:
    """The same interval as scipy.stats.bootstrap with the widened tails, up to chance."""
    values = np.random.default_rng(2).beta(2, 5, 40)
    t = scipy_stats.t.ppf(0.975, 39)
    level = 1 - 2 * float(scipy_stats.norm.cdf(-math.sqrt(40 / 39) * t))
    theirs = scipy_stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval

    found = estimates.mean(values)

    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)
    assert (
        estimates.mean(values[::-1].copy()) == found
    )  # the same draws every time, in whatever order rows stand


# --- against the definitions --------------------------------------------------------------------------------------


# n, passed, k: pass@k and pass^k counted over every choice of k of n samples
@pytest.mark.parametrize(
    ("n", "passed", "k"), [(1, 0, 1), (1, 1, 1), (4, 1, 2), (5, 3, 2), (6, 2, 5), (8, 4, 4)]
)
def test_pass_at_k_counts_choices(n: int, passed: int, k: int) -> None:
    """By definition: the part of all choices of k samples with one, or only, passing ones."""
    choices = list(itertools.combinations([True] * passed + [False] * (n - passed), k))

    assert estimates.pass_at_k(n, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices), **CLOSE)
    assert estimates.pass_hat_k(n, passed, k) == pytest.approx(sum(map(all, choices)) / len(choices), **CLOSE)


KAPPAS = [
    # yes-yes, yes-no, no-yes, no-no, kappa
    pytest.param(20, 5, 10, 15, 0.4, id="two readers of 50 grant proposals, the textbook example"),
    pytest.param(45, 15, 25, 15, 0.13043478260869565, id="by the formula: 0.6 agreed, 0.54 by chance"),
    pytest.param(10, 0, 0, 10, 1.0, id="full agreement"),
    pytest.param(0, 10, 10, 0, -1.0, id="full disagreement"),
    pytest.param(20, 0, 0, 0, math.nan, id="both always say yes: undefined"),
    pytest.param(0, 0, 0, 0, math.nan, id="no rows"),
]


@pytest.mark.parametrize(("both", "one", "other", "neither", "kappa"), KAPPAS)
def test_kappa(both: int, one: int, other: int, neither: int, kappa: float) -> None:
    """Cohen's kappa of known tables."""
    table = {(True, True): both, (True, False): one, (False, True): other, (False, False): neither}

    assert estimates.kappa(table) == pytest.approx(kappa, nan_ok=True, **CLOSE)


def test_weighted_kappa_is_kappa_where_ratings_are_yes_and_no() -> None:
    """By definition: with two ratings there is one weight only."""
    one, other = np.array([1.0] * 25 + [0.0] * 25), np.array([1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15)

    assert estimates.weighted_kappa(one, other) == pytest.approx(0.4, **CLOSE)
    assert math.isnan(estimates.weighted_kappa(np.ones(3), np.ones(3)))


# --- coverage -----------------------------------------------------------------------------------------------------

DRAWS = 2000
COVERED = (0.93, 0.97)


def _plain(values: Callable[[Any], Any]) -> Callable[[Any], Estimate]:
    return lambda chance: estimates.mean(values(chance))


def _repeated(chance: Any, n: int, each: int, spread: float) -> tuple[Any, Any]:
    """0 and 1 for `each` samples of n items, whose chances to pass differ; they average one half."""
    p = chance.beta(spread, spread, n)
    items = np.repeat(np.arange(n), each)
    return (chance.random(n * each) < p[items]).astype(float), items


def _uneven(chance: Any) -> Estimate:
    """Rewards whose items have 1 to 5 rows and a mean of their own around 0.4."""
    sizes = chance.integers(1, 6, 50)
    items = np.repeat(np.arange(50), sizes)
    values = chance.beta(2, 3, 50)[items] + chance.normal(0, 0.2, len(items))
    return estimates.mean(values, items)


SIMULATED = [
    # true mean, an interval made of fresh data
    pytest.param(0.3, _plain(lambda c: (c.random(120) < 0.3).astype(float)), id="pass rate of 120 rows"),
    pytest.param(0.85, _plain(lambda c: (c.random(400) < 0.85).astype(float)), id="pass rate of 400 rows, high"),
    pytest.param(0.4, _plain(lambda c: c.beta(2, 3, 30)), id="30 continuous rewards"),
    pytest.param(2 / 7, _plain(lambda c: c.beta(2, 5, 80)), id="80 skewed rewards"),
    pytest.param(0.35, _plain(lambda c: np.where(c.random(60) < 0.5, 0.0, c.uniform(0.4, 1.0, 60))), id="60 rewards, half of them 0"),
    pytest.param(0.5, lambda c: estimates.mean(*_repeated(c, 100, 4, 1.0)), id="pass rate of 100 items, 4 samples each"),
    pytest.param(0.5, lambda c: estimates.mean(*_repeated(c, 60, 8, 0.3)), id="pass rate of items nearly always alike"),
    pytest.param(0.4, _uneven, id="rewards of 50 items with 1 to 5 rows"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("true", "draw"), SIMULATED)
def test_intervals_cover(
    true: float, draw: Callable[[Any], Estimate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2,000 intervals from fresh data, 93 to 97 % hold the true mean.

    Each is made with a fifth of the usual resamples, to be quick; fewer only make it less steady.
    """
    monkeypatch.setattr(estimates, "DRAWS", 2000)
    chance = np.random.default_rng(11)

    covered = sum(found.low <= true <= found.high for found in (draw(chance) for _ in range(DRAWS))) / DRAWS

    assert COVERED[0] <= covered <= COVERED[1]


def test_repeats_are_not_news() -> None:
    """Four copies of every row leave the interval as wide as the rows themselves make it."""
    chance = np.random.default_rng(4)
    values, passed = chance.beta(2, 2, 60), chance.random(60) < 0.4
    items = np.repeat(np.arange(60), 4)

    one, four = estimates.mean(values), estimates.mean(np.repeat(values, 4), items)
    some, more = estimates.pass_rate(passed), estimates.pass_rate(np.repeat(passed, 4), items)

    assert (four.low, four.high) == pytest.approx((one.low, one.high), **CLOSE)
    assert (more.low, more.high) == pytest.approx((some.low, some.high), rel=0.02)
    assert (four.n, four.items) == (240, 60)


# --- of a file ----------------------------------------------------------------------------------------------------


def test_failed_rows_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    """Counts, flags, mean and bounds of scored and failed rows together."""
    rows = [{"reward": 1.0}, {"reward": 0.0}, {"reward": 1.0}, {"reward": 1.0}]
    rows += [{"reward": None, "flags": ["sample_parse_error"]}] * 2
    rows += [{"reward": None, "flags": ["sample_parse_error", "other_error"]}]

    found = summary_of(write_results(tmp_path / "r.jsonl", rows))

    assert (found.rows, found.scored, found.failed) == (7, 4, 3)
    assert found.flags == {"sample_parse_error": 3, "other_error": 1}
    assert found.rewards is not None
    assert (found.rewards.mean.value, found.rewards.mean.method) == (0.75, "Wilson")
    assert found.bounds is not None
    assert (found.bounds.low, found.bounds.high) == (pytest.approx(3 / 7), pytest.approx(6 / 7))
    assert found.coverage == pytest.approx(4 / 7)


BOUNDS = [
    # spec, scored rewards, one failed row: the mean's bounds
    pytest.param(score_model(range=[-1, 3]), [1.0, 2.0], 2 / 3, 2.0, id="the spec's range"),
    pytest.param(text_similarity(), [0.5, 0.7], 0.4, 2.2 / 3, id="a metric is 0 to 1"),
    pytest.param(python(), [5.0, 2.0], 7 / 3, 4.0, id="a program: 0 to what it gave"),
    pytest.param(python(), [0.5, 0.5], 1 / 3, 2 / 3, id="a program: at least 0 to 1"),
]


@pytest.mark.parametrize(("spec", "rewards", "low", "high"), BOUNDS)
def test_bounds(spec: dict[str, Any], rewards: list[float], low: float, high: float, tmp_path: Path) -> None:
    """By definition: the mean over all rows with the failed one at the end of the range."""
    path = write_results(tmp_path / "r.jsonl", [*({"reward": r} for r in rewards), {"reward": None}], spec)

    found = summary_of(path).bounds

    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


ITEMS = [
    # ids, items in the order of the rows
    pytest.param(["a", "b", "a#2", "a#3"], [0, 1, 0, 0], id="repeats"),
    pytest.param(["a#2", "b#2"], None, id="no first one: just a name"),
    pytest.param(["a", "a#x", "a#"], None, id="not a number"),
    pytest.param(["#2", "x", "x#2"], [0, 1, 1], id="nothing before the mark"),
]  # fmt: skip


@pytest.mark.parametrize(("ids", "items"), ITEMS)
def test_rows_of_one_item(ids: list[str], items: list[int] | None, tmp_path: Path) -> None:
    """`x#2` repeats `x` where there is an `x`; items are numbered as they come."""
    columns = gather(write_results(tmp_path / "r.jsonl", [{"id": id} for id in ids]))

    assert (None if columns.items is None else columns.items.tolist()) == items


def test_a_failed_row_still_names_its_item(tmp_path: Path) -> None:
    """`x` failed; `x#2` and `x#3` are of one item nevertheless."""
    rows = [{"id": "x", "reward": None}, {"id": "x#2"}, {"id": "y"}, {"id": "x#3"}]

    columns = gather(write_results(tmp_path / "r.jsonl", rows))

    assert columns.items is not None
    assert columns.items.tolist() == [0, 1, 0]


def test_a_group_field_says_which_rows_are_one_item(tmp_path: Path) -> None:
    """A field of the data rows, or a path into it; a row without it is an item of its own."""
    rows = [{"row": {"item": {"topic": topic}}} for topic in ("a", "b", "a", None, None)]

    columns = gather(write_results(tmp_path / "r.jsonl", rows), group="item.topic")

    assert columns.items is not None
    assert columns.items.tolist() == [0, 1, 0, 2, 3]
    assert columns.grouping == "4 items (the same 'item.topic')"


def test_a_field_that_no_row_has_is_said(tmp_path: Path) -> None:
    """And whether that is because the file holds no texts."""
    with_texts = write_results(tmp_path / "a.jsonl", [{"row": {"x": 1}}])
    without = write_results(tmp_path / "b.jsonl", [{}], texts=False)

    with pytest.raises(ResultsError, match=r"no row of .*a\.jsonl has a field 'topic'"):
        gather(with_texts, group="topic")
    with pytest.raises(ResultsError, match="written with --no-texts"):
        gather(without, label="right")


def test_repeated_samples(tmp_path: Path) -> None:
    """pass@k over the items with at least k scored rows: two items of 4 with 1 and 4 passes, one of 2 with 1."""
    passes = {"a": [1, 0, 0, 0], "b": [1, 1, 1, 1], "c": [1, 0]}
    rows = [
        {"id": id if n == 0 else f"{id}#{n + 1}", "reward": float(reward)}
        for id, rewards in passes.items()
        for n, reward in enumerate(rewards)
    ]

    found = {repeats.k: repeats for repeats in summary_of(write_results(tmp_path / "r.jsonl", rows)).repeats}

    assert list(found) == [1, 2, 4]
    assert found[1].any_of_k.value == pytest.approx((1 / 4 + 1 + 1 / 2) / 3)
    assert found[2].any_of_k.value == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert found[2].all_of_k.value == pytest.approx((0 + 1 + 0) / 3)
    assert (found[4].any_of_k.value, found[4].all_of_k.value, found[4].any_of_k.n) == (1.0, 0.5, 2)


def test_what_a_sub_reward_moves(tmp_path: Path) -> None:
    """By definition: the mean change of the total when it is replaced by its mean. A graders' key may be "row"."""
    spec = multi(
        "0.5 * row + min(b, 0.5)",
        {"row": string_check(), "b": text_similarity(pass_threshold=0.5), "c": string_check()},
    )
    subs = [(1.0, 0.6, 1.0), (0.0, 0.8, 0.0), (1.0, 0.9, 1.0), (0.0, 0.7, 0.0)]
    rows = [
        {"reward": 0.5 * a + min(b, 0.5), "sub_rewards": {"row": a, "b": b, "c": c}, "row": {"sample": "x"}}
        for a, b, c in subs
    ]

    found = {sub.key: sub for sub in summary_of(write_results(tmp_path / "r.jsonl", rows, spec)).subs}

    assert found["row"].moves == pytest.approx(0.25)
    assert found["b"].moves == 0.0  # never below what min() lets through
    assert found["c"].moves == 0.0  # not in the formula, though it goes with the total
    assert found["c"].correlation == pytest.approx(1.0)
    assert math.isclose(found["b"].spread.mean.value, 0.75)
    assert found["b"].passed is not None
    assert found["b"].passed.value == 1.0


THRESHOLDS = [
    # spec, rewards, threshold, pass rate
    pytest.param(
        text_similarity(pass_threshold=0.5), [0.5, 0.49, 0.9, 0.1], 0.5, 0.5, id="reaching it is passing"
    ),
    pytest.param(python(), [1.0, 0.0, 1.0, 1.0], 1.0, 0.75, id="only 0 and 1"),
    pytest.param(python(), [0.3, 0.6], None, None, id="no threshold"),
]


@pytest.mark.parametrize(("spec", "rewards", "threshold", "rate"), THRESHOLDS)
def test_pass_rate(
    spec: dict[str, Any], rewards: list[float], threshold: float | None, rate: float | None, tmp_path: Path
) -> None:
    """By the spec's pass_threshold, or where a grader only says yes and no."""
    found = summary_of(write_results(tmp_path / "r.jsonl", [{"reward": r} for r in rewards], spec))

    assert found.threshold == threshold
    assert (None if found.passed is None else found.passed.value) == rate


def test_tokens_time_and_cost(tmp_path: Path) -> None:
    """Summed for each judge, failed rows included; a cost only where every judge has a price."""
    used = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "cached_tokens": None}
    rows: list[dict[str, Any]] = [{"seconds": s / 100, "usage": {"m": used}} for s in range(1, 101)]
    rows.append({"reward": None, "seconds": 9.0, "usage": {"m": used, "n": {**used, "cached_tokens": 5}}})
    columns = gather(write_results(tmp_path / "r.jsonl", rows, score_model()))

    priced = summarise(columns, lambda model, usage: 0.5 if model == "m" else None)

    assert [(s.model, s.prompt_tokens, s.cached_tokens, s.cost) for s in priced.spent] == [
        ("m", 10_100, None, 0.5), ("n", 100, 5, None),
    ]  # fmt: skip
    assert priced.cost is None
    assert priced.latency is not None
    assert (priced.latency.n, priced.latency.p50, priced.latency.most) == (101, pytest.approx(0.51), 9.0)
    assert summarise(columns, lambda model, usage: 0.5).cost == 1.0


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """As read_results does; a file that is only a header has no rows and no figures."""
    path = write_results(tmp_path / "r.jsonl", [{}, {}])
    with path.open("a") as file:
        file.write('{"id":"torn","rew')

    assert summary_of(path).rows == 2
    assert summary_of(write_results(tmp_path / "e.jsonl", [])).rewards is None


BROKEN = [
    ("nothing.jsonl", None, "cannot read .*nothing.jsonl: No such file"),
    ("other.jsonl", '{"id": 1}\n', "is not a results file: its first line is not a header"),
    ("broken.jsonl", "HEADER\n{}\n", "broken.jsonl: not a result line among lines 2 to 2"),
]


@pytest.mark.parametrize(("name", "text", "says"), BROKEN)
def test_files_that_cannot_be_read(name: str, text: str | None, says: str, tmp_path: Path) -> None:
    """An error says which file, where, and what was expected."""
    path = tmp_path / name
    if text is not None:
        header = write_results(tmp_path / "h.jsonl", []).read_text().strip()
        path.write_text(text.replace("HEADER", header))

    with pytest.raises(ResultsError, match=says):
        gather(path)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-5, 5)), st.booleans(), st.sampled_from(["", ',"row":{}', '"}'])
        ),
        max_size=30,
    )
)
@settings(max_examples=40, deadline=None)
def test_lines_are_read_as_json(rows: list[tuple[float | None, bool, str]]) -> None:
    """The short way over a line's numbers finds what parsing all of it finds, whatever stands in its texts."""
    from graders.stats.summary import numbers_of

    lines = [
        {"id": f"i{n}{text}", "reward": reward, "ok": reward is not None, **({"row": {"sample": text, "row": 1}} if has else {})}
        for n, (reward, has, text) in enumerate(rows)
    ]  # fmt: skip

    read = numbers_of([json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines])

    wanted = [{key: line[key] for key in ("id", "reward", "ok")} for line in lines]
    assert [{key: row[key] for key in ("id", "reward", "ok")} for row in read] == wanted


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_a_histogram_counts_every_value(values: list[float]) -> None:
    """Bars are in order and hold every row once."""
    bars = histogram(np.array(values))

    assert sum(bar.n for bar in bars) == len(values)
    assert all(one.high <= other.low for one, other in itertools.pairwise(bars))


# --- gates --------------------------------------------------------------------------------------------------------

GATES = [
    # passes of 100, wanted, verdict: Wilson intervals of 100 rows are about 0.1 wide on each side
    pytest.param(90, 0.8, "met", id="the whole interval is above"),
    pytest.param(85, 0.8, "inconclusive", id="above, but not surely"),
    pytest.param(75, 0.8, "inconclusive", id="below, but not surely"),
    pytest.param(60, 0.8, "failed", id="the whole interval is below"),
]


@pytest.mark.parametrize(("passes", "wanted", "verdict"), GATES)
def test_a_gate_tells_unsure_from_failed(passes: int, wanted: float, verdict: str, tmp_path: Path) -> None:
    """The command says which, and exits 1 unless it is met."""
    rows = [{"reward": float(n < passes)} for n in range(100)]
    path = write_results(tmp_path / "r.jsonl", rows)

    (gate,) = gates(summary_of(path), fail_under=wanted)
    out = CliRunner().invoke(group, ["report", str(path), "--fail-under", str(wanted)], standalone_mode=False)

    assert gate.verdict == verdict
    assert out.return_value == (0 if verdict == "met" else 1)
    assert f"{verdict}: mean reward" in out.output


def test_a_single_item_decides_nothing(tmp_path: Path) -> None:
    """There is no interval of one item, so no gate is met by it."""
    path = write_results(
        tmp_path / "r.jsonl", [{"id": "a", "reward": 0.9}, {"id": "a#2", "reward": 0.8}], python()
    )

    (gate,) = gates(summary_of(path), fail_under=0.1)

    assert gate.verdict == "inconclusive"


def test_coverage_gate(tmp_path: Path) -> None:
    """It is counted, not estimated: met or failed."""
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
        "--fail-under 0.5",
        "--fail-under 0.9",
        "--min-coverage 0.98",
        "--min-coverage 0.99",
    ):
        out = CliRunner().invoke(group, [*arguments, *gate.split()], standalone_mode=False)
        verdict = out.output.split("gate ")[1].split(":")[0]
        codes[gate] = (out.return_value, verdict)

    assert codes == {
        "--fail-under 0.3": (0, "met"), "--fail-under 0.5": (1, "inconclusive"), "--fail-under 0.9": (1, "failed"),
        "--min-coverage 0.98": (0, "met"), "--min-coverage 0.99": (1, "failed"),
    }  # fmt: skip
    low, high = estimates.wilson(30, 59)
    assert f"mean reward  {30 / 59:.4f}  95 % [{low:.4f}, {high:.4f}]  Wilson" in out.output


def test_gates_need_a_file(tmp_path: Path) -> None:
    """What cannot be read again cannot be judged: refused before anything is graded."""
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


# --- labels -------------------------------------------------------------------------------------------------------


def test_agreement_with_labels() -> None:
    """Confusion and kappa at the threshold, rows without a label apart; the curve holds every threshold's counts."""
    labels = [True, "pass", 1, "no", 0.0, None, "wrong"]
    rewards = np.array([0.9, 0.4, 0.8, 0.7, 0.1, 0.5, 0.2])

    found = agreement("right", labels, rewards, 0.6)

    assert (found.n, found.unlabelled, found.yes, found.no) == (6, 1, 3, 3)
    assert found.cut is not None
    assert (found.cut.both, found.cut.only_grader, found.cut.only_human, found.cut.neither) == (2, 1, 1, 2)
    assert found.cut.kappa == pytest.approx(1 / 3)
    assert {at: (yes, no) for at, yes, no in found.curve}[0.6] == (2, 1)
    assert found.distances[[0, 3]].tolist() == pytest.approx([0.1, 0.7])
    assert math.isnan(found.distances[5])


def test_the_best_threshold_is_found_where_none_is_given() -> None:
    """And said to be chosen in the very rows it is measured on."""
    found = agreement("right", [0, 0, 1, 1, 1], np.array([0.1, 0.35, 0.4, 0.6, 0.9]), None)

    assert found.cut is not None
    assert (found.cut.threshold, found.cut.kappa) == (0.4, 1.0)
    assert "flatters" in found.chosen


def test_ratings_are_correlated() -> None:
    """Labels that are numbers have no confusion, unless a threshold makes them yes and no."""
    labels, rewards = [1, 2, 3, 5, 4], np.array([1.0, 2.0, 3.0, 4.0, 5.0])

    found = agreement("stars", labels, rewards, None)
    cut = agreement("stars", labels, rewards, 4.0, label_threshold=4).cut

    assert (found.cut, found.curve, found.correlation) == (None, (), pytest.approx(0.9))
    assert found.weighted_kappa == pytest.approx(0.9)
    assert cut is not None
    assert (cut.both, cut.neither) == (2, 3)


def test_a_label_that_says_nothing_is_refused() -> None:
    """The message shows it, and what would do."""
    with pytest.raises(ResultsError, match="holds 'perhaps': expected true or false, 0 or 1, a number"):
        agreement("right", [True, "perhaps"], np.array([1.0, 0.0]), 1.0)


# --- texts --------------------------------------------------------------------------------------------------------

FIGURES = [
    (0.5, "0.5000"), (-0.25, "-0.2500"), (9.99999, "10.0000"), (10.0, "10.000"), (123.456, "123.46"),
    (1234567.8, "1,234,568"), (math.nan, "–"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), FIGURES)
def test_figures(value: float, text: str) -> None:
    """Five digits, at most four of them decimals."""
    assert figure(value) == text


def test_shares_and_times_do_not_round_to_nothing() -> None:
    """One of a million failed is not 0 %."""
    assert [percent(part).replace("\xa0", " ") for part in (0, 1e-6, 0.034, 1 - 1e-6, 1)] == [
        "0.0 %", "< 0.1 %", "3.4 %", "> 99.9 %", "100.0 %",
    ]  # fmt: skip
    assert [seconds(value) for value in (0.0012, 0.5, 1.6, 12, 4000)] == [
        "1.20 ms",
        "500 ms",
        "1.60 s",
        "12.0 s",
        "4,000 s",
    ]


def test_hostile_names_stay_on_their_line(tmp_path: Path) -> None:
    """Escape sequences, line ends and direction marks of a name do not reach the terminal; Markdown's marks are escaped."""
    spec = string_check(name="a\x1b[31m|b\n# c\u202e<script>")
    found = summary_of(write_results(tmp_path / "r.jsonl", [{}], spec))

    text, markdown = summary_text(found), summary_markdown(found)

    assert not set(text + markdown) & set("\x1b\u202e\r")
    assert text.startswith("a [31m|b # c <script> (string_check) on")
    assert markdown.startswith("## a \\[31m\\|b \\# c \\<script\\>\n")


@pytest.mark.slow
def test_a_million_rows_in_a_few_seconds(tmp_path: Path) -> None:
    """Read and summarised in under 8 seconds of CPU, which a busy machine's share of a core does not change."""
    line = '{"id":"%s","reward":%s,"ok":true,"row":{"sample":"%s","item":{"answer":"Paris"}}}\n'
    path = write_results(tmp_path / "r.jsonl", [])
    chance = random.Random(1)
    with path.open("a") as file:
        file.writelines(
            line % (f"r{n}", chance.choice(("0.0", "1.0", "0.25")), "text " * 20) for n in range(1_000_000)
        )

    before = os.times().user
    found = summary_of(path)
    used = os.times().user - before

    assert (found.rows, found.items) == (1_000_000, 1_000_000)
    assert used < 8
