"""Reads the lines of a results file in chunks of some thousands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from graders.jsontext import loads
from graders.results.read import LINE_MAX_BYTES, Header, ResultsError, parse_header

#: Lines read at a time.
CHUNK_ROWS = 4096
#: The separator of a result line's numbers from its data row.
ROW = b',"row":'


def open_lines(path: str | Path) -> tuple[Header, Iterator[tuple[int, list[bytes]]]]:
    """The header, and chunks of result lines with the number of their first row. An incomplete last line is skipped.

    Raises:
        ResultsError: there is no such file, or it has no header.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # closed when the lines have been read
        first = file.readline(LINE_MAX_BYTES)
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from None
    try:
        header = parse_header(first, str(path))
    except ResultsError:
        file.close()
        raise

    def chunks() -> Iterator[tuple[int, list[bytes]]]:
        done = 0
        with file:
            while chunk := list(islice(file, CHUNK_ROWS)):
                if not chunk[-1].endswith(b"\n"):
                    chunk.pop()
                yield done, chunk
                done += len(chunk)

    return header, chunks()


def heads_of(lines: list[bytes]) -> list[bytes]:
    """Each line up to its data row, or without its closing brace where it has none."""
    return [line[: line.find(ROW)] for line in lines]


def numbers_of(lines: list[bytes], heads: list[bytes] | None = None) -> list[dict[str, Any]]:
    """Parsed result lines without their data rows, which make up most of the text and are not parsed.

    Args:
        heads: The result of `heads_of`, if it is known already.
    """
    try:
        rows: list[dict[str, Any]] = loads(b"[" + b"},".join(heads or heads_of(lines)) + b"}]")
    except ValueError:
        # lines without a data row, or with a sub-reward named "row" before it
        rows = list(map(loads, lines))
    return rows
