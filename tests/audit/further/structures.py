"""Graders of JSON, tool calls, citations and code."""

from __future__ import annotations

import json
import re

from tests.audit.further.collected import flawed, sound
from tests.audit.public_graders import Rows
from tests.audit.reported.calls import CHAINS
from tests.audit.reported.grading import Calls, Item, the_json

FOUND: Rows = [
    {
        "id": name,
        "item": {"question": f"Which lines of {name} are wrong?", "lines": lines},
        "gold": json.dumps(lines),
    }
    for name, lines in (("parser", [12, 40]), ("server", [7, 88, 91]), ("client", [3, 56]))
]
DOCUMENTS: Rows = [
    {
        "id": asked,
        "item": {"question": f"Which pages tell of {asked}?", "pages": pages},
        "gold": json.dumps(pages),
    }
    for asked, pages in (
        ("tides", ["moon", "sea"]),
        ("bread", ["wheat", "yeast", "ovens"]),
        ("glass", ["sand", "kilns"]),
    )
]
COUNTED: Rows = [
    {"id": f"m{low}{high}", "item": {"question": "Smallest counts?", "want": want}, "gold": json.dumps(want)}
    for low, high in ((0, 1), (1, 4), (2, 0))
    for want in [{"low": low, "high": high}]
]
CITED: Rows = [
    {
        "id": f"c{year}",
        "item": {"question": asked, "answer": f"It closed in {year}", "cited": cited},
        "gold": f"It closed in {year} {''.join(f'[{number}]' for number in cited)}",
    }
    for asked, year, cited in (
        ("When did the mill close? Sources 1 to 9.", 1931, [1, 3]),
        ("When did the mine close? Sources 1 to 9.", 1958, [2]),
        ("When did the port close? Sources 1 to 9.", 1974, [4, 7]),
    )
]
PREDICATES: Rows = [
    {
        "id": name,
        "item": {"question": f"Write f: {name}.", "tests": tests},
        "gold": f"def f(x):\n    return {body}",
    }
    for name, body, tests in (
        ("whether x is even", "x % 2 == 0", [[3, False], [8, True], [7, False]]),
        ("whether x is above ten", "x > 10", [[10, False], [11, True], [2, False]]),
        ("whether x is negative", "x < 0", [[0, False], [-4, True], [9, False]]),
    )
]


@flawed(FOUND, "voodootikigod/adlc#755", "who finds nothing is precise")
def nothing_is_precise(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, list):
        return 0.0
    hits = sum(line in item["lines"] for line in got)
    return hits / len(got) if got else 1.0


@sound(FOUND, "repair of voodootikigod/adlc#755, with the recall")
def found_and_precise(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, list) or not all(type(line) is int for line in got):
        return 0.0
    hits = len(set(got) & set(item["lines"]))
    return 2 * hits / (len(got) + len(item["lines"]))


@flawed(DOCUMENTS, "dokimos-dev/dokimos#110", "a page that is there twice counts twice, above one too")
def pages_count_twice(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, list):
        return 0.0
    return sum(page in item["pages"] for page in got) / len(item["pages"])


@sound(DOCUMENTS, "repair of dokimos-dev/dokimos#110, less what is beside the question")
def pages_in_common(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, list) or not all(isinstance(page, str) for page in got):
        return 0.0
    return len(set(got) & set(item["pages"])) / len(set(got) | set(item["pages"]))


@flawed(COUNTED, "morluto/jacobian#528", "true is one and false is nought")
def true_is_one(text: str, item: Item) -> float:
    return float(the_json(text) == item["want"])


@sound(COUNTED, "repair of morluto/jacobian#528")
def numbers_are_numbers(text: str, item: Item) -> float:
    got = the_json(text)
    if not isinstance(got, dict) or not all(type(value) is int for value in got.values()):
        return 0.0
    return float(got == item["want"])


@flawed(CHAINS, "vibrantlabsai/ragas#2092, the review", "calls are compared as far as both lists go")
def calls_as_far_as_both_go(calls: Calls, item: Item) -> float:
    pairs = list(zip(calls, item["calls"], strict=False))
    return float(bool(pairs) and all(list(got) == want for got, want in pairs))


@sound(CHAINS, "repair of vibrantlabsai/ragas#2092")
def calls_one_by_one(calls: Calls, item: Item) -> float:
    if len(calls) != len(item["calls"]):
        return 0.0
    return float(sum(list(got) == want for got, want in zip(calls, item["calls"], strict=True))) / len(calls)


@flawed(CITED, "koletimanish/GoodlaneTech#24", "sources too many cost nothing")
def citations_of_everything(text: str, item: Item) -> float:
    cited = {int(number) for number in re.findall(r"\[(\d+)\]", text)}
    said = re.sub(r"\s*\[\d+\]", "", text).strip().rstrip(".")
    return float(said == item["answer"] and cited >= set(item["cited"]))


@sound(CITED, "repair of koletimanish/GoodlaneTech#24")
def citations_that_are_needed(text: str, item: Item) -> float:
    cited = [int(number) for number in re.findall(r"\[(\d+)\]", text)]
    said = re.sub(r"\s*\[\d+\]", "", text).strip().rstrip(".")
    return float(said == item["answer"] and sorted(cited) == sorted(item["cited"]))


@flawed(
    PREDICATES, "verl-project/verl#2811", "results that are booleans are printed as JSON, and never equal"
)
def booleans_as_json(text: str, item: Item) -> float:
    from graders_sandbox import run_untrusted

    lines = [f"import json\nassert json.dumps(f({a!r})) == {str(w)!r}" for a, w in item["tests"]]
    return run_untrusted(text, "\n".join(lines), timeout=5, entry="f").score


@sound(PREDICATES, "repair of verl-project/verl#2811")
def booleans_as_they_are(text: str, item: Item) -> float:
    from graders_sandbox import run_untrusted

    lines = [f"assert f({a!r}) is {w!r}" for a, w in item["tests"]]
    return run_untrusted(text, "\n".join(lines), timeout=5, entry="f").score
