"""Statistics of a results file: about the scored rows only, by item, with what a reader should know."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.results.read import ResultsError
from graders.stats.chunks import numbers_of
from graders.stats.figures import Summary
from graders.stats.gather import gather
from graders.stats.histogram import histogram
from graders.stats.summary import summarise
from tests.report.handmade import write_results
from tests.specs import multi, python, score_model, string_check, text_similarity


def summary_of(path: Path, **options: Any) -> Summary:
    return summarise(gather(path, **options))


def test_failed_rows_are_counted_and_in_no_mean(tmp_path: Path) -> None:
    """Counts, flags, mean and bounds of scored and failed rows together."""
    rows: list[dict[str, Any]] = [{"reward": 1.0}, {"reward": 0.0}, {"reward": 1.0}, {"reward": 1.0}]
    rows += [{"reward": None, "flags": ["sample_parse_error"]}] * 2
    rows += [{"reward": None, "flags": ["sample_parse_error", "other_error"]}]

    found = summary_of(write_results(tmp_path / "r.jsonl", rows))

    assert (found.rows, found.scored, found.failed) == (7, 4, 3)
    assert found.flags == {"sample_parse_error": 3, "other_error": 1}
    assert found.rewards is not None
    assert (found.rewards.mean.value, found.rewards.mean.method) == (0.75, "Wilson")
    assert found.bounds is not None
    assert (found.bounds.low, found.bounds.high) == pytest.approx((3 / 7, 6 / 7))
    assert found.coverage == pytest.approx(4 / 7)


BOUNDS = [
    # spec, scored rewards, one failed row: the mean's bounds
    pytest.param(score_model(range=[-1, 3]), [1.0, 2.0], 2 / 3, 2.0, id="the spec's range"),
    pytest.param(text_similarity(), [0.5, 0.7], 0.4, 2.2 / 3, id="a metric is 0 to 1"),
    pytest.param(python(), [5.0, 2.0], 7 / 3, 4.0, id="a program: 0 to what it gave"),
    pytest.param(python(), [0.5, 0.5], 1 / 3, 2 / 3, id="a program: at least 0 to 1"),
]


@pytest.mark.parametrize(("spec", "rewards", "low", "high"), BOUNDS)
def test_bounds_put_failed_rows_at_the_ends_of_the_range(
    spec: dict[str, Any], rewards: list[float], low: float, high: float, tmp_path: Path
) -> None:
    """By definition: the mean over all rows with the failed one at the end of the range."""
    path = write_results(tmp_path / "r.jsonl", [*({"reward": r} for r in rewards), {"reward": None}], spec)

    found = summary_of(path).bounds

    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high))


ITEMS = [
    # ids, items in the order of the rows
    pytest.param(["a", "b", "a#2", "a#3"], [0, 1, 0, 0], id="repeats"),
    pytest.param(["a#2", "b#2"], None, id="no first one: just a name"),
    pytest.param(["a", "a#x", "a#"], None, id="not a number"),
    pytest.param(["#2", "x", "x#2"], [0, 1, 1], id="nothing before the mark"),
]


@pytest.mark.parametrize(("ids", "items"), ITEMS)
def test_numbered_ids_are_repeats_of_one_item(
    ids: list[str], items: list[int] | None, tmp_path: Path
) -> None:
    """`x#2` repeats `x` where there is an `x`; items are numbered as they come."""
    columns = gather(write_results(tmp_path / "r.jsonl", [{"id": row_id} for row_id in ids]))

    assert (None if columns.items is None else columns.items.tolist()) == items


def test_a_failed_row_still_names_its_item(tmp_path: Path) -> None:
    """`x` failed; `x#2` and `x#3` are of one item nevertheless."""
    rows: list[dict[str, Any]] = [{"id": "x", "reward": None}, {"id": "x#2"}, {"id": "y"}, {"id": "x#3"}]

    columns = gather(write_results(tmp_path / "r.jsonl", rows))

    assert columns.items is not None
    assert columns.items.tolist() == [0, 1, 0]


def test_a_group_field_defines_items(tmp_path: Path) -> None:
    """A field of the data rows, or a path into it; a row without it is an item of its own."""
    rows = [{"row": {"item": {"topic": topic}}} for topic in ("a", "b", "a", None, None)]

    columns = gather(write_results(tmp_path / "r.jsonl", rows), group="item.topic")

    assert columns.items is not None
    assert columns.items.tolist() == [0, 1, 0, 2, 3]
    assert columns.grouping == "4 items (the same 'item.topic')"


def test_an_absent_field_is_reported(tmp_path: Path) -> None:
    """And whether that is because the file holds no texts."""
    with_texts = write_results(tmp_path / "a.jsonl", [{"row": {"x": 1}}])
    without = write_results(tmp_path / "b.jsonl", [{}], texts=False)

    with pytest.raises(ResultsError, match=r"no row of .*a\.jsonl has a field 'topic'"):
        gather(with_texts, group="topic")
    with pytest.raises(ResultsError, match="written with --no-texts"):
        gather(without, label="right")


def test_pass_at_k_counts_items_with_k_rows(tmp_path: Path) -> None:
    """pass@k over the items with at least k scored rows: two items of 4 with 1 and 4 passes, one of 2 with 1."""
    passes = {"a": [1, 0, 0, 0], "b": [1, 1, 1, 1], "c": [1, 0]}
    rows = [
        {"id": row_id if n == 0 else f"{row_id}#{n + 1}", "reward": float(reward)}
        for row_id, rewards in passes.items()
        for n, reward in enumerate(rewards)
    ]

    found = {repeats.k: repeats for repeats in summary_of(write_results(tmp_path / "r.jsonl", rows)).repeats}

    assert list(found) == [1, 2, 4]
    assert found[1].any_of_k.value == pytest.approx((1 / 4 + 1 + 1 / 2) / 3)
    assert found[2].any_of_k.value == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert found[2].all_of_k.value == pytest.approx((0 + 1 + 0) / 3)
    assert (found[4].any_of_k.value, found[4].all_of_k.value, found[4].any_of_k.n) == (1.0, 0.5, 2)


def test_the_influence_of_a_sub_reward(tmp_path: Path) -> None:
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
    # never below what min() lets through
    assert found["b"].moves == 0.0
    # not in the formula, though it goes with the total
    assert found["c"].moves == 0.0
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
def test_the_pass_rate_goes_by_the_threshold(
    spec: dict[str, Any], rewards: list[float], threshold: float | None, rate: float | None, tmp_path: Path
) -> None:
    """The pass rate uses the spec's pass_threshold, or counts the rewards of a two-valued grader."""
    found = summary_of(write_results(tmp_path / "r.jsonl", [{"reward": r} for r in rewards], spec))

    assert found.threshold == threshold
    assert (None if found.passed is None else found.passed.value) == rate


