"""The results file: one writer, resumable after any death, refused where it is another run's, sorted on demand."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import jsontext as codec
from graders.batch.progress import Run
from graders.batch.run import grade_dataset
from graders.results.copy import write_sorted
from graders.results.lines import LineWriter, ResultChunk, Tally, _numbers, _texts
from graders.results.read import Header, ResultsError, read_results
from graders.results.write import Writer
from tests.specs import multi, python, string_check, text_similarity

ROWS: list[dict[str, Any]] = [
    {"id": f"r{n}", "sample": "x" if n % 3 else "y", "item": {"answer": "x"} if n % 5 else {}}
    for n in range(40)
]
HEADER = Header(digest="d", spec={"type": "string_check"}, name="n", type="string_check", engine="e 1")


def grade(path: Path, rows: Any = None, spec: Any = None, **options: Any) -> Run:
    return grade_dataset(spec or string_check(), ROWS if rows is None else rows, str(path), **options)


def line(row_id: str, reward: float | None = 1.0) -> ResultChunk:
    tally = Tally()
    flags = ["other_error"] if reward is None else []
    tally.add(reward, flags)
    fields = {"id": row_id, "reward": reward, "ok": reward is not None, **({"flags": flags} if flags else {})}
    return ResultChunk(json.dumps(fields).encode() + b"\n", tally)


def test_the_file_identifies_the_grader_and_data(tmp_path: Path) -> None:
    """Header, then a row each: rewards of the scored, null and reasons for the failed, the data row beside it."""
    path = tmp_path / "results.jsonl"

    run = grade(path, ROWS[:7])

    header, rows = read_results(path)
    read = list(rows)
    assert (header.type, header.options["fields"]) == (
        "string_check",
        {"sample": "sample", "item": "item", "id": "id"},
    )
    assert [(row.id, row.reward) for row in read] == [
        ("r0", None),
        ("r1", 1.0),
        ("r2", 1.0),
        ("r3", 0.0),
        ("r4", 1.0),
        ("r5", None),
        ("r6", 0.0),
    ]
    assert read[0].flags == ("invalid_variable_error",)
    assert "no 'item.answer'" in read[0].errors[0]
    assert (read[1].row, read[1].sample, read[1].item) == (ROWS[1], "x", {"answer": "x"})
    assert (run.tally.rows, run.tally.failed, run.tally.total) == (7, 2, 3.0)
    assert run.tally.flags == {"invalid_variable_error": 2}


def test_results_without_texts_leave_the_rows_out(tmp_path: Path) -> None:
    """texts=False leaves the data rows out; everything else is the same."""
    grade(tmp_path / "with")
    grade(tmp_path / "without", texts=False)

    one, other = (list(read_results(tmp_path / name).rows) for name in ("with", "without"))
    assert [(r.id, r.reward, r.flags) for r in one] == [(r.id, r.reward, r.flags) for r in other]
    assert not any(r.row for r in other)


def test_large_rows_are_kept_as_excerpts(tmp_path: Path) -> None:
    """A row of more than 8 KiB is cut, says so, and is graded whole."""
    long = "x" * 100_000

    grade(tmp_path / "r", [{"sample": long, "item": {"answer": long, "list": list(range(9000))}}])

    (row,) = read_results(tmp_path / "r").rows
    assert (row.reward, row.cut) == (1.0, True)
    assert len(row.sample) < 1100
    assert row.item["list"][-1] == 8999
    assert (tmp_path / "r").stat().st_size < 8000


def test_every_truncated_file_can_be_resumed(tmp_path: Path) -> None:
    """Killed at whatever byte, the file is resumed to the same lines as an undisturbed run's: each id once."""
    whole = tmp_path / "whole"
    grade(whole, ROWS[:12])
    content = whole.read_bytes()
    path = tmp_path / "cut"

    header = content.index(b"\n")
    for size in (
        *range(0, header, 40),
        *range(header - 2, header + 3),
        *range(header + 3, len(content) + 1, 3),
    ):
        path.write_bytes(content[:size])
        run = grade(path, ROWS[:12], resume=True)
        assert path.read_bytes() == content, size
        assert run.graded == 12 - max(0, content[:size].count(b"\n") - 1)
        assert (run.tally.rows, run.tally.failed, run.unmatched_rows) == (12, 3, 0)


