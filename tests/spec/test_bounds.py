"""What a spec, a row or a file may take of the memory is bounded, and said with what was found and what is allowed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graders
from graders import SpecError
from graders.spec import bounds
from graders.spec.positions import Positions
from graders.template import RENDERED_MAX_CHARS, Template
from tests.specs import label_model, multi, score_model, string_check


def deep(n: int) -> Any:
    value: Any = 1
    for _ in range(n):
        value = [value]
    return value


def aliases() -> Any:
    """Nine lists of nine times the one before: 9^9 values in some hundred bytes of YAML."""
    value: Any = "x"
    for _ in range(9):
        value = [value] * 9
    return value


def itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


TOO_LARGE = [
    # what, spec, what the message names
    ("depth", lambda: string_check(name=deep(bounds.DEPTH_MAX + 1)), f"more than {bounds.DEPTH_MAX} deep"),
    ("keys", lambda: string_check(**{f"k{n}": 1 for n in range(bounds.KEYS_MAX + 1)}), f"the limit is {bounds.KEYS_MAX}"),
    ("values", lambda: string_check(name=[0] * bounds.VALUES_MAX), f"more than {bounds.VALUES_MAX} values"),
    ("a key", lambda: string_check(**{"k" * (bounds.KEY_MAX_CHARS + 1): 1}), f"the limit is {bounds.KEY_MAX_CHARS}"),
    ("aliases", lambda: string_check(name=aliases()), f"more than {bounds.VALUES_MAX} values"),
    ("itself", lambda: string_check(name=itself()), f"more than {bounds.DEPTH_MAX} deep"),
    ("labels", lambda: label_model(labels=[str(n) for n in range(bounds.LABELS_MAX + 1)]), f"the limit is {bounds.LABELS_MAX}"),
    ("text", lambda: json.dumps(string_check(name="x" * bounds.TEXT_MAX_CHARS)), f"at most {bounds.TEXT_MAX_CHARS} are read"),
    ("text without end", lambda: "[" * (bounds.TEXT_MAX_CHARS + 1), f"at most {bounds.TEXT_MAX_CHARS} are read"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "says"), [row[1:] for row in TOO_LARGE], ids=[row[0] for row in TOO_LARGE])
def test_specs_beyond_a_bound(spec: Callable[[], Any], says: str) -> None:
    """A spec beyond a bound has one problem that names the bound, found without reading the whole spec."""
    with pytest.raises(SpecError) as refused:
        graders.validate(spec())

    assert says in str(refused.value)


def test_a_spec_lists_its_first_problems() -> None:
    """Thousands of unknown keys are a hundred problems, and that there are more (M8 of the review)."""
    with pytest.raises(SpecError) as refused:
        graders.validate(string_check(**{f"k{n}": 1 for n in range(5000)}))

    problems = refused.value.problems
    assert len(problems) == bounds.PROBLEMS_MAX + 1
    assert problems[-1].code == "more_problems"


def test_one_wrong_label_among_thousands() -> None:
    """H2 of the review: the search for what was meant took two minutes."""
    labels = [f"{'label ' * 8}{n}" for n in range(bounds.LABELS_MAX)]

    with pytest.raises(SpecError, match="is not one of the labels"):
        graders.validate(label_model(labels=labels, passing_labels=[labels[0] + "x"]))


AMPLIFIED = [
    ("a text", string_check(input="{{item.a}}" * 100), "a" * 10**6),
    ("JSON", string_check(input="{{item}}" * 100), ["a" * 10**6]),
    ("a judge's messages", score_model(input=[{"role": "user", "content": "{{item.a}}"}] * 100), "a" * 10**6),
    (
        "judges side by side",
        multi(
            graders={
                f"g{n}": score_model(input=[{"role": "user", "content": "{{item.a}}"}] * 10)
                for n in range(10)
            },
            calculate_output="g0",
        ),
        "a" * 10**6,
    ),
]


@pytest.mark.parametrize(("spec", "value"), [row[1:] for row in AMPLIFIED], ids=[row[0] for row in AMPLIFIED])
def test_a_text_of_many_copies_is_refused(
    spec: dict[str, Any], value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3 of the review: 30 kB of spec made 9 GB of text. The row is flagged, before the text is made."""
    monkeypatch.setattr("graders.template.RENDERED_MAX_CHARS", 10 * 10**6)
    grader = graders.compile(spec, backends=graders.Backends(models=lambda *args: 1.0))
    tracemalloc.start()

    result = grader.run("x", {"a": value})

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not result.ok
    assert any("characters with this row; the limit is" in str(failure) for failure in result.failures)
    assert peak < 75 * 10**6


def test_a_long_value_alone_is_not_bounded() -> None:
    """The bound is for rendered texts: a single long text of a row is graded."""
    text = "a" * (RENDERED_MAX_CHARS + 1)

    assert Template("{{item.a}}").render(graders_row({"a": text})) is text


def graders_row(item: dict[str, Any]) -> Any:
    from graders.row import Row

    return Row("", item)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 1),
        ("a", 2),
        ("a.b.c", 3),
        ("a[1]", 4),
        ("x.y", 6),
        ("x.y.z", 6),
        ("x.y[0].z[0]", 7),
        ("[0]", 8),
        ("a.nothing", 2),
        ("a.b.c.d[7]", 3),
        ("nothing", 1),
    ],
)
def test_positions_of_paths(path: str, line: int) -> None:
    """Keys may contain dots and brackets; a missing value has the position of what contains it."""
    text = '{\n"a": {\n"b.c": 1,\n"[1]": 2},\n\n"x.y": [\n{"z": [1]}],\n"[0]": 3}'

    assert Positions(text).locate(path)[0] == line
    assert Positions(text, yaml=True).locate(path)[0] == line


def test_positions_take_memory_linear_in_the_text() -> None:
    """H3 of the review: every path was kept whole, which is the square of a deep text."""
    text = '{"' + "k" * 3200 + '":'
    text = text * 900 + "1" + "}" * 900
    positions = Positions(text)
    tracemalloc.start()

    positions.locate("k")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(text)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_no_traceback_when_memory_is_short(tmp_path: Path) -> None:
    """A spec that does not fit is said to be too large; a file that cannot be held says so, too."""
    spec = tmp_path / "spec.json"
    spec.write_text("[" + "{}," * 6_000_000 + "{}]")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); import graders.cli; graders.cli.main(sys.argv[1:])"

    def grader(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", limited, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    refused = grader("validate", str(spec))
    endless = grader("run", "-", "--sample", "@/dev/zero")

    assert refused.returncode == 1
    assert "characters; at most" in refused.stderr
    assert "Traceback" not in refused.stderr + endless.stderr
    assert endless.returncode != 0
