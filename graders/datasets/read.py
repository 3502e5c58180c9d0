"""Reads datasets: JSONL (plain, gzip, zstd ...), JSON, CSV, Parquet, Arrow, folders of them, and iterables of mappings.

    data = open_data("answers.jsonl.gz")
    for chunk in data.chunks():
        chunk.rows, chunk.raw, chunk.numbers

Rows are read in chunks of bounded size, so memory does not grow with the file.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any

from graders.datasets.rows import Chunk, DataError, RowStream
from graders.datasets.tables import TABLES, open_iterable
from graders.datasets.text import READERS, plain_bytes

FORMATS = (*READERS, *TABLES)
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
#: Files that Hugging Face's `save_to_disk` writes beside the data.
_DESCRIPTIONS = ("dataset_info.json", "state.json", "dataset_dict.json")
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


def open_data(source: object, format: str | None = None) -> RowStream:
    """Open a dataset.

    Args:
        source: A path, "-" for standard input, or several: names, patterns such as `runs/*.jsonl`, folders; or an
            iterable of mappings (lists, generators, dataset objects with `iter(batch_size)` and `column_names`, Arrow
            tables).
        format: One of FORMATS; None: by the file's ending, JSON lines where that is unknown.

    Raises:
        DataError: there is no such file, or its format needs a package that is not installed.
    """
    if isinstance(source, (str, Path)):
        source = (source,)
    if not isinstance(source, (list, tuple)) or not all(isinstance(name, (str, Path)) for name in source):
        return open_iterable(source)
    if source:
        names = [file for name in source for file in files_of(str(name))]
        return _open_file(names[0], format) if len(names) == 1 else _open_files(names, format)
    return open_iterable(source)


def files_of(name: str) -> list[str]:
    """The files of a name: itself, the files of a folder that have a known ending, or those matching a pattern."""
    path = Path(name)
    if name == "-" or path.is_file():
        return [name]
    if path.is_dir():
        found = sorted(
            str(file) for file in path.iterdir() if _known(file) and file.name not in _DESCRIPTIONS
        )
        if not found:
            raise DataError(
                f"{name} is a folder without data; endings that are known: {', '.join(_SUFFIXES)}"
            )
        return found
    found = sorted(glob(name, recursive=True)) if any(char in name for char in "*?[") else []
    return found or [name]


def _open_files(names: Sequence[str], format: str | None) -> RowStream:
    """Several files as one dataset, one after the other."""
    for name in names:
        if name != "-" and not os.access(name, os.R_OK):
            raise DataError(
                f"cannot read {name}: " + ("no permission" if os.path.exists(name) else "no such file")
            )
    under_way: list[RowStream] = []

    def chunks() -> Iterator[Chunk]:
        for name in names:
            under_way.append(_open_file(name, format))
            yield from under_way[-1].chunks()

    def fraction() -> float | None:
        if not under_way:
            return 0.0
        return (len(under_way) - 1 + (under_way[-1].fraction() or 0.0)) / len(names)

    return RowStream(", ".join(names), chunks, fraction=fraction)


def _open_file(name: str, format: str | None) -> RowStream:
    try:
        file: Any = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115  # read lazily
        # sys.stdin was replaced, as test runners do
        if not hasattr(file, "peek"):
            file = io.BufferedReader(file)
        head = file.peek(6)[:6]
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}") from None
    format = format or ("parquet" if head[:4] == b"PAR1" else _format_of(name))
    if format in TABLES:
        return TABLES[format](name, file)
    size = os.fstat(file.fileno()).st_size if name != "-" else 0

    def fraction() -> float | None:
        return min(file.tell() / size, 1.0) if size and not file.closed else None

    text = plain_bytes(file, head, name)

    def chunks() -> Iterator[Chunk]:
        with file:
            try:
                yield from READERS[format](text, name)
            except (OSError, EOFError) as error:
                # a disk error, a truncated gzip file
                raise DataError(f"{name} breaks off: {error}") from error
            except Exception as error:
                if type(error).__module__ in ("zstandard", "zlib", "_lzma", "zstandard.backend_c"):
                    raise DataError(f"{name} breaks off: {error}") from error
                raise

    return RowStream(name, chunks, fraction=fraction)


def _format_of(name: str) -> str:
    return _known(Path(name)) or "jsonl"


def _known(path: Path) -> str:
    """The format of a file's ending; "" when it is unknown."""
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    return _SUFFIXES.get(path.suffix.lower(), "")
