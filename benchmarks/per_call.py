"""What a compiled row costs, beside the bare operation it names, in the same run.

    python benchmarks/per_call.py

Times are the best of several interleaved repeats: noise only adds. Ratios are what counts.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import graders
from graders.row import Row
from graders.template import Template

ROWS = 20_000
REPEATS = 9

STRING_CHECK = {
    "type": "string_check",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
FUZZY = {
    "type": "text_similarity",
    "evaluation_metric": "fuzzy_match",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
MULTI = {
    "type": "multi",
    "graders": {"a": STRING_CHECK, "b": {**STRING_CHECK, "operation": "ilike"}},
    "calculate_output": "0.5 * a + 0.5 * b",
}


def best(functions: dict[str, Callable[[], object]], n: int) -> dict[str, float]:
    """Microseconds per row of each function, the best of interleaved repeats."""
    times = dict.fromkeys(functions, float("inf"))
    gc.disable()
    for _ in range(REPEATS):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name] = min(times[name], (time.perf_counter() - started) / n * 1e6)
        gc.collect()
    gc.enable()
    return times


def drain(results: Iterator[object]) -> None:
    for _ in results:
        pass


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    text = "the answer is 42"
    item = {"answer": text}
    check = graders.compile(STRING_CHECK)
    fuzzy = graders.compile(FUZZY)
    multi = graders.compile(MULTI)
    row = Row(text, item)
    rows: list[dict[str, Any]] = [{"sample": text, "item": item} for _ in range(ROWS)]
    left, right = (Template(check.spec.to_json()[side]) for side in ("input", "reference"))
    from rapidfuzz import fuzz

    def renders_and_compare() -> None:
        for _ in range(ROWS):
            left.render(row) == right.render(row)  # noqa: B015  # the comparison is what is timed

    def inside() -> None:
        grade = check.kind.grade
        for _ in range(ROWS):
            grade(row, ())

    def run() -> None:
        for _ in range(ROWS):
            check.run(text, item)

    def bare_rows() -> None:
        out = []
        for fields in rows:
            one = Row(fields["sample"], fields["item"])
            out.append(1.0 if left.render(one) == right.render(one) else 0.0)

    def bare_fuzzy() -> list[float]:
        return [fuzz.ratio(fields["sample"], fields["item"]["answer"]) / 100 for fields in rows]

    times = best(
        {
            "two renders and a compare": renders_and_compare,
            "kind.grade, string_check": inside,
            "Grader.run, string_check": run,
            "loop of rows, renders and compares": bare_rows,
            "run_batch, string_check": lambda: drain(check.run_batch(rows)),
            "loop of fuzz.ratio": bare_fuzzy,
            "run_batch, fuzzy_match": lambda: drain(fuzzy.run_batch(rows)),
            "rewards, fuzzy_match": lambda: fuzzy.rewards(rows),
            "run_batch, multi of two": lambda: drain(multi.run_batch(rows)),
        },
        ROWS,
    )
    for name, micros in times.items():
        print(f"{micros:8.3f} us  {name}")
    goals = [
        ("Grader.run of a string_check row", times["Grader.run, string_check"], "us", 10.0),
        ("kind.grade / two renders and a compare", times["kind.grade, string_check"] / times["two renders and a compare"], "x", 3.0),
        ("run_batch / loop of rows, renders and compares", times["run_batch, string_check"] / times["loop of rows, renders and compares"], "x", 2.0),
        ("list of rewards, fuzzy_match / list by a loop of fuzz.ratio", times["rewards, fuzzy_match"] / times["loop of fuzz.ratio"], "x", 1.5),
    ]  # fmt: skip
    missed = 0
    for name, value, unit, most in goals:
        verdict = "ok" if value <= most else "MISSED"
        missed += value > most
        print(f"{verdict:>6}  {name}: {value:.2f} {unit} (goal {most:g})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
