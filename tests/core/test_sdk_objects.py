"""Grader objects of the official SDKs, as they are and as they serialise: null for an absent field is absence (F12)."""

from __future__ import annotations

from typing import Any

import pytest

import graders
from tests.specs import multi, string_check

MESSAGE = {"role": "user", "content": "Grade {{sample.output_text}}"}
NULLS = {"pass_threshold": None, "name": "g"}
#: With every optional field null, as .NET, Java and `model_dump()` write them; and the same without.
SPECS = [
    pytest.param(
        {"type": "score_model", "model": "o3", "input": [{**MESSAGE, "type": None, "name": None}], "range": None,
         "sampling_params": None, **NULLS},
        {"type": "score_model", "model": "o3", "input": [MESSAGE], "name": "g"}, id="score_model",
    ),
    pytest.param(
        {"type": "score_model", "model": "o3", "input": [MESSAGE], "sampling_params": {
            "max_completions_tokens": None, "reasoning_effort": None, "seed": None, "temperature": 0.0, "top_p": None}, **NULLS},
        {"type": "score_model", "model": "o3", "input": [MESSAGE], "sampling_params": {"temperature": 0.0}, "name": "g"},
        id="sampling_params",
    ),
    pytest.param(
        {"type": "label_model", "model": "o3", "input": [{**MESSAGE, "type": None}], "labels": ["a", "b"],
         "passing_labels": ["a"], "sampling_params": None, **NULLS},
        {"type": "label_model", "model": "o3", "input": [MESSAGE], "labels": ["a", "b"], "passing_labels": ["a"], "name": "g"},
        id="label_model",
    ),
    pytest.param(
        {"type": "python", "source": "def grade(sample, item):\n    return 1.0\n", "image_tag": None, **NULLS},
        {"type": "python", "source": "def grade(sample, item):\n    return 1.0\n", "name": "g"}, id="python",
    ),
    pytest.param({**string_check(), **NULLS, "name": None}, {k: v for k, v in string_check().items() if k != "name"},
                 id="no name"),
    pytest.param({**multi("a", {"a": {**string_check(), "pass_threshold": None}}), "invalid_grade": None},
                 multi("a", {"a": string_check()}), id="multi"),
]  # fmt: skip


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("given", "bare"), SPECS)
def test_null_is_absence(given: dict[str, Any], bare: dict[str, Any], strict: bool) -> None:
    """The same grader with and without its nulls, strict or not."""
    found = without_nulls(graders.validate(given, strict=strict))
    wanted = without_nulls(graders.validate(bare, strict=strict))
    if "name" not in bare:
        found.pop("name"), wanted.pop("name")

    assert found == wanted


@pytest.mark.parametrize("how", ["object", "model_dump", "exclude_none", "to_dict"])
def test_openai_pythons_score_model_is_accepted(how: str) -> None:
    """The type that was refused: `model_dump()` fills a message's type with null."""
    grader_models = pytest.importorskip("openai.types.graders")
    grader = grader_models.ScoreModelGrader(type="score_model", name="g", model="o3", input=[MESSAGE])
    forms = {
        "object": lambda: grader,
        "model_dump": grader.model_dump,
        "exclude_none": lambda: grader.model_dump(exclude_none=True),
        "to_dict": grader.to_dict,
    }

    assert graders.validate(forms[how]())["model"] == "o3"
