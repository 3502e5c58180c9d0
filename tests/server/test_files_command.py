"""grader files: the store from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from graders.cli.files import command


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADERS_HOME", str(tmp_path / "home"))


def files(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(command, arguments, input=stdin, standalone_mode=False)


def test_a_file_is_uploaded_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"item": {}}\n')

    file_id = files("add", str(path)).stdout.strip()

    assert f"{file_id}  evals" in files("ls").stdout
    assert json.loads(files("ls", "--json").stdout)["filename"] == "rows.jsonl"
    assert json.loads(files("show", file_id).stdout)["bytes"] == 13
    assert files("cat", file_id).stdout_bytes == b'{"item": {}}\n'
    assert files("rm", file_id).return_value == 0
    assert files("ls").stdout == ""


def test_standard_input_is_a_file_too() -> None:
    made = json.loads(files("add", "-", "--purpose", "batch", "--name", "x", "--json", stdin=b"abc").stdout)

    assert (made["purpose"], made["filename"], made["bytes"]) == ("batch", "x", 3)


@pytest.mark.parametrize("name", ["show", "cat", "rm"])
def test_an_unknown_file_is_not_met(name: str) -> None:
    done = files(name, "file-nobody")

    assert done.return_value == 1
    assert "no file 'file-nobody'" in done.stderr


def test_a_store_that_cannot_be_used_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRADERS_HOME", str(tmp_path / "file" / "home"))

    done = files("ls")

    assert "GRADERS_HOME" in str(done.exception)
