"""Every grader that the documents, the examples and the page show is checked and attacked; what is found stands here with its reason."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.audit import check_reward
from graders.config.config import Config
from graders.kinds import KINDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")} - {ROOT / "CHANGELOG.md"}
)
BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def shown_specs() -> dict[str, dict[str, Any]]:
    """Place and name -> each spec that is shown; one that is shown twice under its first place."""
    found: dict[str, dict[str, Any]] = {}
    for path in (*sorted(ROOT.glob("examples/*.grader.json")), *DOCUMENTS):
        for value in values_of(path):
            for spec in specs_in(value):
                if spec not in found.values():
                    name = spec.get("name") or spec.get("operation") or spec["type"]
                    found[f"{path.relative_to(ROOT)}: {name}"] = spec
    for spec, *_ in page_examples().values():
        found[f"the page: {spec['name']}"] = spec
    return found


def values_of(path: Path) -> Iterator[Any]:
    """Every JSON value that a file has, those in Python and in shell commands included."""
    text = path.read_text(encoding="utf-8")
    for language, block in [("json", text)] if path.suffix == ".json" else BLOCK.findall(text):
        if language == "python":
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.Dict):
                    yield literal(node)
            continue
        if language == "jsonc":
            block = re.sub(r"\s//[^\n]*", "", block)
        at = block.find("{")
        while at >= 0:
            try:
                value, end = json.JSONDecoder().raw_decode(block, at)
            except ValueError:
                end = at + 1
            else:
                yield value
            at = block.find("{", end)


def literal(node: ast.Dict) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        # the expression has names in it
        return None


def specs_in(value: Any) -> Iterator[dict[str, Any]]:
    """The value itself where it can be compiled, else the specs that it has inside."""
    if isinstance(value, dict) and value.get("source") == "...":
        return
    if isinstance(value, dict) and value.get("type") in KINDS:
        try:
            graders.compile(value)
        except graders.SpecError:
            return
        yield value
    elif isinstance(value, dict):
        for inside in value.values():
            yield from specs_in(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from specs_in(inside)


def page_examples() -> dict[str, Any]:
    """What the page of one row has to begin with: JavaScript, which is JSON but for its keys and commas."""
    text = (ROOT / "graders/pages/assets/examples.js").read_text(encoding="utf-8")
    message, examples = re.findall(r"^(?:export )?const \w+ = (.*?);$", text, re.MULTILINE | re.DOTALL)
    examples = examples.replace("[JUDGE_MESSAGE]", f"[{message}]")
    keys = re.sub(r'("(?:[^"\\]|\\.)*")|(\w+)(?=:)', lambda m: m[1] or f'"{m[2]}"', examples)
    made: dict[str, Any] = json.loads(re.sub(r",(\s*[}\]])", r"\1", keys))
    return made


def rows_of_examples(file: str, field: str, *row_ids: str) -> list[dict[str, Any]]:
    lines = (ROOT / "examples" / file).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        {"id": row["id"], "item": row["item"], "gold": row["item"][field]}
        for row in rows
        if not row_ids or row["id"].startswith(row_ids)
    ][:8]


def rows(*answers: Any, form: str = "{}", fields: tuple[str, ...] = ("answer",)) -> list[dict[str, Any]]:
    return [
        {
            "id": str(at),
            "item": {"question": f"Question {at}?", **dict.fromkeys(fields, one)},
            "gold": form.format(one),
        }
        for at, one in enumerate(answers)
    ]


CITIES = rows("Paris", "Tokyo", "Canberra", "Lima", fields=("answer", "label"))
SUMMARIES = rows(
    "The board approved the library budget and put off the vote.",
    "A storm closed the harbour; nobody was hurt.",
    "Rest the dough overnight and bake it in a closed pot.",
    fields=("summary", "answer"),
)
WORKED = [
    {
        "id": str(at),
        "item": {"question": asked, "ground_truth": f"So it is.\nA: {n}"},
        "gold": f"{asked} It is {n}.\nA: {n}",
    }
    for at, (asked, n) in enumerate((("18 and 24?", 42), ("60 times 5?", 300), ("Half of 254?", 127)))
]

ANSWERS = rows_of_examples("answers.jsonl", "answer")
#: Each spec that asks nobody, with rows that have golds, and the checks that find something, notes apart.
CHECKED = {
    "examples/answer.grader.json: answer": (ANSWERS, ()),
    "examples/close.grader.json: close": (rows_of_examples("summaries.jsonl", "summary"), ()),
    "examples/exact.grader.json: exact": (ANSWERS, ()),
    "examples/number.grader.json: number": (
        rows_of_examples("answers.jsonl", "answer", "sum", "product", "half", "thousand"),
        (),
    ),
    "README.md: eq": (CITIES, ()),
    "docs/audit.md: like": (CITIES, ()),
    "docs/audit.md: ilike": (CITIES, ()),
    "docs/evals.md: label": (CITIES, ()),
    # shown for what the checks find in it: the reply may be any part of the reference
    "docs/reward-checks.md: like": (CITIES, ("empty", "near_miss")),
    "docs/serving.md: text_similarity": (SUMMARIES, ()),
    "docs/serving.md: exact": (CITIES, ()),
    "docs/walkthrough.md: number": (WORKED, ()),
    "the page: answer": (CITIES, ()),
    "the page: contains": (CITIES, ()),
    "the page: close": (SUMMARIES, ()),
    "the page: number": (rows(42, 300, 917, form="The answer is {}"), ()),
}
#: These take seconds.
PROGRAMS = {
    "examples/answer.grader.json: answer",
    "examples/number.grader.json: number",
    "docs/walkthrough.md: number",
    "the page: number",
}
#: What they pay is their model's or their server's doing: nothing is known of them without one.
ASKING = {
    "examples/remote.grader.json: remote",
    "examples/helpful.grader.json: helpful",
    "examples/tone.grader.json: tone",
    "docs/pytest.md: score_model",
    "the page: helpful",
    "the page: tone",
}
#: These look for the answer anywhere in the text, which a denial and a list of candidates pass: a note, and
#: docs/audit.md says so.
ANYWHERE = {"docs/audit.md: like", "docs/audit.md: ilike", "the page: contains"}


def test_every_grader_that_is_shown_is_checked() -> None:
    """Every spec that examples and documents show has its line here."""
    assert set(shown_specs()) == {*CHECKED, *ASKING}


@pytest.fixture(scope="module")
def backends() -> Iterator[graders.Backends]:
    with graders.Backends(config=Config()) as shared:
        yield shared


@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=pytest.mark.slow if place in PROGRAMS else ()) for place in CHECKED]
)
def test_every_exploit_of_a_shown_grader_is_explained(place: str, backends: graders.Backends) -> None:
    rows_with_golds, explained = CHECKED[place]

    # a busy machine is no flaw of the grader
    found = check_reward(shown_specs()[place], rows_with_golds, skip=["latency"], backends=backends)

    told = [str(finding) for finding in found if finding.severity != "note"]
    assert tuple(dict.fromkeys(f.check for f in found if f.severity != "note")) == explained, told
    assert bool([f for f in found if f.severity == "note"]) == (place in ANYWHERE), found
