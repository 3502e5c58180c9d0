"""Reads rows from text: JSON lines, JSON documents, CSV and TSV; compressed or not, in UTF-8 or UTF-16."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from graders.datasets.rows import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    Chunk,
    DataError,
    DataRow,
    UnreadableRow,
    row_chunks,
)
from graders.engine.rows import in_chunks
from graders.jsontext import decoder, dumps, loads, loads_lines

_UTF8_MARK = codecs.BOM_UTF8
_OTHER_ENCODING = (
    " (if it is Latin-1, put `iconv -f latin1 -t utf-8 FILE |` before the command and - in the file's place)"
)


# --- bytes --------------------------------------------------------------------------------------------------------


def plain_bytes(file: Any, head: bytes, name: str) -> Any:
    """The file's text in UTF-8, decompressed according to its first bytes.

    Raises:
        DataError: it is a ZIP archive, or its compression needs a package that is not installed.
    """
    file = _decompressed(file, head, name)
    start = file.peek(2)[:2]
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return io.BufferedReader(_Utf8Reader(file, name), CHUNK_BYTES)
    return file


def _decompressed(file: Any, head: bytes, name: str) -> Any:
    if head[:4] == b"PK\x03\x04":
        raise DataError(f"{name} is a ZIP archive; unpack it and pass the file with the rows")
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


class _Utf8Reader(io.RawIOBase):
    """A reader that converts UTF-16 with a byte order mark to UTF-8."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._file.read(CHUNK_BYTES)
            try:
                text = self._decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise DataError(f"{self._name} begins as UTF-16 and is not: {error}") from None
            self._ready = text.encode("utf-8", "surrogatepass")
            if not data:
                break
        n = min(len(buffer), len(self._ready))
        buffer[:n], self._ready = self._ready[:n], self._ready[n:]
        return n


# --- JSON ---------------------------------------------------------------------------------------------------------


def _json_lines(file: IO[bytes], name: str, document: bool = True) -> Iterator[Chunk]:
    """JSON lines: one object a line.

    Args:
        document: Whether a JSON document (an array, or objects over several lines) is accepted too.
    """
    number = 1
    carriage_returns_only = False
    while block := file.read(CHUNK_BYTES):
        if number == 1:
            block = block.removeprefix(_UTF8_MARK)
            begin = block.lstrip()[:2]
            if document and (begin[:1] == b"[" or begin in (b"{\n", b"{\r")):
                yield from _json_document(io.BytesIO(block + file.read()), name)
                return
            carriage_returns_only = b"\n" not in block and b"\r" in block
        if block[-1:] != b"\n":
            block += file.readline()
        if carriage_returns_only:
            block = block.replace(b"\r", b"\n")
        if b"\r" in block:
            # white space in JSON; some readers of the results would take it as the end of a line
            block = block.replace(b"\r", b" ")
        lines = block.split(b"\n")
        if not lines[-1]:
            del lines[-1]
        yield _parsed(lines, number)
        number += len(lines)


def _parsed(lines: list[bytes], first: int) -> Chunk:
    try:
        rows: list[DataRow] = loads_lines(lines)
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
        message = f"line {number} is not JSON: {error}{_hint(line, error)}"
        return UnreadableRow(message, line, fields_before_fault(line))
    if not isinstance(row, dict):
        return UnreadableRow(f"line {number} is a JSON {type(row).__name__}; expected an object", line)
    return row


