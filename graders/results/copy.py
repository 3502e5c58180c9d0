"""A sorted copy of a results file, as JSON lines or Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from graders.jsontext import dumps, loads
from graders.results.read import ResultsError, parse_header
from graders.results.write import CannotWrite

#: Bytes of the lines that are sorted in memory at a time.
SORT_BYTES = 32 * 2**20
#: Rows of a row group of a Parquet copy.
PARQUET_ROWS = 20_000


def write_sorted(results: str, target: str) -> int:
    """Write a copy of a results file, sorted by id: JSON lines, or Parquet where `target` ends in .parquet.

    The copy is written beside `target` and renamed, so `target` is complete or absent. Memory is bounded: sorted runs
    of SORT_BYTES are merged.

    Returns:
        The number of rows.

    Raises:
        ResultsError: the results cannot be read, the target cannot be written, or pyarrow is not installed.
    """
    temporary = f"{target}.tmp"
    save = _save_parquet if target.endswith(".parquet") else _save_lines
    try:
        with open(results, "rb") as file:
            header = file.readline()
            parse_header(header, results)
            n = save(header, _sorted(file, os.path.dirname(target) or "."), temporary)
        os.replace(temporary, target)
        return n
    except OSError as error:
        raise CannotWrite(target, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _sorted(file: IO[bytes], folder: str) -> Iterator[bytes]:
    """The complete lines of a file, sorted by id."""
    import heapq
    import tempfile
    from contextlib import ExitStack

    with ExitStack() as runs:
        sources: list[Iterable[bytes]] = []
        while lines := file.readlines(SORT_BYTES):
            if not lines[-1].endswith(b"\n"):
                del lines[-1]
            lines.sort(key=_id_of)
            if not sources and not file.peek(1):  # type: ignore[attr-defined]  # a buffered reader
                yield from lines
                return
            run = runs.enter_context(tempfile.TemporaryFile(dir=folder))
            run.writelines(lines)
            run.seek(0)
            sources.append(run)
        yield from heapq.merge(*sources, key=_id_of)


def _id_of(line: bytes) -> str:
    row_id: str = loads(line)["id"]
    return row_id


def _save_lines(header: bytes, lines: Iterable[bytes], path: str) -> int:
    n = 0
    with open(path, "wb") as file:
        file.write(header)
        for n, line in enumerate(lines, 1):  # noqa: B007  # the count is wanted
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return n


def _save_parquet(header: bytes, lines: Iterable[bytes], path: str) -> int:
    """Columns id, reward, ok, flags, errors, one `sub_rewards.KEY` each, seconds; usage, provenance, row as JSON."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ResultsError("writing Parquet needs pyarrow: pip install 'local-graders[parquet]'") from None
    from itertools import islice

    keys = list(loads(header)["spec"].get("graders", {}))
    texts = pa.list_(pa.string())
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("reward", pa.float64()),
            ("ok", pa.bool_()),
            ("flags", texts),
            ("errors", texts),
        ]
        + [(f"sub_rewards.{key}", pa.float64()) for key in keys]
        + [("seconds", pa.float64()), *((name, pa.string()) for name in _AS_JSON)],
        metadata={"graders_results": header.strip()},
    )
    lines = iter(lines)
    n = 0
    with pq.ParquetWriter(path, schema) as writer:
        while rows := [_flat(loads(line), keys) for line in islice(lines, PARQUET_ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))
            n += len(rows)
    return n


_AS_JSON = ("usage", "provenance", "row")


def _flat(fields: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    subs = fields.get("sub_rewards", {})
    return {
        **fields,
        "flags": fields.get("flags", []),
        "errors": fields.get("errors", []),
        **{f"sub_rewards.{key}": subs.get(key) for key in keys},
        **{name: dumps(fields[name]).decode() for name in _AS_JSON if name in fields},
    }
