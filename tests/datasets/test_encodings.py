"""Datasets as editors, shells, spreadsheets and databases write them (A11)."""

from __future__ import annotations

import codecs
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.batch import grade_dataset, read_results
from graders.cli import group
from graders.datasets.read import open_data
from graders.datasets.rows import DataError, UnreadableRow
from tests.server.support import RUN, serving
from tests.specs import string_check

ROWS = [
    {"id": "a", "sample": "é", "item": {"answer": "é"}},
    {"id": "b", "sample": "x", "item": {"answer": "y"}},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
PRETTY = "".join(json.dumps(row, ensure_ascii=False, indent=2) + "\n" for row in ROWS)
ARRAY = json.dumps(ROWS, ensure_ascii=False, indent=1)
CSV = "id,sample,answer\na,é,é\nb,x,y\n"

FILES = [
    # name, bytes
    pytest.param("d.jsonl", codecs.BOM_UTF8 + LINES.encode(), id="lines with a byte order mark"),
    pytest.param("d.jsonl", LINES.encode("utf-16"), id="UTF-16, as PowerShell writes it"),
    pytest.param("d.jsonl", codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"), id="UTF-16, the other order"),
    pytest.param("d.jsonl", LINES.replace("\n", "\r\n").encode(), id="Windows line ends"),
    pytest.param("d.jsonl", LINES.replace("\n", "\r").encode(), id="carriage returns alone"),
    pytest.param("d.jsonl", ARRAY.encode(), id="an array under .jsonl"),
    pytest.param("d.jsonl", PRETTY.encode(), id="objects over several lines, as jq writes them"),
    pytest.param("d.json", codecs.BOM_UTF8 + ARRAY.encode(), id="an array with a byte order mark"),
    pytest.param("d.json", ARRAY.encode("utf-16"), id="an array in UTF-16"),
    pytest.param("d.json", PRETTY.encode(), id="objects over several lines under .json"),
    pytest.param("d.json", LINES.encode(), id="lines under .json"),
    pytest.param("d.csv", codecs.BOM_UTF8 + CSV.encode(), id="CSV with a byte order mark"),
    pytest.param("d.csv", CSV.encode("utf-16"), id="CSV in UTF-16"),
    pytest.param("d.csv", CSV.replace(",", ";").encode(), id="CSV with semicolons"),
    pytest.param("d.csv", CSV.replace(",", "\t").encode(), id="CSV with tabs"),
    pytest.param("d.csv", CSV.replace(",", "|").encode(), id="CSV with bars"),
    pytest.param("d.tsv", CSV.replace(",", "\t").encode(), id="TSV"),
]


@pytest.mark.parametrize(("name", "data"), FILES)
def test_every_encoding_gives_the_same_rows(tmp_path: Path, name: str, data: bytes) -> None:
    """Ids and rewards are those of the plain file."""
    (tmp_path / name).write_bytes(data)
    spec = string_check(reference="{{item.answer}}")

    grade_dataset(spec, str(tmp_path / name), str(tmp_path / "r"))

    assert {row.id: row.reward for row in read_results(tmp_path / "r").rows} == {"a": 1.0, "b": 0.0}


UNREADABLE = [
    pytest.param('{"id": "a", "sample": "x", "score": NaN}', "NaN is not JSON", id="NaN"),
    pytest.param('{"id": "a", "score": NaN, "sample": "x"}', "NaN is not JSON", id="NaN before the sample"),
    pytest.param('{"sample": "x", "id": "a", "text": "torn', "is not JSON", id="a torn line"),
    pytest.param('{"id": "a", "sample": "x"},', "a comma ends the line", id="a comma at the end"),
    pytest.param('{"id": "a", "sample": "x"} {"id": "b"}', "one object a line", id="two objects"),
]


@pytest.mark.parametrize(("line", "message"), UNREADABLE)
def test_a_row_that_cannot_be_read_keeps_its_id(tmp_path: Path, line: str, message: str) -> None:
    """Such a row fails under its own id, so that a later run pairs it, and the message says what to do."""
    (tmp_path / "d.jsonl").write_text(json.dumps({**ROWS[1], "id": "z"}) + "\n" + line + "\n")

    grade_dataset(string_check(), str(tmp_path / "d.jsonl"), str(tmp_path / "r"))
    failed = {row.id: row for row in read_results(tmp_path / "r").rows if not row.ok}

    assert list(failed) == ["a"]
    assert failed["a"].flags == ("sample_parse_error",)
    assert message in failed["a"].errors[0]


def test_a_record_of_another_length_keeps_its_id(tmp_path: Path) -> None:
    """A CSV record with fewer or more fields than the header keeps its named fields."""
    (tmp_path / "d.csv").write_text("id,sample,answer\na,x\n")
    (chunk,) = open_data(str(tmp_path / "d.csv")).chunks()
    (row,) = chunk.rows

    assert isinstance(row, UnreadableRow)
    assert row.fields["id"] == "a"


def test_a_zip_archive_is_refused(tmp_path: Path) -> None:
    """An archive was once read as text, and a junk row was graded."""
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("d.jsonl", LINES)

    with pytest.raises(DataError, match="ZIP archive; unpack it"):
        open_data(str(tmp_path / "d.zip"))


def test_a_value_that_no_grader_reads_fails_no_row(tmp_path: Path) -> None:
    """Rows from Python may hold what has no JSON form; the results leave it out and say so."""
    rows: list[dict[str, Any]] = [{"id": "a", "sample": "x", "item": {"answer": "x", "image": object()}}]

    grade_dataset(string_check(), rows, str(tmp_path / "r"))
    (row,) = read_results(tmp_path / "r").rows

    assert (row.reward, row.cut, row.item) == (1.0, True, {"answer": "x", "image": None})


ENCODINGS = [
    pytest.param(lambda text: codecs.BOM_UTF8 + text.encode(), id="UTF-8 with a byte order mark"),
    pytest.param(lambda text: text.encode("utf-16"), id="UTF-16"),
]


@pytest.mark.parametrize("encode", ENCODINGS)
def test_specs_samples_and_settings_in_any_encoding(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    """Specs, samples, items and graders.toml are read in the encodings that editors and PowerShell write."""
    files = {
        "spec.json": json.dumps(string_check()),
        "sample.json": json.dumps("é"),
        "item.json": json.dumps({"answer": "é"}, ensure_ascii=False),
        "graders.toml": "[templates]\nvalues = 'json'\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_bytes(encode(text))
    spec, sample, item, config = (str(tmp_path / name) for name in files)

    code = group.main(
        ["run", spec, "--sample", f"@{sample}", "--sample-json", "--item", f"@{item}", "--config", config],
        standalone_mode=False,
    )

    assert not code


def test_a_byte_order_mark_in_a_request() -> None:
    """A body that begins with a byte order mark is read as JSON."""
    body = (
        codecs.BOM_UTF8
        + json.dumps({"grader": string_check(), "model_sample": "x", "item": {"answer": "x"}}).encode()
    )
    with serving() as server:
        assert server.ask("POST", RUN, body, {"content-type": "application/json"}).json()["reward"] == 1.0
