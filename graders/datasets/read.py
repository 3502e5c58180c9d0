"""Datasets in: JSONL (plain, gzip, zstd ..., standard input), JSON, CSV, Parquet, and iterables of mappings.

    data = open_data("answers.jsonl.gz")
    for chunk in data.chunks():
        chunk.rows, chunk.raw, chunk.numbers

Rows come in chunks of bounded size, so memory does not grow with the file.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeAlias

from graders.jsontext import dumps, loads, quick_loads
from graders.results.read import EXPORTED_ITEM, Mapped, field_of
from graders.suggest import did_you_mean

CHUNK_BYTES = 256 * 1024  # of text read at once: where `benchmarks/batch.py` was fastest
CHUNK_ROWS = 1000  # rows at once from sources that are not text

#: Fields that hold the model's output, in the order in which they are looked for.
SAMPLE_FIELDS = ("sample", "model_sample", "output_text", "output", "response", "completion")
#: Fields that name a row.
ID_FIELDS = ("id", "datasource_item_id", "custom_id", "item.id", f"{EXPORTED_ITEM}.id")

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


class DataError(ValueError):
    """The dataset cannot be read: what was found, what was expected, where."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line or record that is not a row: it can only fail, and costs the others nothing.

    Attributes:
        message: Which one, and what is wrong with it.
        raw: Its bytes, or a text that stands for it.
    """

    message: str
    raw: bytes


DataRow: TypeAlias = dict[str, Any] | Unreadable


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows, in order.

    Attributes:
        rows: Each a dict, or what could not be read as one.
        raw: The JSON text each row came as, without line end; None when the source is not JSON lines.
        numbers: Line or record numbers, from 1.
    """

    rows: list[DataRow]
    raw: list[bytes] | None
    numbers: Sequence[int]

    def some(self, places: Sequence[int]) -> Chunk:
        """Some of its rows, by their places in it."""
        return Chunk(
            [self.rows[place] for place in places],
            None if self.raw is None else [self.raw[place] for place in places],
            [self.numbers[place] for place in places],
        )


class Data:
    """A dataset, opened; it can be read once.

    Attributes:
        name: As the user wrote it.
        total: How many rows it has; None when only reading tells.
    """

    def __init__(
        self,
        name: str,
        chunks: Callable[[], Iterator[Chunk]],
        total: int | None = None,
        fraction: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.name = name
        self.total = total
        #: How much of the source has been read, 0 to 1; None when that cannot be told.
        self.fraction = fraction
        #: The rows. Raises DataError when the source breaks off or is not of its format.
        self.chunks = chunks


def open_data(source: object, format: str | None = None) -> Data:
    """Open a dataset.

    Args:
        source: A path, "-" for standard input, or an iterable of mappings (lists, generators, dataset objects with
            `iter(batch_size)` and `column_names`, Arrow tables).
        format: One of FORMATS; None: by the file's ending, JSON lines where it says nothing.

    Raises:
        DataError: there is no such file, or it needs what is not installed.
    """
    if isinstance(source, (str, Path)):
        return _open_file(str(source), format)
    return _open_iterable(source)


def _open_file(name: str, format: str | None) -> Data:
    try:
        file: Any = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115  # read lazily
        if not hasattr(file, "peek"):  # a standard input that somebody replaced
            file = io.BufferedReader(file)
        head = file.peek(6)[:6]
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}") from None
    format = format or ("parquet" if head[:4] == b"PAR1" else _format_of(name))
    if format == "parquet":
        return _open_parquet(name, file)
    size = os.fstat(file.fileno()).st_size if name != "-" else 0

    def fraction() -> float | None:
        return min(file.tell() / size, 1.0) if size and not file.closed else None

    plain = _decompressed(file, head, name)

    def chunks() -> Iterator[Chunk]:
        with file:
            try:
                yield from _TEXT[format](plain, name)
            except (OSError, EOFError) as error:  # a broken disk, a cut gzip file
                raise DataError(f"{name} breaks off: {error}") from error
            except Exception as error:
                if type(error).__module__ in ("zstandard", "zlib", "_lzma", "zstandard.backend_c"):
                    raise DataError(f"{name} breaks off: {error}") from error
                raise

    return Data(name, chunks, fraction=fraction)


def _format_of(name: str) -> str:
    path = Path(name)
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    return _SUFFIXES.get(path.suffix.lower(), "jsonl")


def _decompressed(file: Any, head: bytes, name: str) -> Any:
    """The plain bytes of a file, by what it begins with."""
    if head[:2] == b"\x1f\x8b":
        import gzip

        return gzip.open(file)
    if head[:4] == b"\x28\xb5\x2f\xfd":
        try:
            import zstandard
        except ImportError:
            raise DataError(f"{name} is zstd-compressed: pip install 'local-graders[zstd]'") from None
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return io.BufferedReader(reader, CHUNK_BYTES)
    if head[:3] == b"BZh":
        import bz2

        return bz2.open(file)
    if head == b"\xfd7zXZ\x00":
        import lzma

        return lzma.open(file)
    return file


