"""Data as people have it: from the first try to a number in at most two commands, the second one told by the first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from graders.batch import read_results
from graders.cli import group
from tests.batch.support import write_spec
from tests.specs import string_check

ITEM = {"answer": "x"}
CHAT = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "x"}]

#: name -> (file, its text, what the first message has to say, which is what the second command adds; "" when it grades)
MISTAKES = {
    "completion, flat": ("d.jsonl", json.dumps({"completion": "x", **ITEM}), ""),
    "output with item": ("d.jsonl", json.dumps({"output": "x", "item": ITEM}), ""),
    "response": ("d.jsonl", json.dumps({"response": "x", **ITEM}), ""),
    "output_text": ("d.jsonl", json.dumps({"output_text": "x", **ITEM}), ""),
    "sample and top-level answer": ("d.jsonl", json.dumps({"sample": "x", **ITEM}), ""),
    "chat messages": ("d.jsonl", json.dumps({"messages": CHAT, **ITEM}), ""),
    "chat completion of a trainer": ("d.jsonl", json.dumps({"completion": CHAT[1:], **ITEM}), ""),
    "CSV": ("d.csv", "output,answer\nx,x\n", ""),
    "CSV with semicolons": ("d.csv", "output;answer\nx;x\n", ""),
    "TSV": ("d.tsv", "output\tanswer\nx\tx\n", ""),
    "array named .json": ("d.json", json.dumps([{"output": "x", **ITEM}]), ""),
    "array named .jsonl": ("d.jsonl", json.dumps([{"output": "x", **ITEM}]), ""),
    "one object over several lines": ("d.json", json.dumps({"output": "x", **ITEM}, indent=2), ""),
    "byte order mark, CRLF, empty lines": ("d.jsonl", "\ufeff\r\n" + json.dumps({"output": "x", **ITEM}) + "\r\n\r\n", ""),
    "prediction with item": ("d.jsonl", json.dumps({"prediction": "x", "item": ITEM}), "--sample-field prediction"),
    "pred, flat": ("d.csv", "pred,answer\nx,x\n", "--sample-field pred"),
    "model_output": ("d.jsonl", json.dumps({"model_output": "x", **ITEM}), "--sample-field model_output"),
    "generated_text": ("d.jsonl", json.dumps({"generated_text": "x", **ITEM}), "--sample-field generated_text"),
    "gold": ("d.jsonl", json.dumps({"output": "x", "gold": "x"}), "--map answer=gold"),
    "expected": ("d.csv", "output,expected\nx,x\n", "--map answer=expected"),
    "reference inside of the item": ("d.jsonl", json.dumps({"output": "x", "item": {"reference": "x"}}), "--map answer=reference"),
    "pred and gold": ("d.jsonl", json.dumps({"pred": "x", "gold": "x"}), "--sample-field pred --map answer=gold"),
    "a broken line": ("d.jsonl", json.dumps({"output": "x", **ITEM}) + '\n{"output": "x"\n', ""),
    "the same id twice": ("d.jsonl", (json.dumps({"id": 1, "output": "x", **ITEM}) + "\n") * 2, ""),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_at_most_two_steps_to_a_number(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, text, told = MISTAKES[mistake]
    write_spec(Path("spec.json"), string_check())
    Path(name).write_bytes(text.encode())

    arguments = ["batch", "spec.json", name, "-o", "r.jsonl", "--force"]
    done = CliRunner().invoke(group, arguments, standalone_mode=False)
    if told:
        assert told in f"{done.output} {done.exception}"
        CliRunner().invoke(group, [*arguments, *told.split()], standalone_mode=False)

    assert [row.reward for row in read_results("r.jsonl").rows if row.ok][:1] == [1.0]
