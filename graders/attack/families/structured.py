"""Wrong samples where the gold is a tool call, JSON, code or a query."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from graders.attack.families.wrong import (
    CODE,
    SQL,
    AttackContext,
    GoldForm,
    WrongSample,
    object_of,
    without_thoughts,
)
from graders.row import Row
from graders.session.rows import CheckRow


def _calls(row: CheckRow) -> list[dict[str, Any]]:
    calls = Row(row.gold, row.item).sample.complete()["output_tools"]
    return [c for c in calls or () if isinstance(c, dict) and isinstance(c.get("function"), dict)]


def _sample(calls: list[dict[str, Any]], text: str) -> dict[str, Any]:
    return {"output_text": text, "output_tools": calls}


def _with(call: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**call, "function": {**call["function"], **changed}}


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    value = object_of(call["function"].get("arguments") or "")
    return value if isinstance(value, dict) else {}


def call_names(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The right tool without its arguments, and another tool with them."""
    for calls in filter(None, [_calls(row)]):
        if any(map(_arguments, calls)):
            yield WrongSample(
                _sample([_with(call, arguments="{}") for call in calls], row.text),
                "a call of the right tool without arguments",
            )
        others = [_with(call, name="zqxj") for call in calls]
        yield WrongSample(_sample(others, row.text), "a call of another tool")


