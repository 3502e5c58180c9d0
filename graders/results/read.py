"""Reads results files: a Header, then one ResultRow for each graded row (docs/results-format.md).

    header, rows = read_results("results.jsonl")
    for row in rows:
        row.id, row.reward, row.ok

Rows are read one at a time, in the order in which they were written; each id occurs once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from graders.fields import FieldMap, item_of, sample_of
from graders.jsontext import loads

#: The key that marks a header line, and its value, the version of the format.
MARK, VERSION = "graders_results", 1
#: Bytes of a line, eight times a row of the largest request that `grader serve` takes. The bound stops at /dev/zero.
LINE_MAX_BYTES = 256 * 1024**2


class ResultsError(ValueError):
    """Raised when a results file cannot be read or written; the message says what was found, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line.

    Attributes:
        digest: sha256 of the normalised spec.
        spec: The normalised spec.
        name, type: Name and type of the grader.
        engine: "local-graders 1.2.3".
        data: The dataset's name on the command line.
        provenance: How the numbers were made, as far as the spec alone decides it (metric implementations, engine).
        options: Options of the run; `texts` says whether lines include their data row.
    """

    digest: str
    spec: Mapping[str, Any]
    name: str
    type: str
    engine: str
    data: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {MARK: VERSION, **{name: getattr(self, name) for name in self.__slots__}}


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One graded row.

    Attributes:
        id: Unique in the file.
        reward: The reward; None when the row failed, since a failure is never a score.
        ok: False when a flag is set.
        flags: The wire flags that are set.
        errors: Messages of the failures.
        sub_rewards: multi only: key -> reward of each member that has one.
        failed_members: multi only: key -> flag of each member that failed. In files of version 0.1 such a member has
            0.0 in sub_rewards instead.
        seconds: Duration of grading; None for local graders, which take microseconds.
        waited: The part of `seconds` in which the row waited; None in files without it.
        usage: judge model -> {prompt_tokens, total_tokens, completion_tokens, cached_tokens}.
        provenance: What made this row's number, beyond the header's provenance: sandbox tier, the judge's verdict.
        sample: The model output in the form of the data: text, or a sample object; None without texts.
        item: The item in the form of the data; {} without texts.
        row: Every field of the data row, labels and group ids included; {} without texts.
        cut: Whether long texts in `row` were cut to an excerpt.
    """

    id: str
    reward: float | None
    ok: bool = True
    flags: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    sub_rewards: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    waited: float | None = None
    usage: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sample: Any = None
    item: Mapping[str, Any] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)
    cut: bool = False
    failed_members: Mapping[str, str] = field(default_factory=dict)

    @property
    def output_text(self) -> str:
        """The text of the model's output; "" if the file or the sample has none."""
        if isinstance(self.sample, str):
            return self.sample
        from graders.errors import GradeError
        from graders.shapes import read_sample

        try:
            text = read_sample(self.sample)["output_text"]
        except (GradeError, KeyError):
            return ""
        return text if isinstance(text, str) else ""


class Results(NamedTuple):
    """An open results file: the header, and an iterator over its rows."""

    header: Header
    rows: Iterator[ResultRow]


def read_results(path: str | Path) -> Results:
    """Open a results file.

    The rows are read lazily, in constant memory. An incomplete last line (the run was killed while writing) is skipped.

    Raises:
        ResultsError: there is no such file, it has no header, or (while reading) a line is not a result.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # closed when the rows have been read
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from None
    try:
        header = parse_header(file.readline(LINE_MAX_BYTES), str(path))
    except ResultsError:
        file.close()
        raise

    def rows() -> Iterator[ResultRow]:
        field_map = FieldMap(**header.options.get("fields", {}))
        with file:
            for number, line in enumerate(_lines(file), 2):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield parse_row(loads(line), field_map)
                except (ValueError, TypeError, KeyError) as error:
                    raise ResultsError(f"{path}:{number}: not a result line: {error}") from None

    return Results(header, rows())


def read_rows(path: str | Path, places: Collection[int]) -> Iterator[tuple[int, ResultRow]]:
    """The rows at these positions of a results file (0 is the first row), in the file's order; others are not parsed.

    Raises:
        ResultsError: the file cannot be read.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # closed when the rows have been read
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from None
    with file:
        header = parse_header(file.readline(LINE_MAX_BYTES), str(path))
        field_map = FieldMap(**header.options.get("fields", {}))
        for place, line in enumerate(_lines(file)):
            if place in places:
                yield place, parse_row(loads(line), field_map)


def header_of(fields: Mapping[str, Any], path: str) -> Header:
    """The header in a line's object.

    Raises:
        ResultsError: it has another version. TypeError, KeyError: it is not a header.
    """
    if fields[MARK] != VERSION:
        raise ResultsError(
            f"{path}: the results are of another version of the format; this reads version {VERSION}"
        )
    return Header(**{name: value for name, value in fields.items() if name != MARK})


def parse_header(line: bytes, path: str) -> Header:
    """The header in a results file's first line.

    Raises:
        ResultsError: the line is not a header.
    """
    try:
        return header_of(loads(line), path)
    except ResultsError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError):
        message = f"{path} is not a results file: its first line is not a header as `grader batch` writes it"
        raise ResultsError(message) from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; one that is too long is split into pieces, which are no valid result lines."""
    return iter(partial(file.readline, LINE_MAX_BYTES), b"")


def check_rewards(rewards: Sequence[Any]) -> None:
    """Raises ValueError when a reward is not a finite number."""
    try:
        if {*map(type, rewards)} <= {int, float} and all(map(math.isfinite, rewards)):
            return
    except OverflowError:
        # an integer that is too large for a float
        pass
    raise ValueError("a reward is no finite number")


def parse_row(fields: Mapping[str, Any], field_map: FieldMap) -> ResultRow:
    """The row in a line's object. Raises ValueError, TypeError or KeyError when it is not a row."""
    row = fields.get("row") or {}
    if fields["reward"] is not None:
        check_rewards((fields["reward"],))
    return ResultRow(
        id=fields["id"],
        reward=fields["reward"],
        ok=fields["ok"],
        flags=tuple(fields.get("flags", ())),
        errors=tuple(fields.get("errors", ())),
        sub_rewards=fields.get("sub_rewards", {}),
        seconds=fields.get("seconds"),
        waited=fields.get("waited"),
        usage=fields.get("usage", {}),
        provenance=fields.get("provenance", {}),
        sample=sample_of(row, field_map) if row else None,
        item=item if isinstance(item := item_of(row, field_map), Mapping) else {},
        row=row,
        cut=fields.get("cut", False),
        failed_members=fields.get("failed_members", {}),
    )
