"""HumanEval through run_untrusted, as its README says: right solutions pass, and answers of nothing do not.

GRADERS_HUMAN_EVAL names HumanEval.jsonl (github.com/openai/human-eval, MIT); without it, problems made in its manner.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from graders_sandbox import Job, Sandbox

GRADER = """
from graders_sandbox import run_untrusted

def grade(sample, item):
    code, tests = item["prompt"] + sample["output_text"], {tests}
    return run_untrusted(code, tests, timeout=20, entry=item["entry_point"]).score
"""
#: A prompt that defines a helper, which the test calls, and one whose test calls the function by its name.
OWN = [
    {
        "task_id": "own/helper",
        "prompt": "def shifted(text: str) -> str:\n"
        '    """Each letter one further."""\n'
        "    return ''.join(chr((ord(c) - 97 + 1) % 26 + 97) for c in text)\n\n\n"
        'def unshifted(text: str) -> str:\n    """What shifted has made this text of."""\n',
        "canonical_solution": "    return ''.join(chr((ord(c) - 97 - 1) % 26 + 97) for c in text)\n",
        "test": "def check(candidate):\n    for text in ('abz', '', 'hello'):\n"
        "        assert candidate(shifted(text)) == text\n",
        "entry_point": "unshifted",
    },
    {
        "task_id": "own/by name",
        "prompt": 'def middle(numbers: list) -> list:\n    """Without the first and the last."""\n',
        "canonical_solution": "    return numbers[1:-1]\n",
        "test": "def check(candidate):\n    assert tuple(candidate([1, 2, 3])) == tuple(middle([0, 2, 0]))\n"
        "    assert middle([]) == []\n",
        "entry_point": "middle",
    },
]
#: Redefines the helper after the prompt, so that it agrees with an answer that is wrong.
FORGED = "    return text\n\ndef shifted(text):\n    return text\n"


def problems() -> list[dict[str, str]]:
    path = os.environ.get("GRADERS_HUMAN_EVAL")
    return [json.loads(line) for line in Path(path).read_text().splitlines()] if path else OWN


@pytest.mark.parametrize("tests", ["item['test']", "item['prompt'] + item['test']"])
def test_right_solutions_pass_and_empty_ones_do_not(tests: str) -> None:
    """Right solutions pass also if their tests call helpers of the prompt, with the prompt before the test or without."""
    rows = problems()
    grader = GRADER.format(tests=tests)
    with Sandbox() as sandbox:
        right = sandbox.run_many(Job(grader, {"output_text": row["canonical_solution"]}, row) for row in rows)
        assert [
            row["task_id"] for row, outcome in zip(rows, right, strict=True) if outcome.value != 1.0
        ] == []

        empty = sandbox.run_many(Job(grader, {"output_text": "    return None\n"}, row) for row in rows)
        assert [
            row["task_id"] for row, outcome in zip(rows, empty, strict=True) if outcome.value != 0.0
        ] == []


def test_a_prompt_before_the_test_keeps_its_helpers() -> None:
    """With the prompt before the test, the test calls the prompt's helpers and not the completion's."""
    with Sandbox() as sandbox:
        grader = GRADER.format(tests="item['prompt'] + item['test']")
        assert sandbox.run(grader, {"output_text": FORGED}, OWN[0]).value == 0.0
