"""The report as people see it, light, dark and on a phone. These are the pictures of docs/img.

    GRADERS_SCREENSHOTS=docs/img python -m pytest -m slow tests/report/test_screenshots.py

writes them anew; without the variable the tests only look.
"""

from __future__ import annotations

import os
import re
import shlex
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from graders.cli import group
from tests.report.browser import CHROMIUM, Browser

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "img"
#: name -> width, height, colour scheme
LOOKS = {
    "report-light": (1200, 900, "light"),
    "report-dark": (1200, 900, "dark"),
    "report-phone": (390, 844, "light"),
    "report-row": (1200, 900, "light"),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of examples/answer.grader.json on examples/answers.jsonl, graded by the commands that a reader types."""
    folder = tmp_path_factory.mktemp("shots")
    results, made = str(folder / "results.jsonl"), folder / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for command in (
            f"batch examples/answer.grader.json examples/answers.jsonl -q -o {results}",
            f"report {results} -o {made}",
        ):
            assert not CliRunner().invoke(group, shlex.split(command), standalone_mode=False).return_value
    return made


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("name", LOOKS)
def test_the_report_is_whole_in_light_dark_and_on_a_phone(name: str, report: Path, tmp_path: Path) -> None:
    """The verdict and the tiles come first, the lowest row is open, nothing is cut off or loaded, paper is light or dark."""
    width, height, scheme = LOOKS[name]
    with Browser(tmp_path / "profile") as browser:
        browser.show_as(width, scheme, height)
        browser.open(report)
        top = browser.evaluate("document.body.innerText.slice(0, 600)")
        browser.evaluate("document.querySelector('tr.row').click()")
        rewards = browser.evaluate(
            "[...document.querySelectorAll('tr.row .c-reward')].map(e => e.textContent)"
        )
        wide = browser.evaluate("document.documentElement.scrollWidth")
        paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        violations = browser.axe() if "AXE_CORE" in os.environ else []
        browser.evaluate(
            "document.querySelector('tr.row').scrollIntoView()" if name == "report-row" else "scrollTo(0, 0)"
        )
        shot = tmp_path / f"{name}.png"
        browser.screenshot(shot)
        problems, asked = browser.problems, browser.asked

    assert "answer" in top
    assert "0.66" in top
    assert rewards == sorted(rewards, key=float)
    assert wide <= width
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) > 3 * 128) is (scheme == "light")
    assert (violations, problems, asked) == ([], [], [report.as_uri()])
    assert size_of(shot) == (width, height)
    if folder := os.environ.get("GRADERS_SCREENSHOTS"):
        Path(folder, shot.name).write_bytes(shot.read_bytes())


@pytest.mark.parametrize("name", LOOKS)
def test_the_documents_show_each_look(name: str) -> None:
    """The picture has the size that the test looks at, and docs/walkthrough.md shows it."""
    assert size_of(IMAGES / f"{name}.png") == LOOKS[name][:2]
    assert f"(img/{name}.png)" in (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")


def size_of(png: Path) -> tuple[int, int]:
    """Width and height, which stand in the first chunk."""
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    return width, height