def test_resume_grades_exactly_the_missing_rows(tmp_path: Path) -> None:
    """Rows that are there are left alone, others added; rows that the data no longer has are counted."""
    path = tmp_path / "r"
    grade(path, ROWS[5:15])
    before = path.read_bytes()

    run = grade(path, ROWS[:12], resume=True)

    assert (run.graded, run.unmatched_rows, run.tally.rows) == (5, 3, 15)
    assert path.read_bytes().startswith(before)
    assert sorted(row.id for row in read_results(path).rows) == sorted(f"r{n}" for n in range(15))


def test_retry_failed_grades_them_again(tmp_path: Path) -> None:
    """Failed rows are dropped and graded anew, the others are kept as they are."""
    path = tmp_path / "r"
    grade(path)
    mended = [{**row, "item": {"answer": "x"}} for row in ROWS]

    run = grade(path, mended, retry_failed=True)

    assert (run.graded, run.tally.rows, run.tally.failed) == (8, 40, 0)
    rewards = {row.id: row.reward for row in read_results(path).rows}
    assert rewards == {f"r{n}": float(n % 3 != 0) for n in range(40)}
    assert list(tmp_path.iterdir()) == [path]


def test_retry_failed_survives_a_torn_line(tmp_path: Path) -> None:
    """One run drops the torn line and grades failed rows again."""
    path = tmp_path / "r"
    grade(path)
    path.write_bytes(path.read_bytes()[:-7])

    run = grade(path, retry_failed=True)

    assert (run.graded, run.tally.rows, run.tally.failed) == (9, 40, 8)
    assert "torn last line" in run.notes[0]


OTHERS: list[Any] = [
    # what was asked the second time, what is said
    ({}, "is there already: --resume goes on with it, --force overwrites it"),
    ({"resume": True, "spec": string_check(operation="ne")}, "results of another spec"),
    ({"resume": True, "texts": False}, "was written with texts True, now it is False"),
    ({"resume": True, "item_field": ""}, "was written with fields"),
]


