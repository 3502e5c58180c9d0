"""Every shape gives the same reward, or the same refusal, at every door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.adapters import trl
from graders.batch import grade_dataset, read_results
from graders.cli import group
from tests.doors.shapes import BATTERY, ROWS, UNREADABLE, Shape
from tests.server.support import BATCH, RunningServer, serving

N_SHAPES = sum(len(shapes) for _, shapes in BATTERY.values())

#: What a row came to: its reward, or its first flag; "failed" where a door cannot say which.
Found = float | str


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving() as running:
        yield running


def found(result: Any) -> Found:
    return float(result.reward) if result.ok else str(result.flags[0])


def of_wire(wire: dict[str, Any]) -> Found:
    flags = [name for name, value in wire["metadata"]["errors"].items() if value is True]
    return flags[0] if flags else float(wire["reward"])


def rows_of(shapes: list[Shape]) -> list[dict[str, Any]]:
    return [{"sample": shape.sample, "item": shape.item, "id": str(n)} for n, shape in enumerate(shapes)]


def json_rows(shapes: list[Shape]) -> list[dict[str, Any]]:
    return [{**shape.json_row(), "id": str(n)} for n, shape in enumerate(shapes) if shape.has_json]


def at_results(path: Path) -> dict[str, Found]:
    return {row.id: row.reward if row.ok else row.flags[0] for row in read_results(path).rows}  # type: ignore[misc]  # a row that is ok has a reward


def library(spec: Any, shapes: list[Shape], tmp_path: Path, door: Any) -> dict[str, Found]:
    grader = graders.compile(spec)
    return {str(n): found(grader.run(shape.sample, shape.item)) for n, shape in enumerate(shapes)}


def batch(spec: Any, shapes: list[Shape], tmp_path: Path, door: Any) -> dict[str, Found]:
    grade_dataset(spec, rows_of(shapes), str(tmp_path / "r"))
    return at_results(tmp_path / "r")


def over_http(spec: Any, shapes: list[Shape], tmp_path: Path, door: Any) -> dict[str, Found]:
    lines = door("server").post(BATCH, {"grader": spec, "rows": json_rows(shapes)}).body.splitlines()
    return {line["id"]: of_wire(line) for line in map(json.loads, lines)}


def command_line(spec: Any, shapes: list[Shape], tmp_path: Path, door: Any) -> dict[str, Found]:
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in json_rows(shapes)))
    arguments = [
        "batch",
        str(tmp_path / "spec.json"),
        str(tmp_path / "d.jsonl"),
        "-q",
        "-o",
        str(tmp_path / "c"),
    ]
    assert group.main(arguments, standalone_mode=False) in (0, None)
    return at_results(tmp_path / "c")


def in_pytest(spec: Any, shapes: list[Shape], tmp_path: Path, door: Any) -> dict[str, Found]:
    rewards = door("grader_batch")(rows_of(shapes), spec=spec)
    return {reward.result.id: found(reward.result) for reward in rewards}


def adapter(spec: Any, shapes: list[Shape], tmp_path: Path, door: Any) -> dict[str, Found]:
    reward = trl.reward_func(spec, item=lambda columns: columns["item"])
    samples, items = [shape.sample for shape in shapes], [shape.item for shape in shapes]
    rewards = reward(["p"] * len(shapes), samples, item=items)
    return {str(n): "failed" if one is None else one for n, one in enumerate(rewards)}


DOORS: dict[str, Callable[..., dict[str, Found]]] = {
    "library": library,
    "batch": batch,
    "server": over_http,
    "command line": command_line,
    "pytest": in_pytest,
    "adapter": adapter,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", BATTERY)
def test_a_shape_means_the_same_at_every_door(
    name: str, door: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The reward that the shape stands for, or the flag of its refusal."""
    spec, shapes = BATTERY[name]
    got = DOORS[door](spec, shapes, tmp_path, request.getfixturevalue)

    wanted = {str(n): shape for n, shape in enumerate(shapes) if shape.has_json or str(n) in got}
    assert set(got) == set(wanted)
    wrong = {
        shape.about: (shape.want, got[n])
        for n, shape in wanted.items()
        if got[n] != ("failed" if got[n] == "failed" and isinstance(shape.want, str) else shape.want)
    }
    assert wrong == {}


def test_the_battery_is_large_enough() -> None:
    """At least 120 shapes, and each name stands once in its part."""
    assert N_SHAPES >= 120
    for _, shapes in BATTERY.values():
        assert len({shape.about for shape in shapes}) == len(shapes)


@pytest.mark.parametrize("door", ["library", "batch", "server", "command line", "pytest"])
@pytest.mark.parametrize(("about", "row", "spec", "want"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_means_the_same_at_every_door(
    about: str,
    row: dict[str, Any],
    spec: Any,
    want: Found,
    door: str,
    tmp_path: Path,
    request: Any,
    capsys: Any,
) -> None:
    """Rows of every known shape; a run that can grade nothing is a usage error on files."""
    if door == "library":
        (result,) = graders.compile(spec).run_batch([row])
        assert found(result) == want
    elif door == "pytest":
        (reward,) = request.getfixturevalue("grader_batch")([row], spec=spec)
        assert found(reward.result) == want
    elif door == "server":
        answer = request.getfixturevalue("server").post(BATCH, {"grader": spec, "rows": [row]})
        assert of_wire(json.loads(answer.body)) == want
    elif row.keys() == {"item"} and want == UNREADABLE:
        with pytest.raises(ValueError, match="no field holds the model's output"):
            grade_dataset(spec, [row], str(tmp_path / "r"))
    elif door == "batch":
        grade_dataset(spec, [row], str(tmp_path / "r"))
        assert list(at_results(tmp_path / "r").values()) == [want]
    else:
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
        group.main(
            [
                "batch",
                str(tmp_path / "spec.json"),
                str(tmp_path / "d.jsonl"),
                "-q",
                "-o",
                str(tmp_path / "c"),
            ],
            standalone_mode=False,
        )
        assert list(at_results(tmp_path / "c").values()) == [want]


def test_a_refusal_names_keys_and_shapes() -> None:
    """An object of no known shape: what it has, and what is understood; also for programs, that read anything."""
    result = graders.run(BATTERY["samples in a program"][0], {"answer": "Paris"}, {})
    text = str(result.failures[0])

    assert "'answer'" in text
    assert all(shape in text for shape in ("chat messages", "a chat completion", "a response", "Batch API"))


def test_a_value_without_json_form_names_its_field() -> None:
    """The field and the type, for templates and programs alike."""
    item = {"value": {"images": [object()]}, "text": ""}
    for name in ("values in a template", "values in a program"):
        result = graders.run(BATTERY[name][0], "x", item)
        assert str(result.failures[0]).startswith("item.value.images[0] is a object, which has no JSON form")
