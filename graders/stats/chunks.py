"""The lines of a results file, some thousands at a time, and what is read of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from graders.jsontext import loads
from graders.results.read import LINE_MAX_BYTES, Header, ResultsError, parse_header

#: Lines read at a time.
CHUNK_ROWS = 4096
#: Where a result line's numbers end and its texts begin.
ROW = b',"row":'


def open_lines(path: str | Path) -> tuple[Header, Iterator[tuple[int, list[bytes]]]]:
    """The header, and the result lines in chunks, each with the number of its first row; a torn last line is left out.

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
    """Each line up to its data row; all but its end where it has none."""
    return [line[: line.find(ROW)] for line in lines]


def numbers_of(lines: list[bytes], heads: list[bytes] | None = None) -> list[dict[str, Any]]:
    """Result lines without their data rows, which are most of them and are not parsed.

    Args:
        heads: The lines up to their data rows, where they have been cut already.
    """
    try:
        rows: list[dict[str, Any]] = loads(b"[" + b"},".join(heads or heads_of(lines)) + b"}]")
    except ValueError:  # lines without a data row, or with a sub-reward named "row" before it
        rows = list(map(loads, lines))
    return rows
