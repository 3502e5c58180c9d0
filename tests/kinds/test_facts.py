"""A grader type is whole in its file: its spec model answers every question, and no other room knows its name."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from graders.kinds import KINDS, spec_of
from graders.kinds.reading import read
from graders.preflight.check import check
from graders.spec.kind import Kind
from graders.spec.model import SpecModel
from graders.spec.options import Options
from graders.spec.reading import load
from graders.template import Template
from tests.specs import endpoint, label_model, multi, python, score_model, string_check, text_similarity

ROOT = Path(__file__).parents[2] / "graders"
EXAMPLES = {
    spec["type"]: spec
    for spec in (
        string_check(),
        text_similarity(),
        python(),
        score_model(),
        label_model(),
        multi(),
        endpoint(),
    )
}
#: Rooms that may name a type: the types' own, and tables of other formats.
KNOWING = ("kinds", "documents")


def test_every_type_has_an_example() -> None:
    assert set(EXAMPLES) >= set(KINDS)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_type_states_every_fact(kind: str) -> None:
    """Each answer has the shape that the rooms rely on."""
    spec = read(load(EXAMPLES[kind])).spec

    assert isinstance(spec, spec_of(kind))
    assert {name: type(getattr(spec, name)) for name in ("hosted", "nestable", "two_valued")} == {
        "hosted": bool,
        "nestable": bool,
        "two_valued": bool,
    }
    assert all(isinstance(member, SpecModel) for member in spec.members().values())
    assert len(spec.leaves()) == max(1, len(spec.members()))
    assert all(isinstance(at, str) and Template(text).text == text for at, text in spec.templates())
    assert spec.compared() is None or len(spec.compared() or ()) == 2
    assert spec.reward_range() is None or len(spec.reward_range() or ()) == 2
    assert (spec.judge() is None) == (spec.best_verdict() is None)
    assert isinstance(spec.embedder_field(), str)
    assert (spec.formula() is None) == (not spec.members())
    assert spec.program() is None or isinstance(spec.program(), str)
    assert list(spec.findings([])) == []
    compiled = spec.build(Options())
    assert isinstance(compiled, Kind)
    assert compiled.n_asks == 0 or compiled.columns() is None


@pytest.mark.parametrize("kind", EXAMPLES)
def test_templates_stand_where_they_say(kind: str) -> None:
    """A template's path leads to its text in the normalised JSON."""
    spec = read(load(EXAMPLES[kind])).spec

    for at, text in spec.templates():
        value: Any = spec.to_json()
        for step in at.replace("[", ".").replace("]", "").split("."):
            value = value[int(step)] if step.isdigit() else value[step]
        assert value == text


def _names_a_type(node: ast.AST) -> TypeGuard[ast.expr]:
    """A comparison of something called `type`, or a type's name as a whole text."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(isinstance(side, ast.Attribute) and side.attr == "type" for side in sides) and any(
            isinstance(side, ast.Constant) and side.value in KINDS for side in sides
        )
    return isinstance(node, ast.Constant) and node.value in set(KINDS) - {"python", "endpoint"}


def test_no_other_package_names_a_type() -> None:
    """If one needs a name, a fact is missing."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        if file.relative_to(ROOT).parts[0] in KNOWING:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found += [f"{file.relative_to(ROOT)}:{node.lineno}" for node in ast.walk(tree) if _names_a_type(node)]

    assert found == []


def test_a_defect_has_one_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """label_model whose every label passes is said once (D4)."""
    spec = label_model(passing_labels=["good", "bad"])

    report = check(spec, [{"sample": "x", "item": {}}])

    assert [finding.code for finding in report.findings] == ["all_labels_pass"]


def test_a_message_keeps_the_fields_name() -> None:
    """`calculate_output` is not capitalised at the start of a sentence (D5)."""
    report = check(multi("1 / a"), [{"sample": "x", "item": {"answer": "y"}}])

    assert [finding.code for finding in report.findings] == ["formula_can_fail"]
    assert "Calculate_output" not in report.findings[0].message