@pytest.mark.parametrize(("again", "message"), OTHERS)
def test_another_run_is_refused(again: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A file has the results of one spec under one mapping; another run is refused and does not change it."""
    path = tmp_path / "r"
    grade(path)
    before = path.read_bytes()

    with pytest.raises(ResultsError, match=message):
        grade(path, [{"answer": "x", **row} for row in ROWS], **again)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"notes\nof mine\n", b"one line", b'{"graders_results"', b"\n", b'{"id":"1"}\n']
)
def test_a_file_of_another_kind_is_never_touched(content: bytes, tmp_path: Path) -> None:
    """Resuming with a file that is no results file is an error and does not change the file."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    # a run that died in its header leaves this
    torn = content == b'{"graders_results"'

    for options in ({"resume": True}, {"retry_failed": True}, {}):
        if torn and options:
            continue
        with pytest.raises(ResultsError):
            grade(path, **options)
        assert path.read_bytes() == content


def test_metric_options_are_part_of_the_run(tmp_path: Path) -> None:
    """Another option of a metric is refused on resume; another version is noted."""
    path = tmp_path / "r"
    bleu = text_similarity(evaluation_metric="bleu")
    grade(path, ROWS[:9], bleu)
    first, _, rest = path.read_bytes().partition(b"\n")

    path.write_bytes(first.replace(b"smoothing=exp", b"smoothing=floor") + b"\n" + rest)
    with pytest.raises(ResultsError, match=r"metric\.options .*smoothing=floor"):
        grade(path, spec=bleu, resume=True)

    path.write_bytes(first.replace(b"sacrebleu 2", b"sacrebleu 1") + b"\n" + rest)
    run = grade(path, spec=bleu, resume=True)
    assert (run.graded, len(run.notes)) == (31, 1)
    assert "metric.reference sacrebleu 1" in run.notes[0]


def test_bad_lines_before_good_ones_are_an_error(tmp_path: Path) -> None:
    """An invalid line before the end means that the file was edited: the run is refused and drops nothing."""
    path = tmp_path / "r"
    grade(path)
    lines = path.read_bytes().splitlines(keepends=True)

    for broken, message in (
        ([*lines[:5], b"oops\n", *lines[5:]], r"r:6: not a result line"),
        ([*lines, lines[3]], "has the id 'r2' twice"),
    ):
        path.write_bytes(b"".join(broken))
        with pytest.raises(ResultsError, match=message):
            grade(path, resume=True)
        assert path.read_bytes() == b"".join(broken)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second writer is refused, in this process and in another, until the first has gone."""
    path = tmp_path / "r"
    script = (
        "import sys; from graders.batch.run import grade_dataset; "
        "grade_dataset({'type': 'string_check', 'operation': 'eq', 'input': 'a', 'reference': 'a'}, "
        "[{'sample': 'a'}], sys.argv[1], force=True)"
    )
    with Writer(str(path), HEADER) as writer:
        writer.append(line("a"))
        for options in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(ResultsError, match="another process is writing"):
                Writer(str(path), HEADER, **options)
        out = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
        assert "another process is writing" in out.stderr
        writer.append(line("b"))

    assert [row.id for row in read_results(path).rows] == ["a", "b"]
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)

    with pytest.raises(ResultsError, match=r"cannot write .*: Permission denied"):
        grade(tmp_path / "r")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none/r", "No such file or directory: its folder has to be made first"),
        ("", "Is a directory"),
    ],
)
def test_a_place_that_cannot_be_written(place: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=message):
        grade(tmp_path / place)


def test_readers_follow_a_growing_file(tmp_path: Path) -> None:
    """Appended lines can be read at once; an unfinished line is left out."""
    path = tmp_path / "r"
    with Writer(str(path), HEADER) as writer:
        writer.append(line("a"))
        assert [row.id for row in read_results(path).rows] == ["a"]
        with path.open("ab") as file:
            file.write(b'{"id":"b","rew')
        assert [row.id for row in read_results(path).rows] == ["a"]


@pytest.mark.parametrize(
    "content", [b"", b"text\n", b'{"row_id":"1"}\n', b'{"graders_results":2}\n', b"[1]\n"]
)
def test_invalid_results_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(content)

    with pytest.raises(ResultsError, match=r"r(:| is not| .*version)"):
        read_results(path)


# --- a sorted copy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run_bytes", [200, 4000, 10**7])
def test_a_sorted_copy(run_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy has the header and every whole line, by id, whether it fits in memory or not; the results stay."""
    monkeypatch.setattr("graders.results.copy.SORT_BYTES", run_bytes)
    path, copy = tmp_path / "r", tmp_path / "sorted.jsonl"
    grade(path, ROWS[::-1])
    content = path.read_bytes()
    path.write_bytes(content + b'{"id":"torn')

    n = write_sorted(str(path), str(copy))

    header, *lines = content.splitlines(keepends=True)
    assert n == 40
    assert copy.read_bytes() == header + b"".join(
        sorted(lines, key=lambda line: str(json.loads(bytes(line))["id"]))
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r", "sorted.jsonl"]


def test_a_parquet_copy(tmp_path: Path) -> None:
    """Columns for numbers and flags, sub-rewards each in one, the data row as JSON; the header as metadata."""
    pq = pytest.importorskip("pyarrow.parquet")
    spec = multi("a + b", {"a": string_check(), "b": text_similarity()})
    grade(tmp_path / "r", spec=spec)

    write_sorted(str(tmp_path / "r"), str(tmp_path / "r.parquet"))

    table = pq.read_table(tmp_path / "r.parquet")
    want = sorted(read_results(tmp_path / "r").rows, key=lambda row: row.id)
    assert table.column("id").to_pylist() == [row.id for row in want]
    assert table.column("reward").to_pylist() == [row.reward for row in want]
    assert table.column("flags").to_pylist() == [list(row.flags) for row in want]
    assert table.column("sub_rewards.b").to_pylist() == [row.sub_rewards.get("b") for row in want]
    assert [json.loads(text) for text in table.column("row").to_pylist()] == [row.row for row in want]
    assert json.loads(table.schema.metadata[b"graders_results"])["name"] == "many"


def test_a_failed_member_has_no_reward(tmp_path: Path) -> None:
    """A multi's member that failed is absent beside the others' scores, and its flag is named."""
    spec = multi("a + b", {"a": string_check(), "b": string_check(reference="{{item.none}}")})

    grade_dataset(spec, [{"id": "x", "sample": "y", "item": {"answer": "y"}}], str(tmp_path / "r"))
    (row,) = read_results(tmp_path / "r").rows

    assert (row.reward, row.sub_rewards) == (None, {"a": 1.0})
    assert row.failed_members == {"b": "invalid_variable_error"}
    assert json.loads((tmp_path / "r").read_text().splitlines()[1])["failed_members"] == row.failed_members


def test_a_sorted_copy_is_atomic(tmp_path: Path) -> None:
    """If the results cannot be read, an older copy stays and no temporary file is left."""
    (tmp_path / "r").write_bytes(b"no results\n")
    (tmp_path / "copy").write_bytes(b"older")

    with pytest.raises(ResultsError):
        write_sorted(str(tmp_path / "r"), str(tmp_path / "copy"))
    with pytest.raises(ResultsError, match="No such file"):
        write_sorted(str(tmp_path / "none"), str(tmp_path / "copy"))

    assert (tmp_path / "copy").read_bytes() == b"older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "r"]


# --- lines ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.text() | st.text(list('",\\\ud800é'), max_size=6), min_size=1),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
)
def test_a_line_has_the_same_bytes_alone_and_in_columns(texts: list[str], numbers: list[float]) -> None:
    """A line's bytes do not depend on whether it was made alone or with others."""
    assert _texts(texts) == [codec.dumps(text)[1:-1] for text in texts]
    assert _numbers(numbers) == [codec.dumps(number + 0.0) for number in numbers]


def test_half_a_surrogate_pair_is_an_id_too(tmp_path: Path) -> None:
    """A lone surrogate, which UTF-8 cannot encode, is written as an escape."""
    path, data = tmp_path / "r", tmp_path / "d.jsonl"
    data.write_text('{"id": "\\ud800", "sample": "\\udc00", "item": {"answer": "\\udc00"}}\n' * 2)

    grade(path, str(data))

    assert [(row.id, row.reward) for row in read_results(path).rows] == [("\ud800", 1.0), ("\ud800#2", 1.0)]


SPECS = [
    pytest.param(string_check(), id="string_check"),
    pytest.param(text_similarity(), id="text_similarity"),
    pytest.param(
        multi(
            "a / 3 - b",
            {"a": string_check(operation="ilike"), "b": text_similarity(evaluation_metric="bleu")},
        ),
        id="multi",
    ),
    pytest.param(
        string_check(input="<{{item.answer}}|{{item.n}}>", reference="{{item}}"), id="several variables"
    ),
    pytest.param(multi("log(b - 0.5)", {"b": text_similarity()}), id="a formula that fails"),
]
VALUES = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.lists(st.booleans(), max_size=2))
DATA = st.lists(
    st.fixed_dictionaries(
        {"sample": st.one_of(st.text(max_size=6), st.just({"output_text": "x"}), st.none())},
        optional={"item": st.fixed_dictionaries({}, optional={"answer": VALUES, "n": VALUES})},
    ),
    min_size=1,
    max_size=12,
)
PLAIN = st.lists(
    st.fixed_dictionaries(
        {"sample": st.text(max_size=6), "item": st.fixed_dictionaries({"answer": VALUES, "n": st.integers()})}
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("spec", SPECS)
@given(rows=st.one_of(DATA, PLAIN))
def test_columns_equal_row_by_row(spec: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """A chunk's lines are, byte for byte, those of its rows graded one at a time by the engine."""
    import graders
    from graders.datasets.read import open_data
    from graders.fields import FieldMap

    lines = LineWriter(graders.compile(spec), FieldMap("sample", "item", ""), texts=True)
    (chunk,) = open_data(rows).chunks()
    ids = [f"é{n}" for n in range(len(rows))]

    piece = lines.grade(chunk, ids)

    tally = Tally()
    alone = b"".join(
        lines.line(row_id, row, None, lines.grader.run(row["sample"], row.get("item"), id=row_id), tally)  # type: ignore[index,union-attr]  # the rows of this test are objects
        for row_id, row in zip(ids, chunk.rows, strict=True)
    )
    assert piece.text == alone
    assert (piece.tally.rows, piece.tally.failed, piece.tally.flags) == (
        tally.rows,
        tally.failed,
        tally.flags,
    )
    assert math.isclose(piece.tally.total, tally.total, abs_tol=1e-9)


def test_json_without_orjson_is_the_same_json() -> None:
    """The standard library's reader and writer give what orjson's give."""
    values: list[Any] = [
        {"a": [1, 2.5, None, True, 'é\n"\x00\u2028']},
        1e16,
        1e-7,
        -0.0,
        2**70,
        "\ud800",
        [float("nan"), float("inf")],
    ]
    for value in values:
        assert codec._plain_loads(codec._plain_dumps(value)) == codec.loads(codec.dumps(value))
    for text in (b"NaN", b"[Infinity]", b"{", b"", b'"\xff"', b"[" * 100_000):
        for read in (codec._plain_loads, codec.loads):
            with pytest.raises(ValueError):  # noqa: PT011  # the libraries' own words
                read(text)


def test_a_python_grader_rows_say_their_tier(tmp_path: Path) -> None:
    """The line of a row graded by a program has the sandbox's tier and the seconds."""
    grade(tmp_path / "r", ROWS[:2], python())

    rows = list(read_results(tmp_path / "r").rows)
    assert [row.reward for row in rows] == [1.0, 1.0]
    assert all(row.provenance["sandbox"] and row.seconds for row in rows)
