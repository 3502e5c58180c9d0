"""Graders written as Python: files with `grade(sample, item)`, and functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import graders
from graders.cli import group
from graders.engine.functions import source_of
from tests.batch.support import write_rows

PROGRAM = '''"""Whether the answer is in the text."""
import re

def grade(sample, item):
    return float(bool(re.search(item["answer"], sample["output_text"])))
'''
LIMIT = 3


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with PROGRAM, in the working directory beside a row."""
    monkeypatch.chdir(tmp_path)
    Path("found.py").write_text(PROGRAM, encoding="utf-8")
    write_rows(Path("rows.jsonl"), [{"sample": "It is Paris.", "item": {"answer": "Paris"}}])
    return "found.py"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["run", "found.py", "--sample", "a b", "--item", '{"answer": "b"}', "--json"], '"reward": 1.0'),
        (["validate", "found.py"], "1 of 1 valid"),
        (["check", "found.py", "rows.jsonl"], "fine"),
        (["batch", "found.py", "rows.jsonl", "-o", "r.jsonl"], "1 scored, 0 failed"),
        (["convert", "found.py"], '"type": "python"'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_command_takes_a_file(program: str, arguments: list[str], shown: str) -> None:
    """Finding H3: a program was only a string in JSON."""
    done = CliRunner().invoke(group, arguments, standalone_mode=False)

    assert shown in done.output
    assert not done.return_value


def test_a_file_becomes_the_spec_with_its_text(program: str) -> None:
    done = CliRunner().invoke(group, ["convert", program], standalone_mode=False)

    spec = json.loads(done.stdout)
    assert (spec["name"], spec["source"]) == ("found", PROGRAM)
    assert graders.validate(spec) == graders.validate(Path(program))


def test_a_function_is_run_in_the_sandbox() -> None:
    def length(sample: Any, item: Any) -> float:
        import math

        return math.sqrt(len(sample["output_text"]))

    grader = graders.python(length)
    result = grader.run("four", {})

    assert (grader.name, result.reward, result.flags) == ("length", 2.0, ())


def test_a_decorated_function_is_a_grader() -> None:
    @graders.python(name="exact")
    def grade(sample: Any, item: Any) -> float:
        return float(sample["output_text"] == item["answer"])

    assert grade.name == "exact"
    assert [grade.run(text, {"answer": "x"}).reward for text in ("x", "y")] == [1.0, 0.0]


def _closure() -> Callable[..., Any]:
    target = "x"

    def grade(sample: Any, item: Any) -> float:
        return float(sample["output_text"] == target)

    return grade


def _global(sample: Any, item: Any) -> float:
    return float(len(sample["output_text"]) > LIMIT)


def _module(sample: Any, item: Any) -> list[str]:
    return [json.dumps(key) for key in item]


async def _waits(sample: Any, item: Any) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("function", "said"),
    [
        pytest.param(_closure(), "takes target from the function around it", id="closure"),
        pytest.param(_global, "uses LIMIT of its module", id="global"),
        pytest.param(_module, "uses json of its module", id="module"),
        pytest.param(lambda sample, item: 1.0, "is a lambda", id="lambda"),
        pytest.param(_waits, "is no plain function", id="async"),
        pytest.param(len, "is no function that is written in Python", id="built-in"),
        pytest.param(lru_cache(_waits), "is no function that is written in Python", id="wrapped"),
    ],
)
def test_a_function_that_needs_more_than_its_source_is_refused(function: Any, said: str) -> None:
    with pytest.raises(graders.SpecError, match=said):
        source_of(function)


def test_completion_shows_what_is_public() -> None:
    """Finding M7: `graders.<tab>` listed modules, `Any` and `annotations`."""
    assert dir(graders) == sorted(graders.__all__)