# --- JSON lines ---------------------------------------------------------------------------------------------------


def _json_lines(file: IO[bytes], name: str) -> Iterator[Chunk]:
    number = 1
    while block := file.read(CHUNK_BYTES):
        if block[-1:] != b"\n":
            block += file.readline()
        if number == 1:
            block = block.removeprefix(b"\xef\xbb\xbf")
        if (
            b"\r" in block
        ):  # in JSON it is a blank; left in, it could end a line for some readers of the results
            block = block.replace(b"\r", b" ")
        lines = block.split(b"\n")
        if not lines[-1]:
            del lines[-1]
        yield _parsed(lines, number)
        number += len(lines)


def _parsed(lines: list[bytes], first: int) -> Chunk:
    try:
        rows: list[DataRow] = list(map(quick_loads, lines))
        if set(map(type, rows)) == {dict}:
            return Chunk(rows, lines, range(first, first + len(lines)))
    except ValueError:
        pass
    kept = [(number, line) for number, line in enumerate(lines, first) if line.strip()]
    rows = [_parsed_line(line, number) for number, line in kept]
    return Chunk(rows, [line for _, line in kept], [number for number, _ in kept])


def _parsed_line(line: bytes, number: int) -> DataRow:
    try:
        row = loads(line)
    except ValueError as error:
        return Unreadable(f"line {number} is not JSON: {error}", line)
    if not isinstance(row, dict):
        return Unreadable(f"line {number} is a JSON {type(row).__name__}; expected an object", line)
    return row


def _json_document(file: IO[bytes], name: str) -> Iterator[Chunk]:
    """A JSON array of rows, an export with a `data` array, or JSON lines under a .json name."""
    text = file.read()
    try:
        value = loads(text)
    except ValueError:
        yield from _json_lines(io.BytesIO(text), name)
        return
    rows = value.get("data") if isinstance(value, dict) and isinstance(value.get("data"), list) else value
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list):
        raise DataError(
            f"{name} is a JSON {type(rows).__name__}; expected an array of objects, or JSON lines"
        )
    yield from _row_chunks(rows)


# --- tables -------------------------------------------------------------------------------------------------------


def _comma(file: IO[bytes], name: str) -> Iterator[Chunk]:
    return _csv(file, name, ",")


def _tab(file: IO[bytes], name: str) -> Iterator[Chunk]:
    return _csv(file, name, "\t")


def _csv(file: IO[bytes], name: str, delimiter: str) -> Iterator[Chunk]:
    import csv

    csv.field_size_limit(2**31 - 1)
    table = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), delimiter=delimiter)
    filled = filter(None, table)  # a blank line is no record
    first = 1
    try:
        header = next(filled, [])
        if len(set(header)) < len(header):
            raise DataError(f"{name}: the header names a field twice: {', '.join(header)}")
        while records := list(islice(filled, CHUNK_ROWS)):
            rows = [_record(record, header, number) for number, record in enumerate(records, first)]
            yield Chunk(rows, None, range(first, first + len(rows)))
            first += len(rows)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{name}:{table.line_num}: not CSV in UTF-8: {error}") from None


def _record(record: list[str], header: list[str], number: int) -> DataRow:
    if len(record) == len(header):
        return dict(zip(header, record, strict=True))
    message = f"record {number} has {len(record)} fields; the header has {len(header)}"
    return Unreadable(message, dumps(record))


_TEXT: dict[str, Callable[[IO[bytes], str], Iterator[Chunk]]] = {
    "jsonl": _json_lines,
    "json": _json_document,
    "csv": _comma,
    "tsv": _tab,
}


def _open_parquet(name: str, file: IO[bytes]) -> Data:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(f"reading {name} needs pyarrow: pip install 'local-graders[parquet]'") from None
    if name == "-":
        raise DataError(
            "Parquet cannot be read from standard input: its directory stands at the end of the file"
        )
    try:
        table = ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise DataError(f"{name} is not a Parquet file: {error}") from None

    def chunks() -> Iterator[Chunk]:
        first = 1
        with file:
            try:
                for batch in table.iter_batches(CHUNK_ROWS):
                    rows: list[DataRow] = list(arrow_rows(batch))
                    yield Chunk(rows, None, range(first, first + len(rows)))
                    first += len(rows)
            except (ArrowException, OSError) as error:  # a damaged page
                raise DataError(f"{name} breaks off after row {first - 1}: {error}") from error

    return Data(name, chunks, table.metadata.num_rows)


def plain(value: Any) -> Any:
    """A value with what JSON lacks in JSON's terms: NaN is null, dates are ISO 8601, bytes are text or base64."""
    kind = value.__class__
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return None if value != value else value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            from base64 import b64encode

            return b64encode(value).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return plain(value.tolist())
    return float(value) if hasattr(value, "__float__") else str(value)


# --- iterables ----------------------------------------------------------------------------------------------------


