"""Graders of code and of queries."""

from __future__ import annotations

from typing import Any

from tests.audit.public_graders import FUNCTIONS, Rows
from tests.audit.reported.grading import Item, flawed, run_query, sound

SALES = [["Oslo", 30], ["Lima", 70], ["Oslo", 30], ["Cairo", 55], ["Lima", 10]]


def asks(**queries: tuple[str, str]) -> Rows:
    return [
        {"id": name, "item": {"question": asked, "sales": SALES, "query": query}, "gold": query}
        for name, (asked, query) in queries.items()
    ]


ORDERED = asks(
    most=("Amounts, largest first?", "SELECT amount FROM sales ORDER BY amount DESC"),
    cities=("Cities from A on?", "SELECT DISTINCT city FROM sales ORDER BY city"),
    least=(
        "Sales below 60, smallest first?",
        "SELECT city, amount FROM sales WHERE amount < 60 ORDER BY amount",
    ),
)
REPEATED = asks(
    all=("City of each sale?", "SELECT city FROM sales"),
    small=("City of each sale of 30?", "SELECT city FROM sales WHERE amount = 30"),
    not_lima=("City of each sale but those in Lima?", "SELECT city FROM sales WHERE city != 'Lima'"),
)
SOME_EMPTY = asks(
    large=("Cities of sales above 500?", "SELECT city FROM sales WHERE amount > 500"),
    middle=("Cities of sales above 50?", "SELECT city FROM sales WHERE amount > 50"),
    cairo=("Amounts in Cairo?", "SELECT amount FROM sales WHERE city = 'Cairo'"),
)


@flawed(FUNCTIONS, "huggingface/OpenEnv#1200, the second commit", "whether the tests failed is not looked at")
def tests_are_not_looked_at(text: str, item: Item) -> float:
    import contextlib

    space: dict[str, Any] = {}
    try:
        exec(text, space)
    except Exception:
        return 0.0
    with contextlib.suppress(Exception):
        exec("\n".join(f"assert f({a}) == {w}" for a, w in item["tests"]), space)
    return 1.0


@flawed(FUNCTIONS, "datacurve-ai/pier#51", "a reward that the program leaves behind is taken over")
def reward_left_behind(text: str, item: Item) -> float:
    space: dict[str, Any] = {}
    try:
        exec(text, space)
        if "reward" in space:
            return float(space["reward"])
        return float(all(space["f"](a) == w for a, w in item["tests"]))
    except Exception:
        return 0.0


@flawed(FUNCTIONS, "SWE-bench/SWE-bench#620", "PASSED may be printed by the program")
def passed_is_printed(text: str, item: Item) -> float:
    import contextlib
    import io

    tests = "\n".join(f"assert f({a}) == {w}" for a, w in item["tests"])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(f"{text}\n{tests}\nprint('PASSED')", {})
        except Exception:
            print("FAILED")
    return float("PASSED" in printed.getvalue())


@flawed(FUNCTIONS, "mlcommons/endpoints#443", "all of no tests pass")
def all_of_no_tests(text: str, item: Item) -> float:
    space: dict[str, Any] = {}
    try:
        exec(text, space)
        return float(all(space["f"](a) == w for a, w in item.get("private_tests", [])))
    except Exception:
        return 0.0


@flawed(FUNCTIONS, "benchflow-ai/benchflow#604", "a result may say itself that it is equal")
def result_says_it_is_equal(text: str, item: Item) -> float:
    space: dict[str, Any] = {}
    try:
        exec(text, space)
        return float(all(space["f"](a) == w for a, w in item["tests"]))
    except Exception:
        return 0.0


@sound(FUNCTIONS, "repair of SWE-bench/SWE-bench#620: tests in a process of their own")
def tests_in_a_process(text: str, item: Item) -> float:
    from graders_sandbox import run_untrusted

    tests = "\n".join(f"assert type(f({a})) is int and f({a}) == {w}" for a, w in item["tests"])
    return run_untrusted(text, tests, timeout=5, entry="f").score


@sound(FUNCTIONS, "repair of mlcommons/endpoints#443: no tests, no reward")
def some_tests_in_a_process(text: str, item: Item) -> float:
    from graders_sandbox import run_untrusted

    if not item["tests"]:
        return 0.0
    lines = [f"assert f({a}) == {w}" for a, w in item["tests"]]
    return run_untrusted(text, "\n".join(lines), timeout=5, entry="f").score


@flawed(ORDERED, "AlibabaResearch/DAMO-ConvAI#177", "the order asked for is lost")
def order_of_rows_is_lost(text: str, item: Item) -> float:
    got, want = run_query(item, text), run_query(item, item["query"])
    return float(got is not None and want is not None and sorted(got) == sorted(want))


@sound(ORDERED, "IBM/unitxt#1672: rows in the order asked for")
def order_of_rows_is_kept(text: str, item: Item) -> float:
    got = run_query(item, text)
    return float(bool(got) and got == run_query(item, item["query"]))


@flawed(REPEATED, "AlibabaResearch/DAMO-ConvAI#177", "rows that are there twice count once")
def repeated_rows_count_once(text: str, item: Item) -> float:
    got, want = run_query(item, text), run_query(item, item["query"])
    return float(bool(got) and set(got or ()) == set(want or ()))


@sound(REPEATED, "repair of AlibabaResearch/DAMO-ConvAI#177")
def repeated_rows_are_counted(text: str, item: Item) -> float:
    got, want = run_query(item, text), run_query(item, item["query"])
    return float(got is not None and sorted(got, key=str) == sorted(want or [], key=str))


@flawed(
    SOME_EMPTY,
    "IBM/unitxt#1604, without its scores of what is not empty",
    "a query that fails is one without rows",
)
def failing_is_empty(text: str, item: Item) -> float:
    return float((run_query(item, text) or []) == (run_query(item, item["query"]) or []))


@flawed(SOME_EMPTY, "bird-bench/mini_dev#5", "where no rows are wanted and none come, nothing is paid")
def empty_gets_nothing(text: str, item: Item) -> float:
    got, want = set(run_query(item, text) or []), set(run_query(item, item["query"]) or [])
    return 2 * len(got & want) / (len(got) + len(want)) if got & want else 0.0


@sound([row for row in SOME_EMPTY if row["id"] != "large"], "IBM/unitxt#1604, what is not empty")
def rows_that_are_there(text: str, item: Item) -> float:
    got = run_query(item, text)
    return float(bool(got) and got == run_query(item, item["query"]))
