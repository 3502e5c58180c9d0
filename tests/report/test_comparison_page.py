"""grader compare -o: two runs side by side, safe with any text, the rows that differ with the largest loss first."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from graders.cli import group
from tests.report.browser import CHROMIUM, Browser
from tests.report.handmade import write_results
from tests.specs import multi, python, string_check

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


def compared(folder: Path, text: str = "an output", *options: str) -> Result:
    """The command on two files of 30 rows: 10 rose, 5 fell, a row's output is `text`."""
    spec = multi("a + b", {"a": python(), "b": string_check()}, name=text)
    for name, change in (("a", 0.0), ("b", 0.1)):
        rows: list[dict[str, Any]] = []
        for n in range(30):
            moved = change * (1 if n < 10 else -2 if n < 15 else 0)
            row = {"sample": f"{text} {name}", "item": {"question": text}}
            rows.append(
                {
                    "id": f"q{n}",
                    "reward": 0.5 + moved,
                    "sub_rewards": {"a": 0.5 + moved, "b": 0.0},
                    "row": row,
                }
            )
        write_results(folder / f"{name}.jsonl", rows, spec)
    paths = [str(folder / "a.jsonl"), str(folder / "b.jsonl")]
    return CliRunner().invoke(group, ["compare", *paths, *options], standalone_mode=False)


def data_of(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_rows_that_differ(tmp_path: Path) -> None:
    """Both outputs, both rewards, the item; the same verdict as on the terminal."""
    page = tmp_path / "page.html"

    out = compared(tmp_path, "an output", "-o", str(page))

    rows = data_of(page)["rows"]
    fell = next(row for row in rows if row["id"] == "q12")
    assert len(rows) == 15
    assert (fell["reward"], fell["subs"]) == (pytest.approx(-0.2), [0.5, pytest.approx(0.3)])
    assert (fell["output"], fell["reference"]) == ("an output b", "an output a")
    assert "no difference shown" in out.stdout
    assert "<h1>no difference shown: the interval holds 0</h1>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{body}}"]
)
def test_no_text_becomes_markup(text: str, tmp_path: Path) -> None:
    """Names, ids and outputs of the data make no element."""
    pages = []
    for name, content in (("hostile", text), ("plain", "plain")):
        folder = tmp_path / name
        folder.mkdir()
        compared(folder, content, "-o", str(folder / "page.html"))
        pages.append(re.findall(r"<[a-z/!][^ >]*", (folder / "page.html").read_text(encoding="utf-8")))

    assert pages[0] == pages[1]


def test_a_comparison_page_takes_two_files(tmp_path: Path) -> None:
    """More are a table on the terminal; a results file is never written over."""
    compared(tmp_path)
    a, b = str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")

    for arguments, says in (
        ([a, b, a, "-o", "x.html"], "two files"),
        ([a, b, "-o", a], "results file itself"),
    ):
        out = CliRunner().invoke(group, ["compare", *arguments], standalone_mode=False)

        assert says in str(out.exception)


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_the_page_works_in_a_browser(scheme: str, width: int, tmp_path: Path) -> None:
    """The largest loss first; no error, nothing loaded, no sideways scrolling, and no finding of axe-core."""
    page = tmp_path / "page.html"
    compared(tmp_path, "an output", "-o", str(page))
    with Browser(tmp_path / "profile") as browser:
        browser.show_as(width, scheme)
        browser.open(page)
        first = browser.evaluate("document.querySelector('tr.row .c-reward').textContent")
        browser.evaluate("document.querySelector('tr.row').click()")
        wide = browser.evaluate("document.documentElement.scrollWidth")
        found = browser.axe() if "AXE_CORE" in os.environ else []
        problems, asked = browser.problems, browser.asked

    assert first == "-0.2000"
    assert wide <= width
    assert (found, problems, asked) == ([], [], [page.as_uri()])