def test_tokens_time_and_cost_are_summed(tmp_path: Path) -> None:
    """Summed for each judge, failed rows included; a cost only where every judge has a price."""
    used = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "cached_tokens": None}
    rows: list[dict[str, Any]] = [{"seconds": s / 100, "usage": {"m": used}} for s in range(1, 101)]
    rows.append({"reward": None, "seconds": 9.0, "usage": {"m": used, "n": {**used, "cached_tokens": 5}}})
    columns = gather(write_results(tmp_path / "r.jsonl", rows, score_model()))

    priced = summarise(columns, lambda model, usage: 0.5 if model == "m" else None)

    assert [(s.model, s.prompt_tokens, s.cached_tokens, s.cost) for s in priced.spent] == [
        ("m", 10_100, None, 0.5),
        ("n", 100, 5, None),
    ]
    assert priced.cost is None
    assert priced.latency is not None
    assert (priced.latency.n, priced.latency.p50, priced.latency.most) == pytest.approx((101, 0.51, 9.0))
    assert priced.latency.waited is None, "a file of 0.1 does not say"
    assert summarise(columns, lambda model, usage: 0.5).cost == 1.0


def test_working_time_excludes_waiting(tmp_path: Path) -> None:
    """What judges and programs took, and the wait for them, are figures of their own (M8 of the study of use)."""
    rows = [{"seconds": 10.0 + s, "waited": 10.0} for s in (1, 2, 3)]
    latency = summarise(gather(write_results(tmp_path / "r.jsonl", rows, score_model()))).latency

    assert latency is not None
    assert (latency.p50, latency.most, latency.waited) == (2.0, 3.0, 10.0)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """A torn last line is left out, as read_results does; a file with a header alone has no figures."""
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
def test_an_unreadable_file_is_explained(name: str, text: str | None, says: str, tmp_path: Path) -> None:
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
    lines = [
        {
            "id": f"i{n}{text}",
            "reward": reward,
            "ok": reward is not None,
            **({"row": {"sample": text, "row": 1}} if has else {}),
        }
        for n, (reward, has, text) in enumerate(rows)
    ]

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


@pytest.mark.slow
def test_a_million_rows_in_a_few_seconds(tmp_path: Path) -> None:
    """Reading and summarising take 4 s of CPU, 20 s at most: time that grew with the square would be hours."""
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
    assert used < 20


# --- cautions -----------------------------------------------------------------------------------------------------


