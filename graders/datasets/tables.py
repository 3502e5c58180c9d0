"""Rows of Parquet files, Arrow tables, dataset objects and other iterables, in JSON types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from graders.datasets.rows import CHUNK_ROWS, Chunk, DataError, DataRow, RowStream, json_row, row_chunks
from graders.fields import check_rows


def open_parquet(name: str, file: IO[bytes]) -> RowStream:
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
            except (ArrowException, OSError) as error:
                # a damaged page
                raise DataError(f"{name} breaks off after row {first - 1}: {error}") from error

    return RowStream(name, chunks, table.metadata.num_rows)


def open_arrow(name: str, file: IO[bytes]) -> RowStream:
    """Open an Arrow file or stream, as Hugging Face's `save_to_disk` writes it."""
    try:
        from pyarrow import ArrowException, ipc
    except ImportError:
        raise DataError(f"reading {name} needs pyarrow: pip install 'local-graders[parquet]'") from None

    def chunks() -> Iterator[Chunk]:
        first = 1
        with file:
            try:
                if file.peek(6)[:6] == b"ARROW1":  # type: ignore[attr-defined]  # a BufferedReader
                    reader = ipc.open_file(file)
                    batches = map(reader.get_batch, range(reader.num_record_batches))
                else:
                    batches = iter(ipc.open_stream(file))
                for batch in batches:
                    rows: list[DataRow] = list(arrow_rows(batch))
                    yield Chunk(rows, None, range(first, first + len(rows)))
                    first += len(rows)
            except (ArrowException, OSError) as error:
                raise DataError(
                    f"{name} is not Arrow data, or breaks off after row {first - 1}: {error}"
                ) from error

    return RowStream(name, chunks)


TABLES: dict[str, Callable[[str, IO[bytes]], RowStream]] = {"parquet": open_parquet, "arrow": open_arrow}


def open_iterable(source: Any) -> RowStream:
    name = f"<{type(source).__name__}>"
    total = len(source) if hasattr(source, "__len__") else None
    rows: Iterable[Any] = source
    # an Arrow table or dataset
    if hasattr(source, "to_batches"):
        rows = (row for batch in source.to_batches() for row in arrow_rows(batch))
        return RowStream(name, lambda: row_chunks(_read(rows)), total)
    try:
        check_rows(source)
    except TypeError as error:
        raise DataError(str(error)) from None
    # Hugging Face datasets
    if hasattr(source, "column_names") and callable(getattr(source, "iter", None)):
        rows = (row for batch in source.iter(batch_size=CHUNK_ROWS) for row in _rows(batch))
    elif not isinstance(source, Iterable):
        raise DataError(f"{name} is not a dataset: expected a path, or an iterable of mappings")
    return RowStream(name, lambda: row_chunks(_read(rows)), total)


def _read(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows in JSON types. An exception of the caller's iterable becomes a DataError; graded rows are kept."""
    try:
        yield from map(json_row, rows)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"reading the rows failed: {type(error).__name__}: {error}") from error


def arrow_rows(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of an Arrow table or batch, in JSON types."""
    as_json = all(map(_is_json, batch.schema.types))
    for start in range(0, batch.num_rows, CHUNK_ROWS):
        rows = batch.slice(start, CHUNK_ROWS).to_pylist()
        yield from rows if as_json else map(json_row, rows)


def _is_json(arrow_type: Any) -> bool:
    """Whether the Python values of an Arrow type are JSON values already; not so for floats, which may be NaN."""
    from pyarrow import types

    if types.is_list(arrow_type) or types.is_large_list(arrow_type):
        return _is_json(arrow_type.value_type)
    if types.is_struct(arrow_type):
        return all(_is_json(arrow_type.field(place).type) for place in range(arrow_type.num_fields))
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_boolean, types.is_null)
    return any(test(arrow_type) for test in tests)


def _rows(columns: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
