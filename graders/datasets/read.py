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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graders.datasets.rows import Chunk, Data, DataError
from graders.datasets.tables import open_iterable, open_parquet
from graders.datasets.text import READERS, plain_bytes

FORMATS = (*READERS, "parquet")
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


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
    return open_iterable(source)


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
        return open_parquet(name, file)
    size = os.fstat(file.fileno()).st_size if name != "-" else 0

    def fraction() -> float | None:
        return min(file.tell() / size, 1.0) if size and not file.closed else None

    text = plain_bytes(file, head, name)

    def chunks() -> Iterator[Chunk]:
        with file:
            try:
                yield from READERS[format](text, name)
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