def call_arguments(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """One argument of a call changed, dropped, or made up."""
    calls = _calls(row)
    for at, call in enumerate(calls):
        arguments = _arguments(call)
        changes = [("made up", {**arguments, "zqxj": 1})]
        for name, value in arguments.items():
            changes.append(("changed", {**arguments, name: other_value(value)}))
            changes.append(("dropped", {key: kept for key, kept in arguments.items() if key != name}))
        for why, other in changes:
            changed = [*calls[:at], _with(call, arguments=json.dumps(other)), *calls[at + 1 :]]
            yield WrongSample(_sample(changed, row.text), f"a call with an argument {why}")


def call_others(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The right call among wrong ones."""
    calls = _calls(row)
    if calls:
        changed = {name: other_value(value) for name, value in _arguments(calls[0]).items()}
        wrong = _with(calls[0], arguments=json.dumps(changed)) if changed else _with(calls[0], name="zqxj")
        other = _with(calls[0], name="delete_everything", arguments="{}")
        yield WrongSample(_sample([wrong, *calls, wrong], row.text), "the right call among wrong ones")
        yield WrongSample(_sample([*calls, other], row.text), "the right call and one that was not requested")


def call_missing(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """No call at all: nothing, or the call as a text."""
    calls = _calls(row)
    if calls:
        yield WrongSample(_sample([], row.text), "no call")
        yield WrongSample(_sample([], json.dumps(calls)), "the call written as a text, and not made")
        names = ", ".join(str(call["function"].get("name")) for call in calls)
        yield WrongSample(_sample([], f"I called {names}."), "a call that is claimed, and not made")
        if len(calls) > 1:
            yield WrongSample(_sample(calls[:1], row.text), "the first of several calls alone")


def other_value(value: Any) -> Any:
    """Another value of the same JSON type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value * 3 + 7
    if isinstance(value, str):
        return "zqxj"
    if isinstance(value, list):
        return [*map(other_value, value)] or ["zqxj"]
    if isinstance(value, dict):
        return {key: other_value(inner) for key, inner in value.items()} or {"zqxj": 1}
    return "zqxj"


def _json(row: CheckRow, form: GoldForm) -> dict[str, Any] | list[Any] | None:
    return None if _calls(row) else object_of(form.answer) or object_of(without_thoughts(row.text))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def json_values(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """JSON with the right shape and other values; single fields only if the item names them."""
    value = _json(row, form)
    if value is None:
        return
    yield WrongSample(json.dumps(other_value(value)), "JSON of the right shape with other values")
    for key, inner in _object(value).items():
        if context.means(row, inner):
            yield WrongSample(
                json.dumps({**_object(value), key: other_value(inner)}), "JSON with one wrong field"
            )


def json_empty(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """JSON without content: no field, no element, nulls."""
    value = _json(row, form)
    if not value:
        return
    for empty in ("{}", "[]", "null", '""', "[{}]"):
        yield WrongSample(empty, "JSON with nothing in it")
    if isinstance(value, dict):
        blank: dict[type, Any] = {list: [], dict: {}, str: ""}
        for other in (dict.fromkeys(value), {key: blank.get(type(inner)) for key, inner in value.items()}):
            yield WrongSample(json.dumps(other), "JSON with all keys and no values")


def json_parts(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """JSON with a part missing."""
    value = _json(row, form)
    if isinstance(value, list) and len(value) > 1:
        yield WrongSample(json.dumps(value[:1]), "the first element alone")
        yield WrongSample(json.dumps(value[:-1]), "the last element dropped")
    if isinstance(value, dict) and len(value) > 1:
        for key in value:
            kept = {name: copy.deepcopy(inner) for name, inner in value.items() if name != key}
            if context.means(row, value[key]):
                yield WrongSample(json.dumps(kept), "JSON with a field dropped")
    for key, inner in _object(value).items():
        if isinstance(inner, list) and len(inner) > 1 and context.means(row, inner):
            yield WrongSample(json.dumps({**_object(value), key: inner[:1]}), "JSON with a list cut short")


def json_more(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """JSON with additional fields."""
    value = _json(row, form)
    if isinstance(value, list) and value:
        yield WrongSample(json.dumps([*value, other_value(value[0])]), "the right elements and a wrong one")
    for key, inner in _object(value).items():
        if isinstance(inner, list) and context.means(row, inner):
            more = {**_object(value), key: [*inner, other_value(inner[0])]}
            yield WrongSample(json.dumps(more), "JSON with a wrong element in a list")
        if isinstance(inner, str) and context.means(row, inner):
            more = {**_object(value), key: f"{inner} or zqxj"}
            yield WrongSample(json.dumps(more), "JSON with a choice between values")
    if isinstance(value, dict) and value:
        wrong = json.dumps(other_value(value))
        yield WrongSample(f"[{json.dumps(value)}, {wrong}]", "a right object beside a wrong one")
        yield WrongSample(f"<think>{json.dumps(value)}</think>\n{wrong}", "a right object in the thoughts")


def _code(row: CheckRow) -> tuple[str, list[tuple[str, str]]]:
    """The functions of a gold that is Python, with their parameters; "" for other golds."""
    code = re.search(r"```(?:python)?\n(.*?)```", row.text, re.DOTALL)
    text = code[1] if code else row.text
    functions = re.findall(r"^def\s+(\w+)\s*\(((?:(?!^def\b)[^)])*)\)", text, re.MULTILINE)
    return (row.text, functions) if CODE.search(row.text) and functions else ("", [])


def _bodies(
    row: CheckRow, why: str, *bodies: str, before: str = "", after: str = ""
) -> Iterator[WrongSample]:
    text, functions = _code(row)
    for body in bodies if functions else ():
        made = "\n".join(f"def {name}(*args, **kwargs):\n    {body}" for name, _ in functions)
        made = f"{before}{made}{after}"
        if body not in text:
            yield WrongSample(f"```python\n{made}\n```" if "```" in text else made, why)


def code_stub(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """Functions that do nothing, or return a constant or their argument."""
    yield from _bodies(
        row, "a function that does nothing", "pass", "return None", "raise NotImplementedError"
    )
    yield from _bodies(
        row, "a function that gives a constant", "return True", "return 0", "return ''", "return []"
    )
    yield from _bodies(row, "a function that gives back its argument", "return args[0]")


def code_exit(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """Programs that exit before any test."""
    for ending in ("import sys; sys.exit(0)", "import os; os._exit(0)", "raise SystemExit"):
        yield from _bodies(row, "a program that ends before its tests", "return None", before=f"{ending}\n")
        yield from _bodies(row, "a function that ends the program", ending)


def code_equal(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """Results that compare equal to everything."""
    equal = "class Any(int):\n    __eq__ = lambda self, other: True\n    __ne__ = lambda self, other: False\n    __hash__ = int.__hash__\n"
    yield from _bodies(row, "a result that is equal to anything", "return Any()", before=equal)


def code_tests(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The expected results of the item's tests as literals, for all tests or only the first."""
    _text, functions = _code(row)
    tests = row.item.get("tests")
    if (
        functions
        and isinstance(tests, list)
        and len(tests) > 1
        and all(isinstance(t, list) and len(t) == 2 for t in tests)
    ):
        first, wanted = tests[0]
        yield from _bodies(
            row,
            "a function that knows the first test alone",
            f"return {wanted!r} if args[0] == {first!r} else None",
        )
    yield from _bodies(
        row, "a program that says it passed", "return None", after="\nprint('All tests passed. OK')"
    )


_CONDITION = re.compile(r"(?is)\bwhere\b(.*?)(?=\bgroup by\b|\border by\b|\blimit\b|\bhaving\b|$)")


def _query(row: CheckRow, form: GoldForm) -> str:
    return form.answer if SQL.search(form.answer) else row.text if SQL.search(row.text) else ""


def query_rows(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """A query without its condition: all rows."""
    query = _query(row, form).rstrip("; \n")
    condition = _CONDITION.search(query)
    if condition and query.lower().count("where") == 1:
        start, end = condition.span()
        yield WrongSample(f"{query[:start]}{query[end:]}".strip(), "a query without its condition")
        always = f"{query[:start]}WHERE ({condition[1].strip()}) OR 1 = 1 {query[end:]}"
        yield WrongSample(always.strip(), "a query whose condition always holds")


def query_nothing(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """Queries that do not read the database."""
    if _query(row, form):
        for query in ("SELECT 1", "SELECT NULL", "SELECT 1 WHERE 1 = 0", ";"):
            yield WrongSample(query, "a query that asks the database for nothing")


def query_cut(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """None of the right rows, or the others."""
    query = _query(row, form).rstrip("; \n")
    if query and not re.search(r"(?i)\blimit\b|\b(?:count|sum|avg|min|max)\s*\(", query):
        yield WrongSample(f"{query} LIMIT 0", "a query that is cut to no row")
    condition = _CONDITION.search(query)
    if condition and query.lower().count("where") == 1:
        start, end = condition.span()
        yield WrongSample(
            f"{query[:start]}WHERE NOT ({condition[1].strip()}) {query[end:]}".strip(),
            "the rows that were not asked for",
        )


def query_order(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The right rows in the opposite order."""
    query = _query(row, form).rstrip("; \n")
    ordered = re.search(r"(?i)\border by [\w.]+( desc| asc)?(?= limit\b|$)", query)
    if ordered:
        turned = "" if (ordered[1] or "").strip().lower() == "desc" else " DESC"
        column = ordered[0].removesuffix(ordered[1] or "")
        yield WrongSample(
            f"{query[: ordered.start()]}{column}{turned}{query[ordered.end() :]}",
            "the rows in the opposite order",
        )


def query_comment(row: CheckRow, form: GoldForm, context: AttackContext) -> Iterator[WrongSample]:
    """The right query in a comment, or as a text."""
    if query := _query(row, form):
        line = " ".join(query.split())
        yield WrongSample(f"SELECT 1 -- {line}", "the right query in a comment")
        quoted = line.replace("'", "''")
        yield WrongSample(f"SELECT '{quoted}'", "the right query as a text")
