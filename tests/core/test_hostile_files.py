"""Files that somebody else wrote are read within bounds, and what is wrong in them is said."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest

from graders.documents.reading import read_document
from graders.judges.cache import Cache
from graders.results import read
from graders.spec.reading import Source
from tests.core.test_linear import is_linear
from tests.specs import score_model, string_check

HEADER = {
    "graders_results": 1,
    "digest": "d",
    "spec": string_check(),
    "name": "n",
    "type": "string_check",
    "engine": "e",
}


def results(folder: Path, *rows: str) -> Path:
    path = folder / "results.jsonl"
    path.write_text("\n".join((json.dumps(HEADER), *rows)) + "\n")
    return path


@pytest.mark.parametrize("reward", ["1e999", "-1e999", "1" + "0" * 400, "true", '"1"', "[]", "NaN"])
def test_a_reward_is_a_finite_number(tmp_path: Path, reward: str) -> None:
    """A reward that is not a finite number ends the reading with its line, and is never a score."""
    path = results(tmp_path, '{"id":"a","reward":1.0,"ok":true}', f'{{"id":"b","reward":{reward},"ok":true}}')

    with pytest.raises(read.ResultsError, match=r"results\.jsonl:3: not a result line"):
        list(read.read_results(path).rows)


@pytest.mark.parametrize("reward", ["null", "0", "1", "-2.5", "1e308"])
def test_finite_rewards_are_read(tmp_path: Path, reward: str) -> None:
    path = results(tmp_path, f'{{"id":"b","reward":{reward},"ok":true}}')

    assert [row.reward for row in read.read_results(path).rows] == [json.loads(reward)]


def test_an_endless_line_is_read_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without line ends, such as /dev/zero, is read to LINE_MAX_BYTES."""
    monkeypatch.setattr(read, "LINE_MAX_BYTES", 1000)
    endless = tmp_path / "endless"
    endless.write_bytes(b"\0" * 100_000)

    with pytest.raises(read.ResultsError, match="not a results file"):
        read.read_results(endless)
    with pytest.raises(read.ResultsError, match="not a results file"):
        read.read_results("/dev/zero")


def test_report_fails_without_a_traceback(tmp_path: Path) -> None:
    path = results(tmp_path, f'{{"id":"b","reward":{"1" * 400},"ok":true}}')

    done = subprocess.run(
        [sys.executable, "-m", "graders.cli", "report", str(path)], capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert "no finite number" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_in_junit_cannot_turn_the_reading_direction() -> None:
    """Bidi and zero-width characters are named, as on the page; what XML cannot hold is replaced."""
    from graders.report.junit import xml_text

    text = xml_text("a\u202eb\u200bc\x00d\ufffe")

    assert text == "a⟨U+202E⟩b⟨U+200B⟩c␀d\N{REPLACEMENT CHARACTER}"
    ElementTree.fromstring(f"<a>{text}</a>")


def test_graders_of_one_name_take_linear_time() -> None:
    """Each keeps a name of its own, and thousands of one name do not take the square of their number."""

    def read_all(criteria: list[dict[str, str]]) -> object:
        return read_document(Source({"testing_criteria": criteria}))

    criteria = [string_check(name="x")] * 5 + [string_check(name="x_2")]
    named = read_document(Source({"testing_criteria": criteria})).sources

    assert list(named) == ["x", "x_2", "x_3", "x_4", "x_5", "x_2_2"]
    assert is_linear(read_all, lambda n: [string_check(name="x")] * n)


def test_a_recursive_cache_table_is_given_up(tmp_path: Path) -> None:
    """A cache whose table is a recursive view is given up with a warning, and the judge is asked."""
    import graders

    path = tmp_path / "cache.sqlite"
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE VIEW verdicts AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT 'k' || i AS key, 'x' AS reply FROM n"
        )
    asked = []

    def judge(*args: object, **more: object) -> float:
        asked.append(args)
        return 0.5

    cache = Cache(path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        grader = graders.compile(score_model(), backends=graders.Backends(models=judge))
        found = cache.get("key", ask_of(grader))  # type: ignore[arg-type]  # the first ask of a score_model

    assert found is None
    assert any("the cache of verdicts was not used: interrupted" in str(one.message) for one in said)
    cache.close()


def ask_of(grader: object) -> object:
    from graders.row import Row

    return grader.kind.ask(Row("x"))[0]  # type: ignore[attr-defined]  # a judge asks one question


def test_a_cache_runs_no_functions_of_its_schema(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")

    assert cache._open().execute("PRAGMA trusted_schema").fetchone() == (0,)
    cache.close()


def test_a_line_of_an_uploaded_file_has_so_many_values_at_most() -> None:
    """A line with too many values is a problem of that line, found before it is parsed."""
    import io

    from graders.evals.sources import _rows
    from graders.jsontext import VALUES_MAX

    lines = b'{"item": {}}\n[' + b"{}," * VALUES_MAX + b"{}]\n"

    assert list(_rows(io.BytesIO(lines))) == [(1, {"item": {}}), (2, f"more than {VALUES_MAX} values")]
