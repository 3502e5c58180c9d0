"""Decoded text as trainers hand it over: special tokens and prompts are never graded, and values mean the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graders
from graders.adapters import RowFailed, openrlhf, tinker, trl, verl
from graders.adapters.decoded import SpecialTokens
from graders.errors import SampleParseError
from tests.specs import python, string_check

PROMPT = "Capital of France? "
#: What decoding with skip_special_tokens=False leaves (OpenRLHF#775; utils/agent.py of its 0.11.2).
TOKENS = ["<s>", "</s>", "<pad>", "<|im_end|>", "<|im_start|>"]

QUERIES = [
    # query, prompt, the answer; None where it is not known
    pytest.param(f"{PROMPT}Paris", PROMPT, "Paris", id="no tokens"),
    pytest.param(f"{PROMPT}Paris<|im_end|>", PROMPT, "Paris", id="A1: an end token"),
    pytest.param(f"{PROMPT}Paris<|im_end|>\n", PROMPT, "Paris", id="an end token and a line end"),
    pytest.param(f"{PROMPT}Paris</s><pad><pad>", PROMPT, "Paris", id="A1: an end token and padding"),
    pytest.param(f"<s>{PROMPT}Paris", PROMPT, "Paris", id="A1: a begin token that the prompt lacks"),
    pytest.param(f"<pad><pad><s>{PROMPT}Paris</s>", f"<s>{PROMPT}", "Paris", id="padding on the left"),
    pytest.param(
        "<|im_start|>user\nx<|im_end|>\ny<|im_end|>", "<|im_start|>user\nx<|im_end|>\n", "y", id="a template"
    ),
    pytest.param(f"{PROMPT}a </s> b", PROMPT, "a </s> b", id="a token within stays"),
    pytest.param(f"{PROMPT}Paris ", PROMPT, "Paris ", id="blanks stay"),
    pytest.param("What is 2+2? (4 or 5) I do not know", PROMPT, None, id="A1: another prompt"),
    pytest.param("user x Paris", "<|im_start|>user x", " Paris", id="a begin token that the query lacks"),
]


@pytest.mark.parametrize(("query", "prompt", "answer"), QUERIES)
@pytest.mark.parametrize(
    "given", [TOKENS, SimpleNamespace(all_special_tokens=TOKENS)], ids=["texts", "tokenizer"]
)
def test_an_answer_without_prompt_and_tokens(query: str, prompt: str, answer: str | None, given: Any) -> None:
    """Named tokens are taken off; a prompt that does not match is an error and never graded."""
    special = SpecialTokens(given)

    if answer is None:
        with pytest.raises(SampleParseError, match="does not begin with its prompt"):
            special.answer(query, prompt)
    else:
        assert special.answer(query, prompt) == answer


LOOKALIKES = ["<|im_end|>", "</s>", "<pad><pad>", "<end_of_turn>\n", "<｜end▁of▁sentence｜>", "<|eot_id|>"]


@pytest.mark.parametrize("end", LOOKALIKES)
def test_unknown_special_tokens_are_refused(end: str) -> None:
    """A text that ends in what looks like a special token is not graded, until it is said that it has none."""
    with pytest.raises(SampleParseError, match="special_tokens="):
        SpecialTokens().answer(f"Paris{end}")
    assert SpecialTokens(()).answer(f"Paris{end}") == f"Paris{end}"
    assert SpecialTokens().answer("1 < 2 and <b>bold</b>") == "1 < 2 and <b>bold</b>"


def test_openrlhf_grades_the_answer() -> None:
    """The rows of A1 through the server: right answers get 1, a prompt that does not match fails the request."""
    from starlette.testclient import TestClient

    spec = string_check(operation="eq", reference="{{item.label}}")
    named = TestClient(openrlhf.app(spec, special_tokens=TOKENS))
    queries = [param.values[0] for param in QUERIES[:5]]
    body = {"query": queries, "prompts": [PROMPT] * 5, "labels": ["Paris"] * 5}

    assert named.post("/get_reward", json=body).json()["rewards"] == [1.0] * 5
    for query, prompts in ((f"{PROMPT}Paris<|im_end|>", [PROMPT]), (f"<s>{PROMPT}Paris", [PROMPT])):
        bare = TestClient(openrlhf.app(spec))
        answer = bare.post("/", json={"query": [query], "prompts": prompts, "labels": ["Paris"]})
        assert answer.status_code == 422
        assert "special_tokens=" in answer.json()["error"]
    assert named.post("/", json={"query": queries}).status_code == 400


def test_an_answer_is_not_found_in_its_prompt() -> None:
    """A1: `like` over prompt and answer gave 1.0 for 'I do not know'."""
    reward = verl.compute_score_of(string_check(operation="like", reference="{{item.ground_truth}}"))

    with pytest.raises(RowFailed, match="looks like a special token"):
        reward("d", "I do not know<|im_end|>", "4")


def test_verl_and_tinker_take_tokens_off() -> None:
    """The same argument, by the same rules."""
    spec = string_check(reference="{{item.ground_truth}}")
    reward = verl.compute_score_of(spec, special_tokens=TOKENS)

    class Problem(tinker.GradedProblem):
        grader = graders.compile(spec)
        special = SpecialTokens(TOKENS)

        def grader_item(self) -> dict[str, Any]:
            return {"ground_truth": "Paris"}

    assert reward("d", "Paris<|im_end|>", "Paris")["score"] == 1.0
    assert Problem().check_answer("Paris</s>") == 1.0


VALUES = [
    # ground_truth, the reference that it means (verl#2320, verl#3374)
    pytest.param(np.int64(4), "{{item.ground_truth}}", id="a NumPy number"),
    pytest.param(np.array(["4", "5"]), "{{item.ground_truth[0]}}", id="an array"),
    pytest.param({"target": np.array([4])}, "{{item.ground_truth.target[0]}}", id="an array in a dict"),
]


@pytest.mark.parametrize(("truth", "reference"), VALUES)
def test_arrays_as_ground_truth(truth: Any, reference: str) -> None:
    """verl's Parquet columns hold arrays; they are graded, by templates and programs alike."""
    program = python("def grade(sample, item):\n    return float(item['extra'] == 3)\n")

    assert verl.compute_score_of(string_check(reference=reference))("d", "4", truth)["score"] == 1.0
    assert verl.compute_score_of(program)("d", "4", truth, {"extra": np.int64(3)})["score"] == 1.0


COLUMNS = [
    pytest.param(["4", "5"], id="a list"),
    pytest.param(("4", "5"), id="a tuple"),
    pytest.param(np.array([4, 5]), id="an array of numbers"),
    pytest.param(np.array(["4", "5"]), id="an array of texts"),
    pytest.param([np.int64(4), np.int64(5)], id="NumPy numbers"),
]


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_of_arrays(column: Any) -> None:
    """A8: TRL's columns may be arrays; they were left out, and every reward was None."""
    reward = trl.reward_func(string_check(reference="{{item.answer}}"))

    assert reward(["p", "p"], ["4", "4"], answer=column, trainer_state=object()) == [1.0, 0.0]