def _open_iterable(source: Any) -> Data:
    name = f"<{type(source).__name__}>"
    if isinstance(source, Mapping):
        splits = ", ".join(map(repr, list(source)[:5]))
        raise DataError(
            f"{name} is a mapping; pass the rows, for a dataset of several splits one of them ({splits})"
        )
    total = len(source) if hasattr(source, "__len__") else None
    rows: Iterable[Any] = source
    if hasattr(source, "to_batches"):  # an Arrow table or dataset
        rows = (row for batch in source.to_batches() for row in arrow_rows(batch))
    elif hasattr(source, "column_names") and callable(getattr(source, "iter", None)):  # Hugging Face datasets
        rows = (row for batch in source.iter(batch_size=CHUNK_ROWS) for row in _rows(batch))
    elif hasattr(source, "columns") and callable(getattr(source, "to_dict", None)):  # a data frame
        raise DataError(
            f"{name} iterates over its columns; pass its rows: frame.to_dict('records') of pandas, "
            "frame.iter_rows(named=True) of Polars"
        )
    elif not isinstance(source, Iterable):
        raise DataError(f"{name} is not a dataset: expected a path, or an iterable of mappings")
    return Data(name, lambda: _row_chunks(map(plain, rows)), total)


def arrow_rows(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow table or batch, in JSON's terms."""
    as_json = all(map(_is_json, batch.schema.types))
    for start in range(0, batch.num_rows, CHUNK_ROWS):
        rows = batch.slice(start, CHUNK_ROWS).to_pylist()
        yield from rows if as_json else map(plain, rows)


def _is_json(type: Any) -> bool:
    """Whether every value of an Arrow type has a JSON form as Python has it; floats may be NaN."""
    from pyarrow import types

    if types.is_list(type) or types.is_large_list(type):
        return _is_json(type.value_type)
    if types.is_struct(type):
        return all(_is_json(type.field(place).type) for place in range(type.num_fields))
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_boolean, types.is_null)
    return any(test(type) for test in tests)


def _rows(columns: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))


def _row_chunks(rows: Iterable[Any]) -> Iterator[Chunk]:
    first = 1
    source = iter(rows)
    while some := list(islice(source, CHUNK_ROWS)):
        for place, row in enumerate(some):
            if not isinstance(row, dict):
                message = f"row {first + place} is a {type(row).__name__}; expected an object"
                some[place] = Unreadable(message, dumps(row))
        yield Chunk(some, None, range(first, first + len(some)))
        first += len(some)


# --- which field is what ------------------------------------------------------------------------------------------

_NOWHERE = object()


def map_fields(
    row: Mapping[str, Any],
    *,
    sample: str | None = None,
    item: str | None = None,
    id: str | None = None,
    samples: bool = True,
) -> Mapped:
    """Where rows like this one keep sample, item and id: as the caller says, else by the hosted shapes.

    Those are `{"item": ..., "sample": ...}`, exported Evals output items (`datasource_item`), training rows whose
    `messages` end with the assistant's, and flat rows with one of SAMPLE_FIELDS, where the whole row is the item.

    Args:
        samples: Whether rows must have a sample; if they need not, and have none, its field is "".

    Raises:
        DataError: a field that the caller names is not there, or no field holds the sample.
    """
    for option, field in (("sample", sample), ("item", item), ("id", id)):
        if field and field_of(row, field, _NOWHERE) is _NOWHERE:
            raise DataError(
                f"--{option}-field: the first row has no field '{field}'; it has {', '.join(row)}. "
                f"{did_you_mean(field, row)}".rstrip()
            )
    if item is None:
        item = EXPORTED_ITEM if EXPORTED_ITEM in row else "item" if _is_item(row.get("item")) else ""
    if sample is None:
        sample = next((field for field in SAMPLE_FIELDS if field in row), None)
        if item == EXPORTED_ITEM and not row.get(
            "sample"
        ):  # nothing was sampled: the data source held the outputs
            source = row[EXPORTED_ITEM]
            inner = next((field for field in SAMPLE_FIELDS if field in source), None)
            sample = f"{EXPORTED_ITEM}.{inner}" if inner else sample
            item = f"{EXPORTED_ITEM}.item" if inner and _is_item(source.get("item")) else item
    if sample is None and _ends_with_assistant(row.get("messages")):
        sample = "messages"
    if sample is None and not samples:
        sample = ""
    if sample is None:
        raise DataError(
            f"no field holds the model's output: the first row has {', '.join(row) or 'no fields'}; "
            f"looked for {', '.join(SAMPLE_FIELDS)}. Name it with --sample-field."
        )
    if id is None:
        id = next((field for field in ID_FIELDS if _is_id(field_of(row, field, None))), "")
    return Mapped(sample, item, id)


def _is_item(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{"))


def _is_id(value: Any) -> bool:
    return value != "" and isinstance(value, (str, int))


def _ends_with_assistant(messages: Any) -> bool:
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, Mapping) and last.get("role") == "assistant"
