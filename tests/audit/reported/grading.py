"""Graders written as functions: what a report describes, in our own words, and what would have been right.

A function takes the reply's text (or its tool calls) and the item. Its source, with the helpers that it calls, is the program of the
grader, so that the graders are formatted and type-checked like any other code.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

from tests.audit.public_graders import PublicGrader, Rows
from tests.specs import python

Item = dict[str, Any]
#: Names and arguments of the calls of a reply.
Calls = list[tuple[str, dict[str, Any]]]
Grade = Callable[[Any, Item], float]

#: What a parameter of that name is given.
GIVEN = {
    "sample": "sample",
    "text": "sample.get('output_text') or ''",
    "calls": "[(c['function']['name'], json.loads(c['function']['arguments'])) for c in sample.get('output_tools') or []]",
}


def the_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def the_tag(text: str) -> str | None:
    found = re.findall(r"<answer>(.*?)</answer>", text, re.S)
    return found[0].strip() if len(found) == 1 else None


def run_query(item: Item, query: str) -> list[Any] | None:
    import sqlite3

    db = sqlite3.connect(":memory:")
    db.execute("create table sales (city text, amount int)")
    db.executemany("insert into sales values (?, ?)", item["sales"])
    try:
        return db.execute(query).fetchall()
    except sqlite3.Error:
        return None


def is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(isinstance(v, (int, float)) for v in value)


HELPERS = (the_json, is_box, the_tag, run_query)


def program_of(function: Grade) -> dict[str, Any]:
    """The spec of a grader that runs the function's source."""
    source = inspect.getsource(function)
    source = source[source.index("def ") :]
    helpers = [inspect.getsource(h) for h in HELPERS if re.search(rf"\b{h.__name__}\(", source)]
    parameter = next(iter(inspect.signature(function).parameters))
    call = f"def grade(sample, item):\n    return {function.__name__}({GIVEN[parameter]}, item)\n"
    return python(
        "\n\n".join(
            ["from __future__ import annotations\n\nimport json\nimport re\n", *helpers, source, call]
        )
    )


class GraderSet:
    """The flawed and sound graders of one set, in the order of writing."""

    def __init__(self) -> None:
        self.flawed: list[PublicGrader] = []
        self.sound: list[PublicGrader] = []

    def add_flawed(self, rows: Rows, source: str, flaw: str) -> Callable[[Grade], Grade]:
        """A decorator that adds a grader with one flaw, known from `source`."""

        def add(function: Grade) -> Grade:
            self.add_flawed_spec(function.__name__, rows, source, flaw, program_of(function))
            return function

        return add

    def add_sound(self, rows: Rows, source: str) -> Callable[[Grade], Grade]:
        """A decorator that adds a grader which pays right answers alone: the repair that `source` asks for, or its task as meant."""

        def add(function: Grade) -> Grade:
            self.add_sound_spec(function.__name__, rows, source, program_of(function))
            return function

        return add

    def add_flawed_spec(self, name: str, rows: Rows, source: str, flaw: str, spec: dict[str, Any]) -> None:
        self.flawed.append(PublicGrader(name, flaw, source, spec, rows))

    def add_sound_spec(self, name: str, rows: Rows, source: str, spec: dict[str, Any]) -> None:
        self.sound.append(PublicGrader(name, "", source, spec, rows))


REPORTED = GraderSet()
FLAWED, SOUND = REPORTED.flawed, REPORTED.sound
flawed, sound = REPORTED.add_flawed, REPORTED.add_sound
flawed_spec, sound_spec = REPORTED.add_flawed_spec, REPORTED.add_sound_spec
