"""Training rows: each fault is found with its code, message and severity, and good rows are written for the trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graders.cli import main
from graders.training_files.check import check_job
from graders.training_files.rows import METHODS
from graders.training_files.tokens import BaseTokens

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
OTHER = {"role": "assistant", "content": "b"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "tool_calls": [CALL]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "1"}


def chat(*messages: Any, **keys: Any) -> dict[str, Any]:
    return {"messages": list(messages), **keys}


def pair(**changed: Any) -> dict[str, Any]:
    return {"input": chat(USER), "preferred_output": [ANSWER], "non_preferred_output": [OTHER], **changed}


def without(key: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


#: method, row, (code, message index) of each fault
FAULTS: list[tuple[str, dict[str, Any], list[tuple[str, int | None]]]] = [
    ("supervised", chat(USER, ANSWER), []),
    ("supervised", chat(USER, CALLS, RESULT, ANSWER, tools=[TOOL]), []),
    ("supervised", chat(USER, {**ANSWER, "content": [{"type": "text", "text": "a"}]}), []),
    ("supervised", {"prompt": "p", "completion": "c"}, []),
    ("supervised", {"prompt": "p", "completion": ""}, [("empty_answer", None)]),
    ("supervised", {"text": "t"}, [("missing_key", None), ("extra_key", None)]),
    ("supervised", chat(), [("invalid_messages", None)]),
    ("supervised", chat(USER, ANSWER, note=1), [("extra_key", None)]),
    ("supervised", chat("hello", ANSWER), [("invalid_messages", 0)]),
    # recorded of the service: "Example 100, message 2 Discriminator 'role' is missing in value"
    ("supervised", chat(USER, {"content": "x"}, ANSWER), [("missing_role", 1)]),
    ("supervised", chat({"role": "bot", "content": "x"}, ANSWER), [("invalid_role", 0)]),
    ("supervised", chat(USER, {"role": "assistant", "content": ""}), [("empty_answer", 1)]),
    ("supervised", chat({"role": "user"}, ANSWER), [("missing_content", 0)]),
    ("supervised", chat({"role": "user", "content": 3}, ANSWER), [("invalid_content", 0)]),
    (
        "supervised",
        chat({"role": "user", "content": [{"type": "image_url"}]}, ANSWER),
        [("unsupported_content", 0)],
    ),
    ("supervised", chat(ANSWER, USER), [("last_role", 1)]),
    ("supervised", chat(USER, {**ANSWER, "weight": 0.5}), [("invalid_weight", 1)]),
    ("supervised", chat({**USER, "weight": 1}, ANSWER), [("invalid_weight", 0)]),
    ("supervised", chat(USER, {**ANSWER, "weight": 0}), [("nothing_learned", None)]),
    ("supervised", chat(USER, RESULT, ANSWER), [("unmatched_tool_call", 1)]),
    ("supervised", chat(USER, {**CALLS, "tool_calls": [{}]}), [("invalid_tool_call", 1)]),
    ("supervised", chat(USER, CALLS, RESULT, ANSWER, tools=[{}]), [("invalid_tools", None)]),
    ("supervised", chat(USER, CALLS, RESULT, ANSWER, tools=[]), [("unknown_tool", 1)]),
    ("supervised", chat(USER, {**ANSWER, "mood": "good"}), [("unknown_message_key", 1)]),
    # recorded of the service: "message contains an invalid token: <|fim_suffix|>"
    ("supervised", chat(USER, {**ANSWER, "content": "a<|fim_suffix|>"}), [("invalid_token", 1)]),
    ("dpo", pair(), []),
    ("dpo", without("input", pair()), [("missing_key", None)]),
    ("dpo", pair(preferred_output=[ANSWER, OTHER]), [("invalid_side", None)]),
    ("dpo", pair(non_preferred_output=[ANSWER]), [("equal_sides", None)]),
    ("dpo", pair(input=chat({"role": "user"})), [("missing_content", 0)]),
    ("dpo", chat(USER, preferred={"content": "a"}, dispreferred={"content": "b"}), [("short_pair", None)]),
    ("reinforcement", chat(USER, answer="4"), []),
    ("reinforcement", chat(USER, ANSWER), [("last_role", 1)]),
    ("reinforcement", {"answer": "4"}, [("missing_key", None)]),
    ("reinforcement", chat(USER, tools=[TOOL]), [("unsupported_tools", None)]),
]


@pytest.mark.parametrize(("method", "row", "expected"), FAULTS)
def test_each_fault_has_its_code_and_place(method: str, row: dict[str, Any], expected: list[Any]) -> None:
    assert [(fault.code, fault.index) for fault in METHODS[method].faults(row)] == expected


WRITTEN = [
    ("supervised", chat({**USER, "content": [{"type": "text", "text": "q"}]}, ANSWER), chat(USER, ANSWER)),
    (
        "supervised",
        chat(USER, CALLS, RESULT, ANSWER, tools=[TOOL]),
        chat(USER, {**CALLS, "content": ""}, RESULT, ANSWER, tools=[TOOL]),
    ),
    ("dpo", pair(), {"prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]}),
    (
        "dpo",
        chat(USER, preferred={"content": "a"}, dispreferred={"content": "b"}),
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [OTHER]},
    ),
    ("reinforcement", chat(USER, answer="4"), {"prompt": [USER], "item": chat(USER, answer="4")}),
    ("reinforcement", chat(USER, item={"answer": "4"}), {"prompt": [USER], "item": {"answer": "4"}}),
]


@pytest.mark.parametrize(("method", "row", "expected"), WRITTEN)
def test_a_good_row_is_written_in_the_trainers_form(method: str, row: Any, expected: Any) -> None:
    assert METHODS[method].for_trainer(row) == expected


def lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def distinct(n: int, **changed: Any) -> list[dict[str, Any]]:
    return [chat({"role": "user", "content": f"q{i}"}, ANSWER) for i in range(n)]


FILES = [
    (distinct(10), [], {"type": "supervised"}, []),
    (distinct(7), [], {"type": "supervised"}, [("error", "invalid_n_examples")]),
    ([*distinct(10), distinct(1)[0]], [], {"type": "supervised"}, [("warning", "duplicate_row")]),
    (distinct(10), distinct(2), {"type": "supervised"}, [("warning", "rows_in_both_files")]),
    (distinct(10), [{"role": "x"}], {"type": "supervised"}, [("error", "missing_key"), ("error", "extra_key")]),
    (distinct(10), [], {"type": "dop"}, [("error", "invalid_value")]),
    (distinct(10), [], {"type": "supervised", "supervised": {"hyperparameters": {"beta": 1}}},
     [("error", "unknown_parameter")]),
    ([pair(input=chat({"role": "user", "content": f"q{i}"})) for i in range(10)], [],
     {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}, [("error", "invalid_value")]),
]  # fmt: skip


@pytest.mark.parametrize(("train", "valid", "method", "expected"), FILES)
def test_a_job_is_checked_with_its_files(
    train: Any, valid: Any, method: Any, expected: Any, tmp_path: Path
) -> None:
    paths = lines(tmp_path / "t.jsonl", train), lines(tmp_path / "v.jsonl", valid) if valid else None
    report = check_job({"model": "m", "training_file": "f", "method": method}, *paths)
    assert report is not None
    assert [(finding.severity, finding.code) for finding in report.findings] == expected


def test_a_reinforcement_job_is_checked_with_its_grader(tmp_path: Path) -> None:
    rows = [chat({"role": "user", "content": f"q{i}"}, answer="4") for i in range(10)]
    grader = {"type": "string_check", "name": "g", "operation": "eq", "input": "{{sample.output_text}}"}
    method = {"type": "reinforcement", "reinforcement": {"grader": {**grader, "reference": "{{item.wrong}}"}}}
    report = check_job({"model": "m", "method": method}, lines(tmp_path / "t.jsonl", rows), run=False)
    assert report is not None
    assert [finding.grader for finding in report.findings if finding.severity == "error"] == ["g"]


def test_the_command_names_line_message_and_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = distinct(10)
    rows[3]["messages"][1] = {"content": "x"}
    job = tmp_path / "job.json"
    job.write_text('{"model": "m", "training_file": "f"}')
    with pytest.raises(SystemExit) as ended:
        main(["check", str(job), lines(tmp_path / "t.jsonl", rows)])
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "Example 4, message 1: Discriminator 'role' is missing in value" in printed
    assert "[missing_role]" in printed


def base_model(path: Path) -> Path:
    """A folder with a tokenizer of whole words, one control token and a context of 8."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    path.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "config.json").write_text('{"max_position_embeddings": 8}')
    return path


