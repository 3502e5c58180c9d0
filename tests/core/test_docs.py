"""What the documents show is what happens: code, output, commands, links."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from graders.cli import COMMANDS, group

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")}
    - set(ROOT.glob(".*/**/*.md"))
)


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def marked(marker: str) -> str:
    """The shell block of the README below a marker, as `.ci/run` finds it."""
    return blocks("sh", README.partition(f"<!-- ci: {marker} -->\n")[2])[0]


def test_the_readmes_python_prints_the_shown_output() -> None:
    """The first Python block runs, and its output is the block after it."""
    out = subprocess.run(
        [sys.executable, "-c", blocks("python")[0]], capture_output=True, text=True, check=True, timeout=60
    )

    assert out.stdout == blocks("text")[1]


def test_the_first_command_does_the_main_job(tmp_path: Path) -> None:
    """The command after the install is a `grader batch` over files of the repository, and it grades them."""
    command = marked("install").rpartition("&& ")[2].strip()
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/grader"
    arguments[arguments.index("-o") + 1] = str(tmp_path / "results.jsonl")

    run = subprocess.run(
        [sys.executable, "-m", "graders.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(blocks("text")[0])


def test_the_second_command_runs_the_tests() -> None:
    assert marked("tests").strip() == ".venv/bin/python -m pytest -n 4"


def test_every_command_is_in_the_readme() -> None:
    """The README names every command."""
    missing = [name for name in COMMANDS if f"grader {name}" not in README]

    assert missing == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    """Every command says what it does, shows a call, and explains each of its options."""
    out = subprocess.run(
        [sys.executable, "-m", "graders.cli", name, "-h"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    assert out.startswith(f"Usage: grader {name}")
    assert f"  grader {name}" in out.partition("Options:")[0], "an example"
    from importlib import import_module

    command = import_module(f"graders.cli.{name}").command
    assert [
        option.name
        for option in command.params
        if getattr(option, "help", None) is None and option.opts[0][:1] == "-"
    ] == []


@pytest.mark.parametrize("name", ["", "evals", "files", "jobs"])
def test_lists_of_commands_are_whole_lines(name: str) -> None:
    """On a terminal of 80 columns no command's line is cut off."""
    out = CliRunner(env={"COLUMNS": "80"}).invoke(group, [*filter(None, [name]), "-h"]).output

    assert "..." not in out.partition("\nCommands:\n")[2]
    assert len(out.partition("\nCommands:\n")[2].splitlines()) > 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document names a file that is there."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]

    assert [t for t in targets if not (document.parent / t.partition("#")[0]).exists()] == []


@pytest.mark.parametrize(
    "table", sorted((ROOT / "tests").glob("*/README.md")), ids=lambda path: path.parent.name
)
def test_tables_of_tests_name_existing_tests(table: Path) -> None:
    """Every file and every test that a README below tests/ names is there."""
    text = table.read_text(encoding="utf-8")
    folders = (ROOT, ROOT / "tests", table.parent)
    files = set(re.findall(r"`([\w/]+\.py)[`:]", text))
    tests = set(re.findall(r"\btest_\w+\b(?!\.py|\*)", text))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert [name for name in files if not any((folder / name).is_file() for folder in folders)] == []
    assert [name for name in tests if f"def {name}(" not in sources] == []


THREATS = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def test_every_line_of_the_threat_model_names_a_test() -> None:
    """Each promise is shown by files and tests that are there."""
    rows = [
        line
        for line in THREATS.splitlines()
        if line.startswith("| ") and not line.startswith(("| promise", "| ---"))
    ]
    lost = []
    for row in rows:
        path = ""
        for name in re.findall(r"`(tests/[^`]+|::\w+)`", row):
            file, _, test = name.partition("::")
            path = file or path
            source = ROOT / path
            if not source.is_file() or (test and f"def {test}(" not in source.read_text(encoding="utf-8")):
                lost.append(name)
        assert path, f"no test is named in: {row}"

    assert len(rows) > 20
    assert lost == []