def _hint(line: bytes, error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return _OTHER_ENCODING
    if "Extra data" in str(error) and line.rstrip().endswith(b","):
        return " (a comma ends the line: is this the inside of a JSON array?)"
    if "Extra data" in str(error) or "trailing characters" in str(error):
        return " (one object a line: `jq -c .` writes it so)"
    return ""


_LENIENT = json.JSONDecoder()


def fields_before_fault(line: bytes) -> dict[str, Any]:
    """The fields of an object before the fault in its text; NaN and infinities are accepted here."""
    text = line.decode(errors="replace")
    fields: dict[str, Any] = {}
    at = text.find("{") + 1
    try:
        while True:
            key, at = _LENIENT.raw_decode(text, _past(text, at, " \t\r\n,"))
            fields[key], at = _LENIENT.raw_decode(text, _past(text, at, " \t\r\n:"))
    except (ValueError, TypeError, RecursionError):
        # the fault, or the end of the object
        return fields


def _past(text: str, at: int, blanks: str) -> int:
    while at < len(text) and text[at] in blanks:
        at += 1
    return at


def _json_document(file: IO[bytes], name: str) -> Iterator[Chunk]:
    """A JSON array of rows, an export with a `data` array, or consecutive objects; else JSON lines."""
    text = file.read().removeprefix(_UTF8_MARK)
    try:
        value = loads(text)
    except ValueError:
        rows = _objects(text)
        yield from _json_lines(io.BytesIO(text), name, False) if rows is None else row_chunks(rows)
        return
    rows = value.get("data") if isinstance(value, dict) and isinstance(value.get("data"), list) else value
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list):
        raise DataError(
            f"{name} is a JSON {type(rows).__name__}; expected an array of objects, or JSON lines"
        )
    yield from row_chunks(rows)


def _objects(text: bytes) -> list[Any] | None:
    """Consecutive objects over several lines, as jq writes them; None for any other text."""
    if text.lstrip()[:2] not in (b"{\n", b"{\r"):
        return None
    read, whole, at = decoder().raw_decode, text.decode(errors="replace"), 0
    rows: list[Any] = []
    try:
        while (at := _past(whole, at, " \t\r\n")) < len(whole):
            row, at = read(whole, at)
            rows.append(row)
    except (ValueError, RecursionError):
        return None
    return rows


# --- tables -------------------------------------------------------------------------------------------------------


def _comma(file: IO[bytes], name: str) -> Iterator[Chunk]:
    return _csv(file, name, ",")


def _tab(file: IO[bytes], name: str) -> Iterator[Chunk]:
    return _csv(file, name, "\t")


def _csv(file: IO[bytes], name: str, delimiter: str) -> Iterator[Chunk]:
    import csv

    csv.field_size_limit(2**31 - 1)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    table = csv.reader(text, delimiter=delimiter)
    # a blank line is no record
    filled = filter(None, table)
    first = 1
    try:
        header = next(filled, [])
        if delimiter == "," and len(header) == 1 and (other := _delimiter_of(header[0])):
            table = csv.reader(text, delimiter=other)
            header = next(csv.reader(header, delimiter=other))
            filled = filter(None, table)
        if len(set(header)) < len(header):
            raise DataError(f"{name}: the header names a field twice: {', '.join(header)}")
        for records in in_chunks(filled, CHUNK_ROWS):
            rows = [_record(record, header, number) for number, record in enumerate(records, first)]
            yield Chunk(rows, None, range(first, first + len(rows)))
            first += len(rows)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not CSV in UTF-8: {error}{_OTHER_ENCODING}") from None
    except csv.Error as error:
        raise DataError(f"{name}:{table.line_num}: not CSV: {error}") from None


def _delimiter_of(header: str) -> str:
    """The delimiter of a header without a comma: some locales' spreadsheets write `;`; "" when there is none."""
    found = max(";\t|", key=header.count)
    return found if found in header else ""


def _record(record: list[str], header: list[str], number: int) -> DataRow:
    if len(record) == len(header):
        return dict(zip(header, record, strict=True))
    message = f"record {number} has {len(record)} fields; the header has {len(header)}"
    return UnreadableRow(message, dumps(record), dict(zip(header, record, strict=False)))


READERS: dict[str, Callable[[IO[bytes], str], Iterator[Chunk]]] = {
    "jsonl": _json_lines,
    "json": _json_document,
    "csv": _comma,
    "tsv": _tab,
}