LONG = {"role": "assistant", "content": "w " * 9}
OF_BASE = [
    ("supervised", chat(USER, ANSWER), []),
    ("supervised", chat(USER, {**ANSWER, "content": "a <end>"}), [("invalid_token", 1, "warning")]),
    ("supervised", chat(USER, LONG), [("row_too_long", None, "warning")]),
    ("supervised", {"prompt": "w " * 5, "completion": "w " * 5}, [("row_too_long", None, "warning")]),
    ("dpo", pair(preferred_output=[{**ANSWER, "content": "w " * 7}]), []),
    ("dpo", pair(preferred_output=[LONG]), [("row_too_long", None, "warning")]),
    ("reinforcement", chat({**USER, "content": "<end>"}), [("invalid_token", 0, "warning")]),
]


def test_rows_are_looked_at_with_the_base_models_tokenizer(tmp_path: Path) -> None:
    tokens = BaseTokens(base_model(tmp_path / "base"))
    for method, row, expected in OF_BASE:
        found = tokens.faults(METHODS[method].for_trainer(row))
        assert [(fault.code, fault.index, fault.severity) for fault in found] == expected


def test_a_base_model_that_is_not_there_is_not_asked(tmp_path: Path) -> None:
    assert list(BaseTokens(tmp_path / "nowhere").faults(chat(USER, LONG))) == []


def string_check(reference: str) -> dict[str, Any]:
    return {
        "type": "string_check",
        "name": "g",
        "operation": "eq",
        "input": "{{sample.output_text}}",
        "reference": reference,
    }


PROGRAM = {"type": "python", "name": "g", "source": "def grade(sample, item):\n    return 0.5"}
CONSTANT = [
    (string_check("{{item.answer}}"), []),
    # the reference's own example: its right answer stands in no row
    (string_check("expected_output"), ["constant_reward"]),
    (PROGRAM, ["constant_reward"]),
    ({**PROGRAM, "source": "def grade(sample, item):\n    return len(sample['output_text']) / 100"}, []),
]


@pytest.mark.parametrize(("grader", "expected"), CONSTANT)
def test_a_reward_that_no_answer_changes_is_found_before_the_job(
    grader: Any, expected: list[str], tmp_path: Path
) -> None:
    rows = [chat({"role": "user", "content": f"q{i}"}, answer=f"a{i}") for i in range(10)]
    method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
    report = check_job({"model": "m", "method": method}, lines(tmp_path / "t.jsonl", rows))
    assert report is not None
    assert [finding.code for finding in report.findings] == expected
