"""Datasets in: every format gives the same rows, bad rows fail alone, fields and ids are found."""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import io
import json
import lzma
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.datasets import ids
from graders.datasets.ids import SMALL, IdAssigner, IdSet
from graders.datasets.read import open_data
from graders.datasets.rows import CHUNK_ROWS, Chunk, DataError, DataRow, UnreadableRow
from graders.fields import FieldError, FieldMap, detect_fields, item_of, sample_of

ROWS: list[dict[str, Any]] = [
    {"id": f"r{n}", "sample": f'line one\n"two" é {n}', "answer": "x, y"} for n in range(2500)
]


def rows_of(source: object, format: str | None = None) -> list[DataRow]:
    return [row for chunk in open_data(source, format).chunks() for row in chunk.rows]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def delimited(rows: list[dict[str, Any]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=700)
    return bytes(sink.getvalue())


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    # two frames, as `zstd a b` or an appending logger makes them
    half = len(data) // 2
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:half], data[half:]))


FORMATS: list[Any] = [
    # name, bytes of it
    ("rows.jsonl", jsonl),
    ("rows.txt", jsonl),
    ("rows.ndjson", jsonl),
    ("rows.jsonl.gz", lambda rows: gzip.compress(jsonl(rows[:99])) + gzip.compress(jsonl(rows[99:]))),
    ("rows.jsonl.zst", lambda rows: zstd(jsonl(rows))),
    ("rows.jsonl.bz2", lambda rows: bz2.compress(jsonl(rows))),
    ("rows.jsonl.xz", lambda rows: lzma.compress(jsonl(rows))),
    ("gzip under another name.jsonl", lambda rows: gzip.compress(jsonl(rows))),
    ("windows.jsonl", lambda rows: b"\xef\xbb\xbf" + jsonl(rows).replace(b"\n", b"\r\n")),
    ("no last line end.jsonl", lambda rows: jsonl(rows)[:-1]),
    ("blank lines.jsonl", lambda rows: b"\n  \n" + jsonl(rows).replace(b"\n", b"\n\n")),
    ("rows.json", lambda rows: json.dumps(rows, indent=1).encode()),
    ("export.json", lambda rows: json.dumps({"object": "list", "data": rows, "has_more": False}).encode()),
    ("lines.json", jsonl),
    ("rows.csv", lambda rows: delimited(rows, ",")),
    ("rows.csv.gz", lambda rows: gzip.compress(delimited(rows, ","))),
    ("rows.tsv", lambda rows: b"\xef\xbb\xbf" + delimited(rows, "\t") + b"\r\n\r\n"),
    ("rows.parquet", parquet),
    ("parquet under another name", parquet),
]


@pytest.mark.parametrize(("name", "write"), [pytest.param(*row, id=row[0]) for row in FORMATS])
def test_every_format_gives_the_same_rows(
    name: str, write: Callable[[list[dict[str, Any]]], bytes], tmp_path: Path
) -> None:
    """Rows are read whole, in order, and in chunks of bounded size."""
    path = tmp_path / name
    path.write_bytes(write(ROWS))

    chunks = list(open_data(str(path)).chunks())

    assert [row for chunk in chunks for row in chunk.rows] == ROWS
    assert all(len(chunk.rows) == len(chunk.numbers) for chunk in chunks)
    assert all(chunk.raw is None or len(chunk.raw) == len(chunk.rows) for chunk in chunks)


def test_standard_input(tmp_path: Path) -> None:
    """`-` is standard input, compressed or not."""
    script = "from graders.datasets.read import open_data; print(sum(len(c.rows) for c in open_data('-').chunks()))"

    for data in (jsonl(ROWS), gzip.compress(jsonl(ROWS))):
        out = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
        assert out.stdout == b"2500\n"


class Columns:
    """What a Hugging Face dataset looks like to us: column_names and iter(batch_size) of columns."""

    column_names = ("id", "sample", "answer")

    def __len__(self) -> int:
        return len(ROWS)

    def iter(self, batch_size: int) -> Iterator[dict[str, list[Any]]]:
        for start in range(0, len(ROWS), batch_size):
            some = ROWS[start : start + batch_size]
            yield {name: [row[name] for row in some] for name in self.column_names}


def arrow_table() -> Any:
    pa = pytest.importorskip("pyarrow")
    return pa.Table.from_pylist(ROWS)


