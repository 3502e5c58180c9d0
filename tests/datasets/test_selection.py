"""Rows as they are: fields mapped, rows chosen and repeated, several files and folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.batch import grade_dataset, read_results
from graders.cli import main
from graders.datasets.read import open_data
from graders.fields import FieldError, FieldMap, detect_fields, item_of
from tests.batch.support import write_rows, write_spec
from tests.specs import score_model, string_check

#: Ten rows; every third is wrong, and one has no answer to compare with.
ROWS: list[dict[str, Any]] = [
    {"id": f"r{n}", "sample": "x" if n % 3 else "y", "item": {"answer": "x", "level": n % 2}}
    for n in range(10)
]
ROWS[4]["item"].pop("answer")


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """`grader` in a folder with a spec and rows; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    write_spec(tmp_path / "spec.json", string_check())
    write_rows(tmp_path / "rows.jsonl", ROWS)

    def run(*arguments: str) -> tuple[Any, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*arguments])
        return end.value.code, *capfd.readouterr()

    return run


def ids(path: str) -> list[str]:
    return [row.id for row in read_results(path).rows]


@pytest.mark.parametrize(
    ("row", "named", "item"),
    [
        pytest.param({"q": "?", "gold": "G", "pred": "P"}, {"answer": "gold"}, {"answer": "G"}, id="flat row"),
        pytest.param({"pred": "P", "item": {"gold": "G"}}, {"answer": "gold"}, {"answer": "G"}, id="field of the item"),
        pytest.param({"pred": "P", "item": {"answer": 1}, "m": {"g": ["G"]}}, {"answer": "m.g[0]"}, {"answer": "G"}, id="path"),
    ],
)  # fmt: skip
def test_the_item_gets_mapped_fields(
    row: dict[str, Any], named: dict[str, str], item: dict[str, Any]
) -> None:
    fields = detect_fields(row, sample="pred", item_map=named)

    assert item.items() <= item_of(row, fields).items()


def test_a_mapped_field_that_is_not_there_is_refused_with_the_likely_one() -> None:
    with pytest.raises(FieldError, match=r"--map answer=gld: .* Did you mean 'gold'\?"):
        detect_fields({"sample": "P", "gold": "G"}, item_map={"answer": "gld"})


def test_rows_of_other_names_are_two_steps_from_a_number(here: Callable[..., Any]) -> None:
    """The first message has every option that is needed (finding M1: once the spec had to be changed)."""
    Path("d.jsonl").write_text('{"question": "q", "gold": "Paris", "pred": "Paris"}\n')
    code, _, said = here("batch", "spec.json", "d.jsonl", "-o", "r.jsonl")
    assert (code, "--sample-field pred --map answer=gold" in said) == (2, True)

    code, _, said = here(
        "batch", "spec.json", "d.jsonl", "-o", "r.jsonl", "--sample-field", "pred", "--map", "answer=gold"
    )
    (row,) = read_results("r.jsonl").rows
    assert (code, row.reward, row.item["answer"]) == (0, 1.0, "Paris")


def test_mapping_keeps_ids(tmp_path: Path) -> None:
    """An id says which row of the data it is, so runs with and without a mapping can be compared."""
    rows = [{"sample": "x", "gold": "x", "answer": "x"}]
    grade_dataset(string_check(), rows, str(tmp_path / "a"))
    grade_dataset(string_check(), rows, str(tmp_path / "b"), item_map={"answer": "gold"})

    assert ids(str(tmp_path / "a")) == ids(str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--limit", "3"], ["r0", "r1", "r2"]),
        (["--filter", "item.level=0"], ["r0", "r2", "r4", "r6", "r8"]),
        (["--filter", "item.level!=0", "--filter", "sample=y"], ["r3", "r9"]),
        (["--filter", "item.level=1", "--limit", "2"], ["r1", "r3"]),
        (["--only", "failed", "--of", "all.jsonl"], ["r4"]),
        (["--only", "wrong", "--of", "all.jsonl"], ["r0", "r3", "r6", "r9"]),
        (["--limit", "2", "--repeat", "3"], ["r0", "r0#2", "r0#3", "r1", "r1#2", "r1#3"]),
    ],
)
def test_options_choose_rows(here: Callable[..., Any], options: list[str], expected: list[str]) -> None:
    here("batch", "spec.json", "rows.jsonl", "-o", "all.jsonl", "-q")
    here("batch", "spec.json", "rows.jsonl", "-o", "some.jsonl", "-q", *options)

    assert ids("some.jsonl") == expected


def test_a_sample_depends_on_ids_and_seed(here: Callable[..., Any]) -> None:
    """The sample has the same rows in any order of the data, and others with another seed."""
    write_rows(Path("turned.jsonl"), ROWS[::-1])
    for out, data, seed in (("a", "rows.jsonl", "0"), ("b", "turned.jsonl", "0"), ("c", "rows.jsonl", "1")):
        assert here("batch", "spec.json", data, "-o", out, "-q", "--sample", "4", "--seed", seed)[0] == 0

    assert len(ids("a")) == 4
    assert ids("a") == ids("b")[::-1]
    assert set(ids("a")) != set(ids("c"))


