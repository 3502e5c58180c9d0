"""Graders of tool calls."""

from __future__ import annotations

import json
from typing import Any

from tests.audit.public_graders import CALLS, Rows, call
from tests.audit.reported.grading import Calls, Item, flawed, sound


def row(row_id: str, asked: str, *wanted: tuple[str, dict[str, Any]], text: str = "") -> dict[str, Any]:
    return {
        "id": row_id,
        "item": {"question": asked, "calls": [list(one) for one in wanted], "answer": text},
        "gold": {
            "output_text": text,
            "output_tools": [call(name, **arguments) for name, arguments in wanted],
        },
    }


ORDERS: Rows = [
    row("list", "Which orders are open?", ("list_orders", {})),
    row("find", "Where is order 17?", ("find_order", {"number": 17})),
    row("stop", "Stop order 32.", ("stop_order", {"number": 32, "reason": "asked"})),
]
#: The number of days is no required argument.
OPTIONAL: Rows = [{**one, "item": {**one["item"], "required": ["city"]}} for one in CALLS]
CHAINS: Rows = [
    row(
        "mail",
        "Mail the report to Ida.",
        ("find_person", {"name": "Ida"}),
        ("send_mail", {"to": "ida", "file": "report"}),
    ),
    row(
        "book",
        "Book a table for Bo at 7.",
        ("find_person", {"name": "Bo"}),
        ("book_table", {"who": "bo", "hour": 7}),
    ),
    row(
        "lamp",
        "Turn on the hall lamp, half bright.",
        ("list_lamps", {"room": "hall"}),
        ("set_lamp", {"room": "hall", "level": 50}),
    ),
]
REFUNDS: Rows = [
    row("r1", "Refund order 17; how much?", ("refund", {"order": 17}), text="You get 240 back."),
    row("r2", "Refund order 32; how much?", ("refund", {"order": 32}), text="You get 95 back."),
    row("r3", "Refund order 58; how much?", ("refund", {"order": 58}), text="You get 413 back."),
]


@flawed(ORDERS, "langchain-ai/openevals#237", "no calls are a part of any calls")
def no_calls_are_a_part(calls: Calls, item: Item) -> float:
    return float(all([name, arguments] in item["calls"] for name, arguments in calls))


@sound(ORDERS, "repair of langchain-ai/openevals#237")
def calls_there_and_wanted(calls: Calls, item: Item) -> float:
    return float(bool(calls) and [list(one) for one in calls] == item["calls"])


@flawed(ORDERS, "UiPath/uipath-python#1735", "where no arguments are wanted, all are fine")
def no_arguments_match_all(calls: Calls, item: Item) -> float:
    if [name for name, _ in calls] != [name for name, _ in item["calls"]]:
        return 0.0
    pairs = zip(calls, item["calls"], strict=True)
    return float(all(got.get(key) == value for (_, got), (_, want) in pairs for key, value in want.items()))


@sound(ORDERS, "repair of UiPath/uipath-python#1735")
def no_arguments_are_none(calls: Calls, item: Item) -> float:
    if len(calls) != len(item["calls"]):
        return 0.0
    pairs = zip(calls, item["calls"], strict=True)
    return float(all(name == wanted and got == want for (name, got), (wanted, want) in pairs))


@flawed(CALLS, "SeraphimSerapis/tool-eval-bench#41", "values are looked for in the call as a text")
def values_in_the_text(calls: Calls, item: Item) -> float:
    said = json.dumps(calls).lower()
    return float(all(str(value).lower() in said for value in item["arguments"].values()))


@sound(CALLS, "repair of SeraphimSerapis/tool-eval-bench#41")
def values_in_their_places(calls: Calls, item: Item) -> float:
    return float(len(calls) == 1 and calls[0][0] == item["name"] and dict(calls[0][1]) == item["arguments"])


@flawed(CHAINS, "EntityProcess/agentv#294", "calls are counted by name, more of them are fine")
def enough_calls_by_name(calls: Calls, item: Item) -> float:
    names = [name for name, _ in calls]
    wanted = [name for name, _ in item["calls"]]
    return float(all(names.count(name) >= wanted.count(name) for name in wanted))


@sound(CHAINS, "share of the calls in their places, google/adk-python#1591")
def calls_in_their_places(calls: Calls, item: Item) -> float:
    same = sum(list(got) == want for got, want in zip(calls, item["calls"], strict=False))
    return float(same) / max(len(calls), len(item["calls"]))


@flawed(
    OPTIONAL, "ServiceNow/AU-Harness metrics/bfcl_metric.py", "only arguments that are required are compared"
)
def optional_arguments_are_free(calls: Calls, item: Item) -> float:
    if len(calls) != 1 or calls[0][0] != item["name"]:
        return 0.0
    return float(all(calls[0][1].get(key) == item["arguments"][key] for key in item["required"]))


@flawed(REFUNDS, "sierra-research/tau-bench#16", "a right text makes up for wrong calls")
def text_makes_up_for_calls(sample: Any, item: Item) -> float:
    made = [
        [one["function"]["name"], json.loads(one["function"]["arguments"])]
        for one in sample.get("output_tools") or []
    ]
    return float(made == item["calls"] or item["answer"] in (sample.get("output_text") or ""))


@sound(REFUNDS, "repair of sierra-research/tau-bench#16")
def text_and_calls(sample: Any, item: Item) -> float:
    made = [
        [one["function"]["name"], json.loads(one["function"]["arguments"])]
        for one in sample.get("output_tools") or []
    ]
    return float(made == item["calls"] and item["answer"] == (sample.get("output_text") or "").strip())
