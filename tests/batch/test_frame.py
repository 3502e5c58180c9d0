"""Data frames in and out: `graders.grade_frame`, with the real libraries where they are installed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

import graders
from tests.specs import multi, string_check

#: One right, one wrong, one that cannot be graded.
TABLE = {"pred": ["x", "y", "x"], "gold": ["x", "x", None], "n": [1, 2, 3]}


def pandas(table: dict[str, Any]) -> Any:
    return pytest.importorskip("pandas").DataFrame(table)


def polars(table: dict[str, Any]) -> Any:
    return pytest.importorskip("polars").DataFrame(table)


def arrow(table: dict[str, Any]) -> Any:
    return pytest.importorskip("pyarrow").table(table)


def columns_of(frame: Any) -> dict[str, list[Any]]:
    if hasattr(frame, "to_pydict"):
        return dict(frame.to_pydict())
    names = list(frame.columns)
    return {name: frame[name].to_list() for name in names}


@pytest.mark.parametrize("make", [pandas, polars, arrow])
def test_a_frame_gets_rewards_as_columns(make: Callable[[dict[str, Any]], Any]) -> None:
    """A failed row has no reward, and not 0; the given frame is not changed."""
    spec = {
        "type": "multi",
        "name": "m",
        "graders": {"a": string_check(), "b": string_check(reference="{{item.deep.answer}}")},
        "calculate_output": "a + b",
    }
    frame = make(TABLE)
    graded = graders.grade_frame(frame, string_check(), sample_field="pred", item_map={"answer": "gold"})
    failed = columns_of(graders.grade_frame(frame, spec, sample_field="pred", item_map={"answer": "gold"}))

    assert type(graded) is type(frame)
    assert list(columns_of(frame)) == list(TABLE)
    columns = columns_of(graded)
    assert columns["n"] == TABLE["n"]
    assert columns["reward"][:2] == [1.0, 0.0]
    assert columns["ok"][:2] == [True, True]
    assert not any(failed["ok"])
    assert all(value is None or math.isnan(value) for value in failed["reward"] + failed["reward.b"])
    assert failed["reward.a"][:2] == [1.0, 0.0]
    assert failed["flags"] == ["invalid_variable_error"] * 3


def test_a_column_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="has the columns reward already"):
        graders.grade_frame(arrow({**TABLE, "reward": [0, 0, 0]}), string_check())


def test_other_types_than_frames_are_refused_with_a_remedy() -> None:
    with pytest.raises(TypeError, match="<list> is no data frame"):
        graders.grade_frame([{"sample": "x"}], string_check())


def test_a_result_is_a_flat_record_for_json() -> None:
    """A result's record has no number for a failed row or member."""
    spec = multi("a + b", {"a": string_check(), "b": string_check(reference="{{item.other}}")})
    grader = graders.compile(spec)

    whole, half = (
        grader.run("x", item).to_dict() for item in ({"answer": "x", "other": "y"}, {"answer": "x"})
    )

    assert (whole["reward"], whole["ok"], whole["sub_rewards"]) == (1.0, True, {"a": 1.0, "b": 0.0})
    assert (half["reward"], half["ok"], half["flags"]) == (None, False, ["invalid_variable_error"])
    assert half["sub_rewards"] == {"a": 1.0}
    assert json.loads(json.dumps([whole, half])) == [whole, half]