@pytest.mark.parametrize(
    ("make", "total"),
    [
        pytest.param(lambda: ROWS, 2500, id="list"),
        pytest.param(lambda: iter(ROWS), None, id="generator"),
        pytest.param(lambda: [MappingProxyType(row) for row in ROWS], 2500, id="mappings"),
        pytest.param(Columns, 2500, id="Hugging Face"),
        pytest.param(arrow_table, 2500, id="Arrow table"),
    ],
)
def test_every_iterable_gives_the_same_rows(make: Callable[[], Any], total: int | None) -> None:
    """Lists, generators and dataset objects are recognised by their methods, without importing their libraries."""
    data = open_data(make())

    assert data.total == total
    chunks = list(data.chunks())
    assert [row for chunk in chunks for row in chunk.rows] == ROWS
    assert max(len(chunk.rows) for chunk in chunks) <= CHUNK_ROWS


VALUES = [
    # what a row holds, what it is in JSON's terms
    (float("nan"), None),
    (datetime.date(2026, 11, 30), "2026-11-30"),
    (datetime.datetime(2026, 11, 30, 12), "2026-11-30T12:00:00"),
    (b"text", "text"),
    (b"\xff\x00", "/wA="),
    (np.float32(0.5), 0.5),
    (np.int64(7), 7),
    (np.array([[1, 2]]), [[1, 2]]),
    ((1, (2.5, None)), [1, [2.5, None]]),
    ({1: {"a": True}}, {"1": {"a": True}}),
]


@pytest.mark.parametrize(("value", "json_value"), VALUES)
def test_values_without_a_json_form(value: Any, json_value: Any) -> None:
    """Tables and programs hold what JSON lacks; rows come in JSON's terms."""
    assert rows_of([{"sample": value}]) == [{"sample": json_value}]


def test_arrow_values_without_a_json_form(tmp_path: Path) -> None:
    """Parquet holds dates, NaN and nested ones of them; rows come in JSON's terms, whatever else is beside them."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = [
        {"sample": "x", "n": 1, "list": ["a", None], "deep": {"a": [True]}},
        {
            "sample": "x",
            "date": datetime.date(2026, 11, 30),
            "score": float("nan"),
            "deep": {"b": [b"text", None]},
        },
    ]
    want = [columns[0], {"sample": "x", "date": "2026-11-30", "score": None, "deep": {"b": ["text", None]}}]

    for row, wanted in zip(columns, want, strict=True):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
        assert rows_of(str(tmp_path / "a.parquet")) == [wanted]
        assert rows_of(pa.Table.from_pylist([row])) == [wanted]


BAD_ROWS = [
    # name, content, the good row's place, what is said about the bad ones
    ("a.jsonl", b'{"a": 1}\nnot json\n{"a": 2}\n', 2, ["line 2 is not JSON"]),
    (
        "a.jsonl",
        b'[1]\n"text"\n{"a": 2}\n5\n',
        2,
        ["line 1 is a JSON list", "line 2 is a JSON str", "line 4"],
    ),
    ("a.jsonl", b'{"a": NaN}\n\n{"a": 2}\n', 1, ["line 1 is not JSON"]),
    ("a.jsonl", b'{"a": "\xff"}\n{"a": 2}\n{"a"', 1, ["line 1 is not JSON", "line 3 is not JSON"]),
    ("a.jsonl", b"[" * 100_000 + b'\n{"a": 2}\n', 1, ["line 1 is not JSON"]),
    ("a.json", b'[7, {"a": 2}, null]', 1, ["row 1 is a int; expected an object", "row 3 is a NoneType"]),
    ("a.csv", b'a\n1,2\n"2"\n', 1, ["record 1 has 2 fields; the header has 1"]),
    ("a.csv", b'a,b\n"1\n1",x\n"2\n2"\n3,y\n', 2, ["record 2 has 1 fields; the header has 2"]),
]


@pytest.mark.parametrize(("name", "content", "good", "messages"), BAD_ROWS)
def test_a_bad_row_fails_alone(
    name: str, content: bytes, good: int, messages: list[str], tmp_path: Path
) -> None:
    """A bad row is named by its line or record, and the rows around it are read."""
    path = tmp_path / name
    path.write_bytes(content)

    rows = rows_of(str(path))

    assert isinstance(rows[good], dict)
    bad = [row.message for row in rows if isinstance(row, UnreadableRow)]
    assert len(bad) == len(messages)
    assert all(found.startswith(wanted) for found, wanted in zip(bad, messages, strict=True))


CANNOT = [
    # name, content (None: no such file), what is said
    ("none.jsonl", None, "No such file"),
    ("cut.jsonl.gz", gzip.compress(jsonl(ROWS))[:5000], "breaks off"),
    ("not.parquet", b"PAR1 and nothing more", "is not a Parquet file"),
    ("a.csv", b"a,b\n\xff,1\n", "not CSV in UTF-8"),
    ("a.csv", b"a,a\n1,2\n", "names a field twice"),
    ("a.json", b'"text"', "is a JSON str; expected an array of objects"),
]


@pytest.mark.parametrize(("name", "content", "message"), CANNOT)
def test_a_source_that_cannot_be_read(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    """A DataError says which file and what is wrong with it."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=message) as caught:
        rows_of(str(path))
    assert name in str(caught.value)