def test_unselected_rows_are_graded_later(here: Callable[..., Any]) -> None:
    here("batch", "spec.json", "rows.jsonl", "-o", "r.jsonl", "-q", "--limit", "2")
    here("batch", "spec.json", "rows.jsonl", "-o", "r.jsonl", "-q", "--resume")

    assert ids("r.jsonl") == [row["id"] for row in ROWS]


def test_wrong_needs_a_threshold(here: Callable[..., Any]) -> None:
    spec = {
        "type": "text_similarity",
        "name": "s",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": "fuzzy_match",
    }
    write_spec(Path("close.json"), spec)
    write_rows(
        Path("some.jsonl"), [{"sample": text, "item": {"answer": "abcd"}} for text in ("abcd", "abc", "x")]
    )
    here("batch", "close.json", "some.jsonl", "-o", "r.jsonl", "-q")
    again = ("batch", "close.json", "some.jsonl", "-o", "s.jsonl", "-q", "--only", "wrong", "--of", "r.jsonl")

    code, _, said = here(*again)
    assert (code, "give --pass-threshold" in said) == (2, True)
    assert here(*again, "--pass-threshold", "0.5")[0] == 0
    assert len(ids("s.jsonl")) == 1


@pytest.mark.parametrize("data", [["a.jsonl", "b.csv"], ["runs"], ["runs/*"]])
def test_several_files_are_one_dataset(here: Callable[..., Any], data: list[str]) -> None:
    folder = Path("runs") if data[0].startswith("runs") else Path()
    folder.mkdir(exist_ok=True)
    (folder / "a.jsonl").write_text('{"id": "1", "sample": "x", "answer": "x"}\n')
    (folder / "b.csv").write_text("id,sample,answer\n2,y,x\n")

    assert here("batch", "spec.json", *data, "-o", "out.json")[0] == 0
    assert {row.id: row.reward for row in read_results("out.json").rows} == {"1": 1.0, "2": 0.0}


def test_a_missing_file_of_several_is_named_at_once(here: Callable[..., Any]) -> None:
    code, _, said = here("batch", "spec.json", "rows.jsonl", "none.jsonl", "-o", "r.jsonl")

    assert (code, "cannot read none.jsonl: no such file" in said) == (2, True)
    assert not Path("r.jsonl").exists()


@pytest.mark.parametrize("writer", ["RecordBatchStreamWriter", "RecordBatchFileWriter"])
def test_a_saved_dataset_is_a_folder_of_arrow_files(tmp_path: Path, writer: str) -> None:
    """A folder that `datasets.Dataset.save_to_disk` wrote is read: Arrow streams with descriptions beside them."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"id": ["1", "2"], "sample": ["x", "y"]})
    with getattr(pa, writer)(str(tmp_path / "data-00000-of-00001.arrow"), table.schema) as out:
        out.write_table(table)
    (tmp_path / "state.json").write_text(json.dumps({"_split": "train"}))

    assert [row for chunk in open_data(tmp_path).chunks() for row in chunk.rows] == table.to_pylist()


def test_field_maps_are_kept_in_the_header(here: Callable[..., Any]) -> None:
    """Headers without a mapping are as before, so that older files can be resumed."""
    fields: dict[str, Any] = {"sample": "s", "item": "", "id": "", "item_map": {"a": "b"}}
    assert FieldMap(**fields).item_map == {"a": "b"}
    here("batch", "spec.json", "rows.jsonl", "-o", "r.jsonl", "-q")
    assert "item_map" not in read_results("r.jsonl").header.options["fields"]


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ([], 10),
        (["--limit", "4"], 4),
        (["--sample", "3", "--seed", "2"], 3),
        (["--filter", "item.level=1"], 5),
        (["--only", "failed", "--of", "r.jsonl"], 1),
        (["--only", "wrong", "--of", "r.jsonl", "--pass-threshold", "1"], 4),
        (["--limit", "2", "--repeat", "3"], 6),
    ],
)
def test_check_looks_at_the_rows_that_batch_would_grade(
    here: Callable[..., Any], options: list[str], rows: int
) -> None:
    """`grader check` reports findings of the chosen rows alone."""
    here("batch", "spec.json", "rows.jsonl", "-o", "r.jsonl", "-q")
    here("batch", "spec.json", "rows.jsonl", "-o", "s.jsonl", "-q", *options)
    graded = list(read_results("s.jsonl").rows)

    _, told, _ = here("check", "spec.json", "rows.jsonl", "--json", *options)

    found = json.loads(told)
    assert (found["rows"], len(graded)) == (rows, rows)
    assert any(row.id.startswith("r4") for row in graded) is bool(found["findings"])


def test_an_estimate_is_for_the_rows_that_are_chosen(here: Callable[..., Any]) -> None:
    write_spec(Path("judge.json"), score_model())

    for options, calls in (["--limit", "4"], 4), (["--limit", "4", "--repeat", "2"], 8):
        _, told, _ = here("check", "judge.json", "rows.jsonl", "--json", *options)
        assert json.loads(told)["estimates"]["judge"]["calls"] == calls
