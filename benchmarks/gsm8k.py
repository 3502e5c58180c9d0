"""Real input: four models' solutions of 1,319 grade-school problems, graded through `grader batch` and held to the labels.

    python benchmarks/gsm8k.py FOLDER [--keep OUT]

FOLDER holds example_model_solutions.jsonl of openai/grade-school-math (Cobbe et al. 2021, MIT), which says of each
solution whether it is right. Three specs go over every model's solutions:

    number   python: what follows the last "A: " in solution and ground truth, compared as numbers
    exact    string_check: the solution ends with the ground truth's answer, letter by letter
    both     multi of the two

`number` has to agree with every label; `exact` with the same comparison in plain Python; `both` with the two runs
before it. --keep leaves datasets (with the labels), specs and results in OUT, for `grader report` and `grader compare`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: model -> how many of its solutions are right, by the labels.
RIGHT = {"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}
PROBLEMS = 1319

NUMBER = """
def answer(text):
    return float(text.rpartition("A: ")[2].replace(",", "").replace("$", ""))


def grade(sample, item):
    try:
        got = answer(sample["output_text"])
    except ValueError:  # no number where the answer should be: a wrong answer, not a failure
        return 0.0
    return float(got == answer(item["ground_truth"]))
"""

# The mark stands for the end of the text, which string_check has no word for.
EXACT = {
    "type": "string_check",
    "name": "exact",
    "operation": "like",
    "input": "{{ sample.output_text }}<end>",
    "reference": "A: {{ item.answer }}<end>",
}
PYTHON = {"type": "python", "name": "number", "source": NUMBER}
SPECS: dict[str, dict[str, Any]] = {
    "number": PYTHON,
    "exact": EXACT,
    "both": {
        "type": "multi",
        "name": "both",
        "graders": {"number": PYTHON, "exact": EXACT},
        "calculate_output": "0.75 * number + 0.25 * exact",
    },
}


def datasets(folder: Path, out: Path) -> dict[str, Path]:
    """One file of rows a model: id, item, sample, and the label beside them."""
    lines = (folder / "example_model_solutions.jsonl").read_text(encoding="utf-8").splitlines()
    problems = [json.loads(line) for line in lines]
    files = {}
    for model in RIGHT:
        rows = [
            {
                "id": f"problem-{number:04}",
                "item": {
                    "question": problem["question"],
                    "ground_truth": problem["ground_truth"],
                    "answer": problem["ground_truth"].rpartition("A: ")[2],
                },
                "sample": problem[model]["solution"],
                "right": problem[model]["is_correct"],
            }
            for number, problem in enumerate(problems, 1)
        ]
        files[model] = out / f"{model}.jsonl"
        files[model].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return files


def graded(spec: Path, data: Path, results: Path) -> tuple[dict[str, dict[str, Any]], float]:
    """The results of `grader batch` by id, and how long the command took, in seconds."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "graders.cli", "batch", spec, data, "-o", results, "--force", "--quiet"]
    subprocess.run([str(part) for part in command], check=True)
    seconds = time.perf_counter() - started
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()[1:]]
    return {row["id"]: row for row in rows}, seconds


def check(model: str, runs: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """The figures that differ from the expected ones."""
    wrong = []
    for name, rows in runs.items():
        if len(rows) != PROBLEMS or not all(row["ok"] for row in rows.values()):
            wrong.append(f"{model}, {name}: {len(rows)} rows, not all of them graded")
    if wrong:
        return wrong
    number, exact, both = runs["number"], runs["exact"], runs["both"]
    for row_id, row in number.items():
        data = row["row"]
        if bool(row["reward"]) != data["right"]:
            wrong.append(f"{model}, {row_id}: number gives {row['reward']}, the label is {data['right']}")
        ends = data["sample"].endswith(f"A: {data['item']['answer']}")
        if bool(exact[row_id]["reward"]) != ends:
            wrong.append(f"{model}, {row_id}: exact gives {exact[row_id]['reward']}, plain Python {ends}")
        subs = {"number": row["reward"], "exact": exact[row_id]["reward"]}
        total = 0.75 * subs["number"] + 0.25 * subs["exact"]
        if both[row_id]["sub_rewards"] != subs or both[row_id]["reward"] != total:
            wrong.append(
                f"{model}, {row_id}: both gives {both[row_id]['sub_rewards']}, alone they give {subs}"
            )
    right = sum(row["reward"] for row in number.values())
    if right != RIGHT[model]:
        wrong.append(f"{model}: {right:g} right, expected {RIGHT[model]}")
    return wrong


def main() -> int:
    """Print a table; exit status 1 if a figure differs from the expected one."""
    parser = argparse.ArgumentParser(description="Grade GSM8K solutions and hold the rewards to the labels.")
    parser.add_argument("folder", type=Path, help="where example_model_solutions.jsonl is")
    parser.add_argument("--keep", type=Path, metavar="OUT", help="leave datasets, specs and results here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.keep or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        for name, spec in SPECS.items():
            (out / f"{name}.grader.json").write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")
        wrong: list[str] = []
        print("sums of rewards, and rows/s of the whole command for number, exact, both")
        print(f"{'model':<20}{'number':>8}{'exact':>8}{'both':>10}   rows/s")
        for model, data in datasets(arguments.folder, out).items():
            runs, speeds = {}, []
            for name in SPECS:
                runs[name], seconds = graded(
                    out / f"{name}.grader.json", data, out / f"{model}-{name}.results.jsonl"
                )
                speeds.append(f"{PROBLEMS / seconds:,.0f}")
            wrong += check(model, runs)
            sums = {name: sum(row["reward"] or 0.0 for row in rows.values()) for name, rows in runs.items()}
            print(
                f"{model:<20}{sums['number']:>8g}{sums['exact']:>8g}{sums['both']:>10.2f}   {', '.join(speeds)}"
            )
    for line in wrong[:20]:
        print(f"WRONG  {line}")
    print(f"{len(RIGHT) * PROBLEMS} labels, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