def test_a_damaged_parquet_page(tmp_path: Path) -> None:
    """Rows before it are read, then a DataError says after which row it breaks off."""
    content = bytearray(parquet([{"sample": f"{n} {n * n}" * 9} for n in range(20_000)]))
    content[len(content) // 2 : len(content) // 2 + 2000] = b"\xee" * 2000
    path = tmp_path / "a.parquet"
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"a\.parquet breaks off after row \d+"):
        rows_of(str(path))


class Frame:
    columns = ("a",)

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        return [{"a": 1}]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"train": [], "test": []}, r"several splits one of them \('train', 'test'\)"),
        (Frame(), r"to_dict\('records'\)"),
        (7, "expected a path, or an iterable of mappings"),
    ],
)
def test_invalid_datasets_are_refused(source: object, message: str) -> None:
    """Other objects are refused with a message that says what to pass instead."""
    with pytest.raises(DataError, match=message):
        open_data(source)


ITEM = {"question": "2+2", "answer": "4"}
# as the hosted service lists a run's output items
OUTPUT_ITEM = {
    "object": "eval.run.output_item",
    "id": "outputitem_1",
    "status": "pass",
    "datasource_item_id": 5,
    "datasource_item": ITEM,
    "results": [{"name": "exact", "passed": True, "score": 1.0}],
    "sample": {
        "input": [{"role": "user", "content": "2+2"}],
        "output": [{"role": "assistant", "content": "4"}],
        "finish_reason": "stop",
        "model": "m",
    },
}
CONVERSATION = [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]
SHAPES: list[Any] = [
    # row, sample, item, id field
    ({"item": ITEM, "sample": "4"}, "4", ITEM, ""),
    ({"item": ITEM, "sample": {"output_text": "4"}}, {"output_text": "4"}, ITEM, ""),
    ({"item": {**ITEM, "id": 3}, "sample": "4"}, "4", {**ITEM, "id": 3}, "item.id"),
    ({"item": json.dumps(ITEM), "sample": "4"}, "4", ITEM, ""),
    ({"item": ITEM, "model_sample": "4", "custom_id": "c"}, "4", ITEM, "custom_id"),
    (OUTPUT_ITEM, OUTPUT_ITEM["sample"], ITEM, "id"),
    ({**OUTPUT_ITEM, "sample": None, "datasource_item": {"item": ITEM, "sample": "4"}}, "4", ITEM, "id"),
    ({"messages": CONVERSATION, "answer": "4"}, CONVERSATION, {"messages": CONVERSATION, "answer": "4"}, ""),
    (
        {"messages": CONVERSATION[:1], "answer": "4", "completion": "4"},
        "4",
        {"messages": CONVERSATION[:1], "answer": "4", "completion": "4"},
        "",
    ),
    ({"id": 1, "output_text": "4", **ITEM}, "4", {"id": 1, "output_text": "4", **ITEM}, "id"),
]


@pytest.mark.parametrize(("row", "sample", "item", "row_id"), SHAPES)
def test_hosted_shapes_are_understood(row: dict[str, Any], sample: Any, item: Any, row_id: str) -> None:
    """Sample, item and id are found without options in the service's own forms."""
    field_map = detect_fields(row)

    assert (sample_of(row, field_map), item_of(row, field_map), field_map.id) == (sample, item, row_id)