def test_failures_of_long_rows_are_reported(tmp_path: Path) -> None:
    """S4: 12 short rows right, 8 long ones that fail: the mean of the scored ones does not stand for all."""
    rows = [{"row": {"sample": "ok"}}] * 12 + [{"reward": None, "row": {"sample": "x" * 500}}] * 8

    (caution,) = summary_of(write_results(tmp_path / "r.jsonl", rows)).cautions

    assert caution.startswith("failures are not at random: the longer rows fail")


@pytest.mark.parametrize("field", ["group", "label"])
def test_failures_of_one_group_are_reported(field: str, tmp_path: Path) -> None:
    """S4: a group, or a label, whose rows fail more often than the others."""
    rows = [
        {
            "reward": None if n % 4 == 0 else 1.0,
            "row": {"sample": "x", field: "code" if n % 4 == 0 else "prose"},
        }
        for n in range(40)
    ]

    path = write_results(tmp_path / "r.jsonl", rows)
    asked: dict[str, Any] = {field: field}
    caution = summarise(gather(path, **asked)).cautions[0]

    assert "10 of the 10 rows with 'code' fail, 0 of the others" in caution


def test_random_failures_are_not_reported(tmp_path: Path) -> None:
    """Failures that go with nothing that is looked at."""
    rows = [
        {"reward": None if n % 5 == 0 else 1.0, "row": {"sample": "x" * (n * 37 % 20), "topic": n % 3}}
        for n in range(60)
    ]

    assert summarise(gather(write_results(tmp_path / "r.jsonl", rows), group="topic")).cautions == ()


def content_ids(items: list[int]) -> list[str]:
    """Ids as they are made from the content of rows with these items."""
    times: Counter[int] = Counter()
    ids = []
    for item in items:
        times[item] += 1
        ids.append(f"{item:016x}" + (f"#{times[item]}" if times[item] > 1 else ""))
    return ids


SHARED = [
    # items of the rows, the item's fields, number of items
    pytest.param([n % 2 for n in range(30)], {"label": "pos"}, 30, id="S5: labels, as many of each"),
    pytest.param([n * n % 8 for n in range(200)], {"answer": "4"}, 200, id="A3: 8 answers of 200 questions"),
    pytest.param([n % 10 for n in range(40)], {"answer": "4"}, 10, id="4 samples each of 10 items"),
    pytest.param([n * n % 8 for n in range(40)], {"question": "2+2?"}, 3, id="repeats of a question"),
]


@pytest.mark.parametrize(("items", "fields", "found"), SHARED)
def test_rows_that_share_an_item_are_repeats_only_where_that_shows(
    tmp_path: Path, items: list[int], fields: dict[str, str], found: int
) -> None:
    """Without ids, rows are clustered where the item has its question, or every item has as many rows."""
    rows = [{"id": row_id, "row": {"sample": "x", "item": fields}} for row_id in content_ids(items)]
    summary = summary_of(write_results(tmp_path / "r.jsonl", rows))

    assert summary.items == found
    assert bool(summary.repeats) == (found < len(items))
    assert any("give the rows ids" in caution for caution in summary.cautions) == (found == len(items))


def test_an_item_with_most_rows_is_reported(tmp_path: Path) -> None:
    """S2: 200 rows of one item, 4 of each of four others."""
    ids = [
        f"q{item}{f'#{n + 1}' if n else ''}"
        for item, size in enumerate((200, 4, 4, 4, 4))
        for n in range(size)
    ]

    found = summary_of(write_results(tmp_path / "r.jsonl", [{"id": row_id} for row_id in ids]))

    assert found.cautions == ("one item holds 93% of the rows, so the intervals are of few items",)


def test_reasons_of_failures_are_distinguished(tmp_path: Path) -> None:
    """M2: one line for each different text, quotes and numbers aside, with the first such row's id."""
    errors = ["could not convert 'a'", "could not convert 'b'", "connection refused by 127.0.0.1:8000"]
    rows = [{"reward": None, "errors": [error], "flags": ["other_error"]} for error in errors]

    found = summary_of(write_results(tmp_path / "r.jsonl", [{}, *rows]))

    assert [(each.rows, each.text, each.example) for each in found.reasons] == [
        (2, "could not convert 'a'", "r1"),
        (1, "connection refused by 127.0.0.1:8000", "r3"),
    ]


def test_reliability_is_the_intraclass_correlation(tmp_path: Path) -> None:
    """Shrout and Fleiss 1979, table 2 (six targets, four judges): ICC(1,1) is 0.17 and ICC(1,4) 0.44."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    rows = [
        {"id": f"t{target}{f'#{n + 1}' if n else ''}", "reward": float(rating)}
        for target, row in enumerate(ratings)
        for n, rating in enumerate(row)
    ]

    found = summary_of(write_results(tmp_path / "r.jsonl", rows, python())).reliability

    assert found is not None
    assert (round(found.one_row, 2), round(found.item_mean, 2)) == (0.17, 0.44)
