"""Data as people have it: from the first try to a number in at most two commands, the second one told by the first.

The rows are those of a study of what goes wrong on the first day, in its order. Rows without outputs are the one kind that
no command gives a number for: see `test_rows_without_outputs_have_no_number`.
"""

from __future__ import annotations

import gzip
import io
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from graders.batch import read_results
from graders.cli import group
from tests.batch.support import write_spec
from tests.specs import string_check

ITEM = {"answer": "x"}
CHAT = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "x"}]
ENCODING = "iconv -f latin1 -t utf-8 FILE |` before the command and - in the file's place"


class Case(NamedTuple):
    """A file, and what the first message has to say; "" when the file is graded at once.

    Attributes:
        options: What the second command adds.
        mended: The rows of the second command, where the message says that they have to be changed.
    """

    file: str
    data: bytes
    told: str = ""
    options: str = ""
    mended: bytes = b""


def lines(*rows: Mapping[str, Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def parquet(row: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), file)
    return file.getvalue()


def named(file: str, data: bytes, options: str) -> Case:
    """The first message has the options that the second command needs."""
    return Case(file, data, options, options)


CASES = {
    # the output under a usual name
    "completion": Case("d.jsonl", lines({"completion": "x", **ITEM})),
    "output with item": Case("d.jsonl", lines({"output": "x", "item": ITEM})),
    "response": Case("d.jsonl", lines({"response": "x", **ITEM})),
    "output_text": Case("d.jsonl", lines({"output_text": "x", **ITEM})),
    "sample and top-level answer": Case("d.jsonl", lines({"sample": "x", **ITEM})),
    "chat messages": Case("d.jsonl", lines({"messages": CHAT, **ITEM})),
    "chat completion of a trainer": Case("d.jsonl", lines({"completion": CHAT[1:], **ITEM})),
    # files
    "CSV": Case("d.csv", b"output,answer\nx,x\n"),
    "TSV": Case("d.tsv", b"output\tanswer\nx\tx\n"),
    "array named .json": Case("d.json", json.dumps([{"output": "x", **ITEM}]).encode()),
    "one object over several lines": Case("d.json", json.dumps({"output": "x", **ITEM}, indent=2).encode()),
    ".json.gz": Case("d.json.gz", gzip.compress(json.dumps([{"output": "x", **ITEM}]).encode())),
    ".jsonl.gz": Case("d.jsonl.gz", gzip.compress(lines({"output": "x", **ITEM}))),
    "byte order mark, CRLF, empty lines": Case("d.jsonl", b"\xef\xbb\xbf\r\n" + lines({"output": "x", **ITEM}) + b"\r\n\r\n"),
    "flat Parquet": Case("d.parquet", parquet({"output": "x", **ITEM})),
    "nested Parquet": Case("d.parquet", parquet({"output": "x", "item": ITEM})),
    # the output under another name
    "prediction with item": named("d.jsonl", lines({"prediction": "x", "item": ITEM}), "--sample-field prediction"),
    "pred, flat": named("d.csv", b"pred,answer\nx,x\n", "--sample-field pred"),
    "model_output": named("d.jsonl", lines({"model_output": "x", **ITEM}), "--sample-field model_output"),
    "generated_text": named("d.jsonl", lines({"generated_text": "x", **ITEM}), "--sample-field generated_text"),
    # the reference under another name
    "gold": named("d.jsonl", lines({"output": "x", "gold": "x"}), "--map answer=gold"),
    "expected": named("d.csv", b"output,expected\nx,x\n", "--map answer=expected"),
    "reference inside of the item": named("d.jsonl", lines({"output": "x", "item": {"reference": "x"}}), "--map answer=reference"),
    "pred and gold": named("d.jsonl", lines({"pred": "x", "gold": "x"}), "--sample-field pred --map answer=gold"),
    "spaces and capitals": named("d.csv", b"Prompt Text,Model Answer,Gold Label\n?,x,x\n", "--sample-field 'Model Answer' --map 'answer=Gold Label'"),
    # evals, and text that is not what its name says
    "the output inside of the item": named("d.jsonl", lines({"item": {**ITEM, "output": "x"}}), "--sample-field item.output"),
    "array named .jsonl": Case("d.jsonl", json.dumps([{"output": "x", **ITEM}]).encode()),
    "CSV with semicolons": Case("d.csv", b"output;answer\nx;x\n"),
    "UTF-16": Case("d.csv", "output,answer\nx,x\n".encode("utf-16")),
    "Latin-1 CSV": Case("d.csv", b"output,answer\n\xe9,\xe9\n", ENCODING, mended="output,answer\né,é\n".encode()),
    "Latin-1 JSONL": Case("d.jsonl", b'{"output": "\xe9", "answer": "\xe9"}\n', ENCODING, mended=lines({"output": "é", "answer": "é"})),
    # rows
    "a sample that is null": Case("d.jsonl", lines({"output": None, **ITEM}, {"output": "x", **ITEM})),
    "a sample that is a number": Case("d.jsonl", lines({"output": 4, "answer": "4"}), "put what the model wrote in quotes", mended=lines({"output": "4", "answer": "4"})),
    "an item in JSON text": Case("d.jsonl", lines({"output": "x", "item": json.dumps(ITEM)})),
    "a broken line": Case("d.jsonl", lines({"output": "x", **ITEM}) + b'{"output": "x"\n'),
    "rows of different keys": Case("d.jsonl", lines({"output": "x", **ITEM}, {"completion": "x", **ITEM})),
    "the same id twice": Case("d.jsonl", lines({"id": 1, "output": "x", **ITEM}) * 2),
}  # fmt: skip


def grader(*arguments: str) -> tuple[int, str]:
    """The exit code, and all that is said."""
    try:
        done = CliRunner().invoke(group, arguments, standalone_mode=False, catch_exceptions=False)
    except click.ClickException as error:
        return error.exit_code, error.format_message()
    return done.return_value, done.output


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a spec, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    write_spec(Path("spec.json"), string_check())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_at_most_two_steps_to_a_number(case: Case) -> None:
    Path(case.file).write_bytes(case.data)
    command = ["batch", "spec.json", case.file, "-o", "r.jsonl"]

    _, said = grader(*command)
    if case.told:
        assert case.told in said
        Path(case.file).write_bytes(case.mended or case.data)
        force = ["--force"] if "--force" in said else []
        grader(*command, *shlex.split(case.options), *force)

    assert [row.reward for row in read_results("r.jsonl").rows if row.ok][:1] == [1.0]


def test_the_advice_for_latin_1_works() -> None:
    """The message about Latin-1 advises a pipe before the same command, and that command works."""
    csv = b"output,answer\n\xe9,\xe9\n".decode("latin-1").encode()

    done = CliRunner().invoke(
        group, ["batch", "spec.json", "-", "--format", "csv", "-o", "r.jsonl"], input=csv
    )

    assert "1 scored" in done.output


def test_rows_without_outputs_have_no_number() -> None:
    """Rows of a fine-tuning file: nothing is graded, `check` looks at their items."""
    Path("d.jsonl").write_bytes(lines({"messages": CHAT[:1], **ITEM}))

    code, said = grader("batch", "spec.json", "d.jsonl")

    assert (code, "no field holds the model's output" in said) == (2, True)
    code, said = grader("check", "spec.json", "d.jsonl")
    assert (code, "fine  1 row without outputs" in said) == (0, True)


def spec_with(**fields: Any) -> bytes:
    return json.dumps({**string_check(), **fields}).encode()


#: name -> (arguments, files, what is said); the second command is the one without the mistake
COMMANDS = {
    "an option": ("batch spec.json d.jsonl --sample-feild output", {}, "'--sample-field'"),
    "a command": ("btach spec.json d.jsonl", {}, "Did you mean 'batch'?"),
    "a field": ("batch spec.json d.jsonl --item-field itm", {}, "Did you mean 'item'?"),
    "a file that is not there": ("batch spec.json none.jsonl", {}, "cannot read none.jsonl: No such file"),
    "a file without rows": ("batch spec.json empty.jsonl", {"empty.jsonl": b""}, "a row is a line such as"),
    "an operation": ("batch bad.json d.jsonl", {"bad.json": spec_with(operation="eqq")}, "Did you mean 'eq'?"),
    "a key": ("batch bad.json d.jsonl", {"bad.json": spec_with(refrence="x")}, "Did you mean 'reference'?"),
    "a namespace": ("batch bad.json d.jsonl", {"bad.json": spec_with(input="{{itm.x}}")}, "begins with 'item.'"),
    "data for a spec": ("batch d.jsonl spec.json", {"d.jsonl": lines(ITEM, ITEM)}, "d.jsonl:2:1: error: not JSON: Extra data. A spec is one object"),
    "no JSON": ("batch bad.json d.jsonl", {"bad.json": b'{"type":'}, "bad.json:1:9: error: not JSON"),
    "a name in a formula": (
        "batch bad.json d.jsonl",
        {"bad.json": json.dumps({"type": "multi", "graders": {"a": string_check()}, "calculate_output": "b"}).encode()},
        "unknown name 'b' at position 1; the graders are 'a'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("command", "files", "told"), COMMANDS.values(), ids=COMMANDS)
def test_a_mistaken_command_gets_a_suggestion(command: str, files: dict[str, bytes], told: str) -> None:
    for name, data in {"d.jsonl": lines({"output": "x", "item": ITEM}), **files}.items():
        Path(name).write_bytes(data)

    code, said = grader(*command.split())

    assert code in (1, 2)
    assert told in said