def test_named_fields() -> None:
    """A field is a key or a path; the item may be the whole row."""
    row = {"ground": {"truth": "5"}, "outputs": [{"text": "a"}, {"text": "b"}], "a.b": "dotted key", "uid": 9}

    field_map = detect_fields(row, sample="outputs[1].text", item="ground", row_id="uid")

    assert (sample_of(row, field_map), item_of(row, field_map)) == ("b", {"truth": "5"})
    assert sample_of(row, detect_fields(row, sample="a.b", item="")) == "dotted key"
    assert item_of(row, detect_fields(row, sample="a.b", item="")) is row


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "no field holds the model's output: the first row has text, answer"),
        ({"sample": "txt"}, r"no field 'txt'; it has text, answer\. .*'text'"),
        ({"sample": "text", "item": "itm"}, "--item-field: the first row has no field 'itm'"),
        ({"sample": "text", "row_id": "answer.id"}, "--id-field"),
    ],
)
def test_a_missing_field_lists_the_existing_ones(fields: dict[str, Any], message: str) -> None:
    """The message says what the row has, and how to name the field."""
    with pytest.raises(FieldError, match=message):
        detect_fields({"text": "a", "answer": "b"}, **fields)


# --- ids ------------------------------------------------------------------------------------------------------------


def named(rows: list[DataRow], sizes: int, field_map: FieldMap) -> list[str]:
    namer = IdAssigner(field_map)
    return [
        row_id
        for start in range(0, len(rows), sizes)
        for row_id in namer.names(Chunk(rows[start : start + sizes], None, range(sizes)))
    ]


@given(
    st.lists(st.sampled_from(["a", "a#2", "a#2#2", "b", "", 1, "1", 2.5, None, True]), max_size=30),
    st.integers(1, 7),
)
def test_ids_are_unique_and_do_not_depend_on_the_chunks(ids: list[Any], size: int) -> None:
    """Each row has an id of its own; its first holder keeps it as it is; cutting the data elsewhere changes nothing."""
    rows: list[DataRow] = [{"id": row_id, "sample": "s", "item": {"n": 1}} for row_id in ids]

    names = named(rows, size, FieldMap())

    assert names == named(rows, 100, FieldMap())
    assert len(set(names)) == len(rows)
    for text in ("b", "2.5"):
        wanted = [text, f"{text}#2", f"{text}#3"][: sum(str(row_id) == text for row_id in ids)]
        assert [name for name in names if name.partition("#")[0] == text][:3] == wanted


def test_ids_come_from_the_item_where_the_data_has_none() -> None:
    """Two models' outputs for the same items get the same ids; what comes again is counted; the order is no matter."""
    items = [{"q": n} for n in range(50)]
    one: list[DataRow] = [{"item": item, "sample": "first model"} for item in items]
    other: list[DataRow] = [{"sample": "second", "item": item} for item in reversed(items)]
    field_map = detect_fields({"item": {"q": 1}, "sample": "x"})

    names = named(one, 7, field_map)

    assert named(other, 9, field_map) == names[::-1]
    assert len(set(names)) == 50
    assert named(one + one, 7, field_map)[50:] == [f"{name}#2" for name in names]
    flat = detect_fields({"q": 1, "output": "x"})
    assert named([{"q": 1, "output": "x"}], 1, flat) == named([{"q": 1, "output": "y"}], 1, flat)


@given(
    st.lists(st.lists(st.integers(0, 200).map(str), max_size=12), max_size=30), st.sampled_from([3, SMALL])
)
def test_an_id_set_answers_as_a_set(chunks: list[list[str]], small: int) -> None:
    """An IdSet answers as a set does, with few texts and with a growing table of hashes."""
    seen, plain = IdSet(), set[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "SMALL", small)
        patch.setattr(ids, "TABLE_MIN", 8)
        for chunk in chunks:
            assert seen.contains(chunk) == [text in plain for text in chunk]
            added = seen.add_new(chunk)
            assert added == (len(set(chunk)) == len(chunk) and plain.isdisjoint(chunk))
            if added:
                plain.update(chunk)
    assert len(seen) == len(plain)


def test_an_id_set_takes_little_memory() -> None:
    """250,000 ids take at most 32 bytes each just after the table has grown, and are all found again."""
    seen = IdSet()
    for start in range(0, 250_000, 5000):
        assert seen.add_new([f"row-{n}" for n in range(start, start + 5000)])

    assert seen._table.nbytes <= 32 * len(seen)
    assert all(seen.contains([f"row-{n}" for n in range(0, 250_000, 997)]))
    assert not any(seen.contains([f"row-{n}" for n in range(250_000, 251_000)]))
    assert not seen.add_new(["new", "row-7"])
    assert seen.contains(["new"]) == [False]
