"""What a metric costs beside its reference library, in the same run.

    python benchmarks/metrics.py [--metric rouge_l] [--repeats 5]

Three kinds of pairs, of about 8, 30 and 300 words. The reference library and ours score the same pairs in turns; a
figure is processor time, all threads together, the best of the repeats: noise only adds, and ratios are what counts. References all differ, but in the
column "same ref.": there 16 hypotheses share each reference, as the samples of an RL group do. Words have been seen
before; texts have not: our metrics are bound anew for every repeat, sacrebleu's cache of whole texts is emptied.
Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import graders
from graders.metrics import METRICS, Metric, bind
from tests.metrics import corpus
from tests.metrics.pairs import Pair, prose

# words -> pairs: few, so that some repeat is left alone by others
SIZES = {8: 320, 30: 160, 300: 16}
GROUP = 16
#: (metric, with [speed]) -> how many times faster than the reference it has to be, at 8, 30 and 300 words.
GOALS = {
    ("rouge_l", False): (7, 20, 150),
    ("rouge_l", True): (10, 35, 400),
    ("rouge_1", False): (4, 4, 4),
    ("rouge_1", True): (10, 10, 10),
    ("bleu", True): (4, 4, 4),
    ("bleu", False): (4, 4, 4),
    ("gleu", True): (2.3, 2.3, 2.3),
    ("gleu", False): (2.3, 2.3, 2.3),
    ("meteor", True): (9, 9, 9),
}
SAME_REFERENCE = {"bleu": 6}
BATCH_ROWS = 10_000
BATCH_GOAL = {"fuzzy_match rewards": 1.5, "string_check results": 2.0}


def bound(name: str, speed: bool) -> Metric:
    """The metric, with or without rouge-score-rs."""
    if speed:
        return bind(name)
    kept = sys.modules.get("rouge_score_rs")
    sys.modules["rouge_score_rs"] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        return bind(name)
    finally:
        if kept is None:
            del sys.modules["rouge_score_rs"]
        else:
            sys.modules["rouge_score_rs"] = kept


def micros(work: Callable[[], object], count: int) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / count * 1e6


def one_by_one(metric: Metric, pairs: Sequence[Pair]) -> Callable[[], object]:
    score = metric.score

    def work() -> None:
        for hypothesis, reference in pairs:
            score(hypothesis, reference)

    return work


def batch(metric: Metric, pairs: Sequence[Pair]) -> Callable[[], object]:
    hypotheses, references = map(list, zip(*pairs, strict=True))
    return lambda: metric.scores(hypotheses, references)


def empty_caches() -> None:
    from sacrebleu.tokenizers import tokenizer_13a, tokenizer_re

    for tokenizer in (tokenizer_13a.Tokenizer13a, tokenizer_re.TokenizerRegexp):
        tokenizer.__call__.cache_clear()


def table(name: str, repeats: int) -> list[str]:
    """Print a metric's lines; the goals it misses."""
    missed = []
    plain = bind(name, implementation="reference")
    ways = [True, False] if "rouge-score-rs" in bind(name).provenance["implementation"] else [True]
    for at, (words, count) in enumerate(SIZES.items()):
        pairs = prose(count, words)
        grouped = [(pairs[n][0], pairs[n - n % GROUP][1]) for n in range(count)]
        times: dict[str, float] = {}

        def note(
            key: str, work: Callable[[], object], times: dict[str, float] = times, count: int = count
        ) -> None:
            times[key] = min(times.get(key, float("inf")), micros(work, count))

        for _ in range(repeats):
            gc.collect()
            empty_caches()
            note("reference", one_by_one(plain, pairs))
            for speed in ways:
                note(f"ours {speed}", one_by_one(bound(name, speed), pairs))
                note(f"batch {speed}", batch(bound(name, speed), pairs))
                note(f"same {speed}", one_by_one(bound(name, speed), grouped))
        for speed in ways:
            ratio, same = (
                times["reference"] / times[f"ours {speed}"],
                times["reference"] / times[f"same {speed}"],
            )
            goal = GOALS.get((name, speed), (0, 0, 0))[at]
            bad = [f"{name} at {words} words: {ratio:.1f}x (goal {goal}x)"] * (ratio < goal)
            if same < SAME_REFERENCE.get(name, 0):
                bad.append(
                    f"{name} at {words} words, same reference: {same:.1f}x (goal {SAME_REFERENCE[name]}x)"
                )
            missed += [f"{line} {'' if speed else 'without [speed]'}" for line in bad]
            way = {True: "", False: "without [speed]"}[speed]
            print(
                f"{name:12}{words:4} words  reference {times['reference']:9.2f} us   ours {times[f'ours {speed}']:7.2f}"
                f" ({ratio:6.1f}x)  same ref. {times[f'same {speed}']:7.2f} ({same:6.1f}x)  batch {times[f'batch {speed}']:7.2f}  {way}"
            )
    return missed


