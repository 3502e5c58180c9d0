"""What the official clients are made to do, and what must come of it. Data only: clients get it as JSON."""

from __future__ import annotations

from typing import Any

from tests.specs import label_model, multi, python, score_model, string_check, text_similarity

ALL = {
    "a": string_check(),
    "b": text_similarity(),
    "c": python("def grade(sample, item):\n    return 0.5\n"),
    "d": score_model(),
    "e": label_model(),
}

#: name -> grader, sample, item, reward, flags, keys of sub_rewards
RESULTS: dict[str, tuple[dict[str, Any], str, dict[str, Any] | None, float, list[str], list[str]]] = {
    "string_check": (string_check(), "Paris", {"answer": "Paris"}, 1.0, [], []),
    "text_similarity": (text_similarity(), "Paris", {"answer": "Paris"}, 1.0, [], []),
    "python": (python("def grade(sample, item):\n    return item['n'] / 4\n"), "x", {"n": 3}, 0.75, [], []),
    "score_model": (score_model(), "x", {}, 0.25, [], []),
    "label_model": (label_model(), "x", {}, 1.0, [], []),
    "multi": (multi("a + b + c + d + e", ALL), "Paris", {"answer": "Paris"}, 3.75, [], list("abcde")),
    "no item": (string_check(reference="Paris"), "Paris", None, 1.0, [], []),
    "missing variable": (string_check(), "Paris", {}, 0.0, ["invalid_variable_error"], []),
    "raises": (python("def grade(sample, item):\n    raise ValueError('no')\n"), "x", {}, 0.0, ["python_grader_runtime_error"], []),
    "member fails": (
        multi("a + c", {"a": string_check(), "c": python("def grade(sample, item):\n    return None\n")}),
        "Paris", {"answer": "Paris"}, 1.0, ["python_grader_runtime_error"], ["a", "c"],
    ),
    "unicode": (string_check(), "Zoë 🎈 {{item.x}}", {"answer": "Zoë 🎈 {{item.x}}"}, 1.0, [], []),
}  # fmt: skip

#: name -> grader, status, code, param
ERRORS: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "bad value": (string_check(operation="contains"), 400, "invalid_value", "grader.operation"),
    "missing": ({"type": "string_check"}, 400, "missing_required_parameter", "grader.operation"),
    "one grader in a multi": (multi("a", string_check()), 400, "invalid_type", "grader.graders"),
    "formula": (multi("a +", {"a": string_check()}), 400, "invalid_formula", "grader.calculate_output"),
    "cosine": (text_similarity(evaluation_metric="cosine"), 400, "no_embedder", "grader.evaluation_metric"),
}


def script() -> dict[str, Any]:
    """What a client reads from standard input."""
    return {
        "results": {
            name: {"grader": grader, "model_sample": sample, **({} if item is None else {"item": item})}
            for name, (grader, sample, item, *_) in RESULTS.items()
        },
        "hanging": {
            "grader": python("import time\ndef grade(sample, item):\n    time.sleep(100)\n"),
            "model_sample": "x",
        },
        "errors": {name: grader for name, (grader, *_) in ERRORS.items()},
    }
