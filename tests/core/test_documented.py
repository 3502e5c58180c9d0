"""The reference pages are held to the code: every code, option, setting, public name and term stands in them."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest
import yaml

import graders
import graders.batch
import graders.models
import graders.server
from graders.config.keys import ENDPOINT_GRADER_KEYS, JUDGE_KEYS, TABLES
from graders.config.route import Price, Route
from graders.embed import LOCAL_KEYS, REMOTE_KEYS
from graders.testing.suites import SuiteTest
from graders_sandbox import Limits, Sandbox
from tests.core.codes import codes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def words(text: str) -> set[str]:
    """What stands in backticks, keys of several in one pair included."""
    return {word for quoted in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[\w.-]+", quoted)}


def test_every_problem_code_is_documented() -> None:
    """docs/problems.md has each code that the sources give, and no other but those that are put together."""
    listed = re.findall(r"^\| `(\w+)` \|", page("problems.md"), re.MULTILINE)

    assert sorted(set(codes()) - set(listed)) == []
    assert sorted(set(listed) - set(codes())) == ["meteor_never_one", "nested_multi"]
    assert len(listed) == len(set(listed))


def test_every_option_is_documented() -> None:
    """docs/commands.md is what the commands print; `python scripts/commands.py` writes it.

    In a process of its own: commands remember the settings of the first context that they ran in.
    """
    program = "import runpy, sys; sys.stdout.write(runpy.run_path('scripts/commands.py')['text']())"

    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert said.stdout == page("commands.md")


SETTINGS = {
    "tables": set(TABLES),
    "routes": {field.name for field in fields(Route)} - {"name", "mapped"} | set(JUDGE_KEYS),
    "endpoint_graders": set(ENDPOINT_GRADER_KEYS),
    "tests": set(SuiteTest.model_fields),
    "embeddings": {*LOCAL_KEYS, *REMOTE_KEYS},
    "prices": {field.name for field in fields(Price)},
    "sandbox": set(inspect.signature(Sandbox.__init__).parameters) - {"self"},
    "sandbox.limits": {field.name for field in fields(Limits)},
}


@pytest.mark.parametrize("table", SETTINGS)
def test_every_setting_is_documented(table: str) -> None:
    """docs/configuration.md names each key of graders.toml."""
    assert sorted(SETTINGS[table] - words(page("configuration.md"))) == []


def test_every_public_name_is_documented() -> None:
    """docs/python-api.md names what can be imported, and all of it is there."""
    text = page("python-api.md")

    assert [name for name in graders.__all__ if name not in words(text) and name != "__version__"] == []
    for module in (graders.batch, graders.server):
        assert [name for name in module.__all__ if name not in words(text)] == [], module.__name__
    for path, names in re.findall(r"^\| `(graders[\w.]*)`: (.*?) \|", text, re.MULTILINE):
        module = importlib.import_module(path)
        assert all(hasattr(module, name) for name in words(names)), path


def test_every_term_of_the_glossary_is_in_the_code() -> None:
    """A term that the code does not have is not one of ours; those of a table are in order, and each stands once."""
    tables = [
        re.findall(r"^\| ([^|]+) \| [^|]+ \| `([^`]+)` \|$", table, re.MULTILINE)
        for table in page("glossary.md").split("\n## ")[1:]
    ]
    rows = list(chain(*tables))
    sources = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("graders", "sandbox", "trainer", "tests")
        for file in (ROOT / folder).rglob("*.py")
    ) + (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    assert len(rows) > 80
    assert all([term for term, _ in table] == sorted(term for term, _ in table) for table in tables)
    assert len({term for term, _ in rows}) == len(rows)
    assert [word for _, word in rows if not re.search(rf"\b{re.escape(word)}\b", sources)] == []


def test_every_page_is_in_the_index() -> None:
    """Each document stands under one of the four heads."""
    index = page("README.md")
    pages = {file.name for file in DOCS.glob("*.md")} - {"README.md"}

    assert sorted(name for name in pages if index.count(f"({name})") != 1) == []
    assert re.findall(r"^## (.*)$", index, re.MULTILINE) == ["Tutorial", "How-to", "Reference", "Explanation"]


def test_the_site_has_the_pages_of_the_index_in_its_order() -> None:
    """mkdocs.yml and docs/README.md list the same pages under the same heads."""
    parts = re.split(r"^## (.*)$", page("README.md"), flags=re.MULTILINE)[1:]
    indexed = {
        head: re.findall(r"^- \[[^]]*\]\(([^)]+)\)", text, re.MULTILINE)
        for head, text in zip(parts[::2], parts[1::2], strict=True)
    }

    start, *sections = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]

    assert start == {"Start": "README.md"}
    assert {head: pages for section in sections for head, pages in section.items()} == indexed


def test_the_comparison_counts_the_lines_of_its_files() -> None:
    """docs/comparison.md: lines of configuration, a folder a tool, that are not blank."""
    home = ROOT / "benchmarks" / "comparison"
    counted = {
        name: sum(
            bool(line.strip()) for file in (home / name).iterdir() if file.is_file() for line in file.open()
        )
        for name in ("graders", "promptfoo", "inspect", "deepeval", "autoevals", "openevals")
    }
    said = re.findall(r"`(\w+)/`: (\d+) lines", page("comparison.md"))

    assert {name: int(lines) for name, lines in said} == counted


def test_the_extension_that_is_shown_is_the_one_that_is_tested() -> None:
    """docs/extending.md shows the toys of tests/kinds, which go through every room."""
    toys = (ROOT / "tests" / "kinds" / "toys.py").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page("extending.md"), re.MULTILINE | re.DOTALL)

    assert len(blocks) == 2
    assert [block.strip() in toys for block in blocks] == [True, True]


def test_old_documented_paths_are_forwarded() -> None:
    """Import paths of earlier documents still work, with a warning that names the new path."""
    from graders.batch import results

    with pytest.warns(DeprecationWarning, match=r"graders\.results\.read\.read_results"):
        assert callable(results.read_results)


def test_no_machine_path_or_index_address_is_published() -> None:
    """No path of a machine and no address of a package index stands in a file that is published."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("not a checkout")
    words = ("/" + "work/", "files.python" + "hosted.org", "/opt/" + "pypi")
    found = []
    for name in listed.split():
        if name.startswith("tests/") or not (ROOT / name).is_file():
            continue
        text = (ROOT / name).read_bytes().decode("utf-8", "replace")
        found += [f"{name}: {word}" for word in words if word in text]

    assert found == []