FIRST = """
import time; t = time.perf_counter()
from graders.metrics import bind
a = time.perf_counter()
metric = bind({name!r}, implementation={implementation!r})
b = time.perf_counter()
metric.score("the cats sat on the large mat", "a cat sat on the big mat")
c = time.perf_counter()
metric.score("the dogs sat on the large rug", "a dog sat on the big rug")
print(a - t, b - a, c - b)
"""


def first_use(name: str, implementation: str = "fast") -> None:
    """Import, bind and first score in a new process, in milliseconds: the best of three."""
    code = FIRST.format(name=name, implementation=implementation)
    runs = []
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        runs.append([float(part) * 1000 for part in run.stdout.split()])
    _, binding, first = min(runs, key=sum)
    print(f"{name:12} {implementation:10} import and bind {binding:7.1f} ms   first score {first:7.2f} ms")


def through_run_batch(repeats: int) -> list[str]:
    """A list of rewards by `Grader.rewards`, and out of `run_batch`'s results, beside the bare loop over the same rows."""
    from rapidfuzz import fuzz

    from graders.row import Row
    from graders.template import Template

    missed = []
    spec = {"input": "{{sample.output_text}}", "reference": "{{item.answer}}"}
    fuzzy = graders.compile({"type": "text_similarity", "evaluation_metric": "fuzzy_match", **spec})
    check = graders.compile({"type": "string_check", "operation": "eq", **spec})
    left, right = (Template(check.spec.to_json()[side]) for side in ("input", "reference"))
    for words in SIZES:
        count = BATCH_ROWS if words < 300 else 1000
        rows: list[dict[str, Any]] = [
            {"id": f"{n}", "sample": got, "item": {"answer": want}}
            for n, (got, want) in enumerate(prose(count, words))
        ]

        def bare_fuzzy(rows: list[dict[str, Any]] = rows) -> list[float]:
            return [fuzz.ratio(row["sample"], row["item"]["answer"]) / 100 for row in rows]

        def bare_check(rows: list[dict[str, Any]] = rows) -> None:
            for fields in rows:
                row = Row(fields["sample"], fields["item"])
                left.render(row) == right.render(row)  # noqa: B015  # what is timed

        def bare_compare(rows: list[dict[str, Any]] = rows) -> None:
            for row in rows:
                row["sample"] == row["item"]["answer"]  # noqa: B015  # what is timed

        def results_of(grader: graders.Grader, rows: list[dict[str, Any]] = rows) -> Callable[[], object]:
            return lambda: [result.reward for result in grader.run_batch(rows)]

        def rewards_of(grader: graders.Grader, rows: list[dict[str, Any]] = rows) -> Callable[[], object]:
            return lambda: grader.rewards(rows)

        works: dict[str, Callable[[], object]] = {
            "fuzzy_match bare": bare_fuzzy,
            "fuzzy_match rewards": rewards_of(fuzzy),
            "fuzzy_match results": results_of(fuzzy),
            "string_check bare": bare_check,
            "string_check rewards": rewards_of(check),
            "string_check results": results_of(check),
            "compare": bare_compare,
        }
        times = dict.fromkeys(works, float("inf"))
        for _ in range(repeats):
            for key, work in works.items():
                gc.collect()
                times[key] = min(times[key], micros(work, count))
        for name in ("fuzzy_match", "string_check"):
            bare = times[f"{name} bare"]
            print(f"{name:13}{words:4} words  bare loop {bare:6.3f} us", end="")
            for way in ("rewards", "results"):
                ratio, goal = times[f"{name} {way}"] / bare, BATCH_GOAL.get(f"{name} {way}")
                print(f"   {way} {times[f'{name} {way}']:6.3f} us ({ratio:.2f}x)", end="")
                if goal and ratio > goal:
                    missed.append(f"{way} of {name} at {words} words: {ratio:.2f}x (goal {goal}x)")
            print()
        print(f"{'':10}(bare == without templates or rows: {times['compare']:.3f} us)")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--metric", action="append", choices=list(METRICS), help="only this one; may be repeated"
    )
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    names = arguments.metric or list(METRICS)
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if corpus.installed():
            corpus.use_corpus(Path(folder))
        elif "meteor" in names:
            print(f"meteor is left out. {corpus.MISSING}")
            names.remove("meteor")
        for name in names:
            missed += table(name, arguments.repeats)
        print()
        for name in names:
            first_use(name)
            if name in ("bleu", "gleu", "rouge_l"):
                first_use(name, "reference")
        print()
        if not arguments.metric:
            missed += through_run_batch(arguments.repeats)
    for line in missed:
        print(f"MISSED  {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
