"""grader report: a page that is safe with any text, says what it leaves out, and works in a browser; and its other forms."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.cli import group
from graders.report import report as reporting
from graders.report.html import safe
from graders.report.junit import junit
from graders.report.markdown import comparison_markdown, summary_markdown
from graders.report.page import page
from graders.report.rendered import ReferenceText
from graders.report.report import make_report
from graders.report.terminal import comparison_text, summary_text
from graders.results.read import ResultRow
from graders.stats.compare import compare
from tests.report.browser import CHROMIUM, Browser
from tests.report.handmade import write_results
from tests.specs import multi, python, score_model, string_check, text_similarity

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

HOSTILE = [
    "</script><script>document.title='run'</script>",
    "<!--<script>",
    "<img src=x onerror=\"document.title='run'\">",
    "'\"><svg onload=document.title='run'>",
    "\u202egnp.exe\u202c",
    "nul \x00 bell \x07 escape \x1b[31m",
    "\u2028line\u2029separators",
    "half a pair \ud800",
    "{{data}} {{script}}",
    "]]>&amp;&lt;",
    "x" * 300_000,
]


def report_of(path: Path, **options: Any) -> reporting.Report:
    return make_report(path, **options)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, ["report", *map(str, arguments)], standalone_mode=False)


def data_of(text: str) -> Any:
    """What the page's script gets."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def dom(path: Path, tmp_path: Path, *more: str, anchor: str = "") -> str:
    """The page's document after its script has run, in a browser without a network."""
    assert CHROMIUM
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=2000",
        "--dump-dom",
        *more,
        path.as_uri() + anchor,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout


# --- which rows ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12,000 rows: every 20th failed, a label on every third, the grader wrong about every 50th."""

    def rows() -> Iterator[dict[str, Any]]:
        for n in range(12_000):
            reward = None if n % 20 == 7 else (n * 7919 % 1000) / 1000
            right = (n * 7919 % 1000 >= 500) != (n % 50 == 0)
            yield {
                "id": f"r{n}",
                "reward": reward,
                "row": {
                    "sample": f"output {n}",
                    "item": {"answer": "x"},
                    "right": right if n % 3 == 0 else None,
                },
            }

    return write_results(tmp_path_factory.mktemp("many") / "r.jsonl", rows(), text_similarity())


def test_a_large_page_holds_failures_extremes_and_a_sample(many: Path) -> None:
    """A sample, all failures, both ends, the largest disagreements; and it says so."""
    found = report_of(many, label="right")

    reasons = {
        reason: {s.place for s in found.rows if reason in s.reasons}
        for reason in ("sample", "failed", "worst", "best", "far")
    }
    assert {reason: len(places) for reason, places in reasons.items()} == {
        "sample": 2000,
        "failed": 600,
        "worst": 50,
        "best": 50,
        "far": 300,
    }
    assert reasons["failed"] == {n for n in range(12_000) if n % 20 == 7}
    far = [s.distance for s in found.rows if "far" in s.reasons]
    others = [s.distance for s in found.rows if "far" not in s.reasons and s.distance == s.distance]
    assert min(far) >= max(others)
    assert found.held == (
        "Of 12,000 rows: a random sample of 2,000; the 50 lowest and the 50 highest; all 600 failed ones; the 300 "
        "furthest from their label."
    )
    assert found.held in html.unescape(page(found))


def test_failed_rows_are_bounded_with_a_note(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly taken from the whole file."""
    monkeypatch.setattr(reporting, "FAILED", 100)

    found = report_of(many)

    failed = [shown.place for shown in found.rows if "failed" in shown.reasons]
    assert len(failed) == 100
    assert (failed[0], failed[-1]) == (7, 11_987)
    assert "100 of the 600 failed ones, evenly taken from the file" in found.held


def test_a_report_is_reproducible(many: Path) -> None:
    """Two reports of one file are the same bytes."""
    assert page(report_of(many, label="right")) == page(report_of(many, label="right"))


def test_figures_are_of_all_rows_not_of_those_shown(many: Path) -> None:
    """The confusion at each threshold counts every label of the file."""
    data = data_of(page(report_of(many, label="right")))

    labelled = [n for n in range(0, 12_000, 3) if n % 20 != 7]
    yes = sum((n * 7919 % 1000 >= 500) != (n % 50 == 0) for n in labelled)
    assert data["labels"] == {"yes": yes, "no": len(labelled) - yes}
    assert data["curve"][0] == [0.0, yes, len(labelled) - yes]
    assert len(data["rows"]) < 3100


# --- references ---------------------------------------------------------------------------------------------------

REFERENCES = [
    # spec, item, reference
    pytest.param(string_check(reference="The {{item.answer}}."), {"answer": "x"}, "The x.", id="as the spec has it"),
    pytest.param(string_check(input="{{item.answer}}", reference="{{sample.output_text}}"), {"answer": "x"}, "x", id="sides swapped"),
    pytest.param(multi("a", {"p": python(), "a": string_check()}), {"answer": "x"}, "x", id="a multi's first comparison"),
    pytest.param(python(), {"ground_truth": "x", "y": 1}, "x", id="a field named like one"),
    pytest.param(string_check(), {"other": "x"}, "", id="missing in this row"),
    pytest.param(python(), {"question": "x"}, "", id="nobody knows"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "item", "reference"), REFERENCES)
def test_the_reference_of_a_row_is_shown(spec: dict[str, Any], item: dict[str, Any], reference: str) -> None:
    """The page shows the output beside the reference of its spec or row."""
    row = ResultRow("1", 1.0, sample="s", item=item, row={"sample": "s", "item": item})

    assert ReferenceText(spec).text(row) == reference


def test_a_reference_field_can_be_named() -> None:
    """A named reference field goes before the spec's reference."""
    row = ResultRow("1", 1.0, sample="s", item={"answer": "x", "gold": {"text": "y"}}, row={})

    assert ReferenceText(string_check(), "gold.text").text(row) == "y"


# --- safety -------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Counts elements and collects attributes, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def hostile_file(path: Path, text: str) -> Path:
    """A results file with the text wherever a text can be."""
    rows: list[dict[str, Any]] = [
        {"id": f"a{text[:5000]}", "reward": 0.5, "row": {"sample": text, "item": {text[:200]: text, "answer": text}, "right": "yes"}},
        {"id": "b", "reward": None, "flags": ["other_error"], "errors": [text], "row": {"sample": text}},
        {"id": "c", "reward": 1.0, "provenance": {"judge": text}, "seconds": 0.1,
         "usage": {text[:300]: {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cached_tokens": 0}},
         "row": {"sample": [{"role": "assistant", "content": text}], "item": {}, "right": "no"}},
    ]  # fmt: skip
    for row in rows:
        row["sub_rewards"] = {text[:100]: 0.5}
    spec = {
        "type": "multi",
        "name": text[:500],
        "graders": {text[:100]: string_check()},
        "calculate_output": "0",
    }
    return write_results(path, rows, spec)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_becomes_markup(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has the same elements, handlers and addresses as with a harmless text; what cannot be seen is named."""
    monkeypatch.setattr("graders.stats.summary._moves", lambda columns: dict.fromkeys(columns.subs, 0.0))
    pages = []
    for name, content in (("hostile", text), ("plain", "plain")):
        pages.append(page(report_of(hostile_file(tmp_path / name, content), label="right")))

    seen = [Elements(), Elements()]
    for elements, made in zip(seen, pages, strict=True):
        elements.feed(made)

    assert seen[0].tags == seen[1].tags
    names = {name for name, _ in seen[0].attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"src", "style", "srcset"})
    hrefs = {value for name, value in seen[0].attributes if name == "href"}
    assert all(re.fullmatch(r"#rows|#row=[\w.~%-]*", href or "") for href in hrefs)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", pages[0])


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_text_is_escaped(text: str) -> None:
    """No mark of HTML, and no character that hides or reverses, gets through."""
    made = safe(text)

    assert not set(made) & set("<>\"'\x00\x1b\u202e\u2066\ud800")
    assert not re.search(r"&(?!(amp|lt|gt|quot|#x27);)", made)


def test_the_policy_allows_our_style_and_script_only(tmp_path: Path) -> None:
    """The policy allows our style and script by hash, and no other source."""
    text = page(report_of(write_results(tmp_path / "r.jsonl", [{}])))

    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]  # the page has a policy
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; script-src 'sha256-[\w+/=]{44}'; base-uri 'none'; "
        r"form-action 'none'",
        policy,
    )
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_long_texts_are_cut(tmp_path: Path) -> None:
    """A page stays small, and a row whose texts were cut says so."""
    rows = [{"id": str(n), "row": {"sample": "word " * 100_000, "item": {"answer": "x"}}} for n in range(20)]

    text = page(report_of(write_results(tmp_path / "r.jsonl", rows)))

    assert len(text) < 400_000
    assert all(row["cut"] for row in data_of(text)["rows"])


# --- in a browser -------------------------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.slow
def test_hostile_texts_do_nothing_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is opened, so that all of its texts stand in the document; none has run, and the title is ours."""
    monkeypatch.setattr("graders.stats.summary._moves", lambda columns: dict.fromkeys(columns.subs, 0.0))
    text = "\n".join(HOSTILE[:-1])
    file = tmp_path / "page.html"
    file.write_text(
        page(report_of(hostile_file(tmp_path / "r.jsonl", text), label="right")), encoding="utf-8"
    )

    document = dom(file, tmp_path, anchor="#row=c")

    assert "<title>run" not in document
    assert document.count("<script") == 2
    assert "<img" not in document
    assert 'aria-expanded="true"' in document
    assert "⟨U+202E⟩gnp.exe" in document
    assert "nul ␀ bell ␇ escape ␛[31m" in document
    # the script stands there as a text
    assert "document.title='run'" in html.unescape(document)


@needs_chromium
@pytest.mark.slow
def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    """The script runs under the policy: rows, their differences from the reference, and kappa at the threshold."""
    rows = [
        {
            "id": f"q{n}",
            "reward": 0.8 * (n % 2) + n % 5 / 100,
            "row": {"sample": f"the cat sat {n}", "item": {"answer": f"the dog sat {n}"}, "right": n % 4 < 2},
        }
        for n in range(60)
    ]
    file = tmp_path / "page.html"
    results = write_results(tmp_path / "r.jsonl", rows, text_similarity(pass_threshold=0.5))
    file.write_text(page(report_of(results, label="right")), encoding="utf-8")

    document = dom(file, tmp_path, anchor="#row=q57")

    assert "of 60 shown here" in document
    assert "<ins>cat</ins>" in document
    assert "<del>dog</del>" in document
    assert '<b id="both">15</b>' in document
    assert '<span id="kappa">0.0000</span>' in document
    assert '<polyline class="line"' in document


@needs_chromium
@pytest.mark.slow
def test_a_page_of_many_rows_works_in_a_browser(many: Path, tmp_path: Path) -> None:
    """Written by the command, opened with the failed row in sight, and not larger than a picture."""
    file = tmp_path / "page.html"
    out = run(many, "-o", file, "--label", "right")

    document = dom(file, tmp_path, anchor="#row=r7")

    assert out.return_value == 0
    assert file.stat().st_size < 3_000_000
    assert 'class="text bad"' in document
    assert re.search(r"1–50 of [\d,]+ shown here", document)


@pytest.fixture(scope="module")
def opened(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page of the many rows, in a browser."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    folder = tmp_path_factory.mktemp("browser")
    file = folder / "page.html"
    file.write_text(page(report_of(many, label="right")), encoding="utf-8")
    with Browser(folder / "profile") as browser:
        browser.open(file)
        yield browser
        # the browser reports no error, and no breach of the policy
        assert browser.problems == []
        # nothing else was loaded
        assert browser.asked == [file.as_uri()]


def text_of(browser: Browser, row_id: str) -> str:
    return str(browser.evaluate(f"document.getElementById('{row_id}').textContent"))


def shown_rewards(browser: Browser) -> list[str]:
    cells: list[str] = browser.evaluate(
        "[...document.querySelectorAll('tr.row .c-reward')].map(td => td.textContent)"
    )
    return cells


@pytest.mark.slow
def test_rows_are_walked_by_keyboard(opened: Browser) -> None:
    """Rows are walked, opened and closed, pages turned, and search reached, without a mouse."""
    focused = "document.activeElement.querySelector('bdi')?.textContent"
    opened.evaluate("document.getElementById('clear').click()")
    first = opened.evaluate("document.querySelector('tr.row bdi').textContent")

    opened.press("j")
    assert opened.evaluate(focused) == first
    opened.press("j", "Enter")
    second = opened.evaluate(focused)
    assert second != first
    assert opened.evaluate("location.hash") == f"#row={second}"
    assert opened.evaluate("document.activeElement.nextSibling.querySelector('.text') !== null")
    opened.press("Escape", "k", "ArrowDown")
    assert opened.evaluate("document.querySelector('.detail')") is None
    assert opened.evaluate(focused) == second
    opened.press("n")
    assert text_of(opened, "count").startswith("51–100 of")
    opened.press("p", "/", *"r40")
    assert opened.evaluate("document.activeElement.id") == "search"
    found = opened.evaluate("[...document.querySelectorAll('tr.row .c-id')].map(td => td.textContent)")
    assert found
    assert all("r40" in row_id for row_id in found)
    opened.press("Escape", "j")
    assert opened.evaluate(focused) == found[0]


@pytest.mark.slow
def test_filters_list_their_rows(opened: Browser) -> None:
    """A bar lists its rows and lets go of them again; failures, ends and limits too; headings sort."""
    opened.evaluate("document.getElementById('clear').click()")
    everything = text_of(opened, "count")

    opened.evaluate("document.querySelectorAll('.bar[data-low]')[3].dispatchEvent(new Event('click'))")
    rewards = shown_rewards(opened)
    assert rewards
    assert all(0.15 <= float(reward) <= 0.2 for reward in rewards)
    opened.evaluate("document.querySelectorAll('.bar[data-low]')[3].dispatchEvent(new Event('click'))")
    assert text_of(opened, "count") == everything
    opened.evaluate("document.querySelector('button[data-flag]').click()")
    assert set(shown_rewards(opened)) == {"failed"}
    assert text_of(opened, "count") == "1–50 of 600 shown here"
    opened.evaluate("document.getElementById('clear').click()")
    assert shown_rewards(opened)[0] == "failed"
    opened.evaluate("document.querySelector('th[data-sort=reward] button').click()")
    rewards = shown_rewards(opened)
    assert rewards == sorted(rewards, reverse=True)
    assert opened.evaluate("document.querySelector('th[data-sort=reward]').ariaSort") == "descending"
    opened.evaluate("document.getElementById('search').value = 'no such text'")
    opened.evaluate("document.getElementById('search').dispatchEvent(new Event('input'))")
    assert opened.evaluate("document.getElementById('none').hidden") is False
    assert "No row on this page is like that; it holds " in text_of(opened, "none")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a multi with a judge, failures, labels and items of several fields."""
    folder = tmp_path_factory.mktemp("judged")
    spec = multi("0.5 * exact + 0.5 * judge", {"exact": string_check(), "judge": score_model()})
    rows: list[dict[str, Any]] = []
    for n in range(40):
        subs = {"exact": float(n % 2), "judge": n / 40}
        row = {
            "sample": f"it's {n}",
            "item": {"answer": "it's 1", "question": f"why {n}?", "n": n},
            "right": n > 20,
        }
        failed = {"reward": None, "flags": ["model_grader_server_error"], "errors": [f"refused by port {n}"]}
        graded = {"reward": sum(subs.values()) / 2}
        rows.append(
            {
                "id": f"q{n}",
                **(failed if n % 13 == 5 else graded),
                "sub_rewards": subs,
                "row": row,
                "seconds": 0.1,
            }
        )
    file = folder / "page.html"
    file.write_text(
        page(report_of(write_results(folder / "r.jsonl", rows, spec), label="right")), encoding="utf-8"
    )
    return file


def test_the_page_shows_judges_messages(judged: Path) -> None:
    """M4: the rendered messages of each judge, by the key of its grader, beside the row."""
    row = next(row for row in data_of(judged.read_text(encoding="utf-8"))["rows"] if row["id"] == "q3")

    assert [who for who, _ in row["messages"]] == ["judge user"]
    assert "it's 3" in row["messages"][0][1]


def test_a_failed_rows_members_have_no_score(judged: Path) -> None:
    """M9: an error is never a score, of a member either."""
    rows = data_of(judged.read_text(encoding="utf-8"))["rows"]

    assert [row["subs"] for row in rows if row["reward"] is None] == [[None, None]] * 3


def test_reasons_lead_to_a_row(judged: Path) -> None:
    """M2: the different texts of failures, each with a link to a row that has it."""
    text = judged.read_text(encoding="utf-8")

    assert '<td class="reason">refused by port 5</td><td><a href="#row=q5">' in text
    assert text.count('class="reason"') == 1


@needs_chromium
@pytest.mark.slow
def test_rows_are_found_by_sub_reward_and_column(judged: Path, tmp_path: Path) -> None:
    """M9: a column of the item, ends of a sub-reward, a command to copy, the found rows to download."""
    choose = "(i, v) => { const e = document.getElementById(i); e.value = v; e.dispatchEvent(new Event(e.tagName === 'INPUT' ? 'input' : 'change')); }"
    with Browser(tmp_path / "profile") as browser:
        browser.open(judged)
        assert browser.evaluate("document.querySelector('tr.row .c-text').textContent") == "refused by port 5"
        browser.evaluate(f"({choose})('of', 'sub1')")
        browser.evaluate(f"({choose})('low', '0.9')")
        browser.evaluate(f"({choose})('column', 'question')")
        found = browser.evaluate(
            "[...document.querySelectorAll('tr.row .c-field')].map(td => td.textContent)"
        )
        command = browser.evaluate("command(found[0])")
        browser.evaluate("URL.createObjectURL = blob => { window.saved = blob; return 'blob:x'; }")
        browser.evaluate("document.getElementById('download').click()")
        saved = browser.evaluate("window.saved.text()")

    assert found == ["why 36?", "why 38?", "why 37?", "why 39?"]
    assert shlex.split(command) == [
        "grader",
        "run",
        "SPEC.json",
        "--sample",
        "it's 36",
        "--item",
        '{"answer":"it\'s 1","question":"why 36?","n":36}',
    ]
    assert [json.loads(line)["item"]["n"] for line in saved.splitlines()] == [36, 38, 37, 39]


@needs_chromium
@pytest.mark.slow
def test_members_are_plotted_against_each_other(judged: Path, tmp_path: Path) -> None:
    """M9: a point for the scored rows of two values, larger where they are more; choosing one opens a row."""
    choose = "(i, v) => { const e = document.getElementById(i); e.value = v; e.dispatchEvent(new Event('change')); }"
    radii = "[...document.querySelectorAll('.spot')].map(e => +e.getAttribute('r'))"
    with Browser(tmp_path / "profile") as browser:
        browser.open(judged)
        about = browser.evaluate("document.getElementById('scatter').getAttribute('aria-label')")
        spots = browser.evaluate(radii)
        browser.evaluate(f"({choose})('up', 'sub0')")
        two = browser.evaluate(radii)
        browser.evaluate("document.querySelector('.spot').dispatchEvent(new Event('click'))")
        title = browser.evaluate("document.querySelector('.spot title').textContent")
        browser.evaluate("new Promise(done => setTimeout(done))")
        opened = browser.evaluate("document.querySelector('tr.row.open bdi').textContent")

    scored = 40 - 3
    assert about == f"judge against exact: {scored} rows at {scored} places"
    assert len(spots) == scored
    assert len(two) == 2
    assert max(two) == 3.5
    assert title.endswith(opened)


@needs_chromium
@pytest.mark.slow
def test_a_phone_needs_no_sideways_scrolling(judged: Path, tmp_path: Path) -> None:
    """M9: closed and opened, rows are as wide as the screen and show their ids whole."""
    with Browser(tmp_path / "profile") as browser:
        browser.show_as(390)
        browser.open(judged)
        widths = [browser.evaluate("document.documentElement.scrollWidth")]
        browser.evaluate("document.querySelector('tr.row').click()")
        widths.append(browser.evaluate("document.documentElement.scrollWidth"))
        cut = browser.evaluate(
            "[...document.querySelectorAll('.opener')].some(e => e.scrollWidth > e.clientWidth)"
        )

    assert widths == [390, 390]
    assert not cut


@needs_chromium
@pytest.mark.slow
@pytest.mark.skipif(
    "AXE_CORE" not in os.environ, reason="AXE_CORE does not name axe.min.js of the npm package axe-core"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_axe_finds_nothing(judged: Path, scheme: str, width: int, tmp_path: Path) -> None:
    """axe-core has no finding, with a row opened, in light and dark, on a desk and a phone."""
    with Browser(tmp_path / "profile") as browser:
        browser.show_as(width, scheme)
        browser.open(judged)
        browser.evaluate("document.querySelectorAll('tr.row')[5].click()")
        found = browser.axe()

    assert found == []


@pytest.mark.slow
def test_the_slider_counts_every_label(opened: Browser) -> None:
    """At its ends everything, or next to nothing, passes; kappa in between is that of the file."""
    total = opened.evaluate("data.labels.yes + data.labels.no")

    def at(place: int) -> dict[str, int]:
        opened.evaluate(
            f"(cut => {{ cut.value = {place}; cut.dispatchEvent(new Event('input')); }})(document.getElementById('cut'))"
        )
        return {
            row_id: int(text_of(opened, row_id).replace(",", ""))
            for row_id in ("both", "missed", "wrongly", "neither")
        }

    lowest, middle, highest = at(0), at(opened.evaluate("data.cut")), at(10_000)

    assert {sum(cells.values()) for cells in (lowest, middle, highest)} == {total}
    assert (lowest["missed"], lowest["neither"]) == (0, 0)
    assert highest["both"] + highest["wrongly"] < total / 100
    assert middle["both"] + middle["neither"] > 0.9 * total


@pytest.mark.slow
def test_the_button_switches_light_and_dark(opened: Browser) -> None:
    """The button changes both ways; ink and paper stand apart as WCAG asks of small text (4.5 to 1)."""
    contrast = """(() => {
        const color = value => {
            const [r, g, b] = value.match(/[0-9a-f]{2}/gi).map(v => parseInt(v, 16) / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const style = getComputedStyle(document.documentElement);
        const ratio = (a, b) => {
            const [x, y] = [a, b].map(name => color(style.getPropertyValue("--" + name).trim()));
            return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
        };
        return Math.min(...[["ink", "paper"], ["soft", "paper"], ["soft", "card"], ["bad", "card"], ["bad", "bad-soft"],
            ["good", "good-soft"], ["unsure", "unsure-soft"], ["accent", "card"], ["soft", "track"]].map(pair => ratio(...pair)));
    })()"""
    seen = []
    for _ in range(2):
        seen.append(
            (opened.evaluate("getComputedStyle(document.body).backgroundColor"), opened.evaluate(contrast))
        )
        opened.evaluate("document.getElementById('theme').click()")

    assert seen[0][0] != seen[1][0]
    assert all(ratio >= 4.5 for _, ratio in seen)


# --- the other forms ----------------------------------------------------------------------------------------------


def test_the_terminal_form_has_counts_mean_and_gates(tmp_path: Path) -> None:
    """A few lines: counts, mean and interval, bars, failures by kind, gates."""
    rows = [{"reward": float(n < 30)} for n in range(40)] + [
        {"reward": None, "flags": ["sample_parse_error"]}
    ]
    path = write_results(tmp_path / "r.jsonl", rows)

    out = run(path, "--min-coverage", "0.9")

    assert out.output.splitlines() == [
        "check (string_check) on data.jsonl, local-graders 0",
        "rows         41: 40 scored, 1 failed",
        "mean reward  0.7500  95 % [0.5981, 0.8581]  Wilson",
        "rewards      0 ██████████▋ 10",
        "             1 ████████████████████████████████ 30",
        "failures     ████████████ 1 sample_parse_error",
        "             1 x sample_parse_error (row r40)",
        "bounds       0.7317 to 0.7561: the mean, had all failed rows got the least or the most",
        "gate         met: coverage 40 of 41 rows scored (0.9756), wanted 0.9",
    ]


def test_markdown_begins_with_the_verdict(tmp_path: Path) -> None:
    """The verdict first, then tables that a comment on a change shows."""
    path = write_results(tmp_path / "r.jsonl", [{"reward": 1.0}, {"reward": 0.0}])

    text = run(path, "--format", "md", "--fail-under", "0.9").output

    assert text.startswith(
        "## check\n\nMean reward 0.5000 (95 % interval 0.0256 to 0.9744) over 2 scored rows; none failed."
    )
    assert "- gate **failed**: mean reward 0.5, 95 % interval" in text
    assert "| mean reward | 0.5000 | 0.0256 to 0.9744 |" in text


def test_json_has_plain_figures(tmp_path: Path) -> None:
    """The figures, the gates and the agreement, plain: numbers that do not exist are null."""
    rows = [{"reward": 0.5, "row": {"right": True}}]
    path = write_results(tmp_path / "r.jsonl", rows, python())

    told = json.loads(run(path, "--format", "json", "--label", "right").output)

    assert (told["rows"], told["rewards"]["mean"]["value"], told["rewards"]["mean"]["low"]) == (1, 0.5, None)
    assert told["agreement"]["cut"]["both"] == 1
    assert "distances" not in told["agreement"]


def test_prices_make_a_cost(tmp_path: Path) -> None:
    """The cost is by [prices] per million tokens: (2 x 100,000 x 3 + 2 x 10,000 x 5) / 1,000,000."""
    config = tmp_path / "graders.toml"
    config.write_text('[prices]\n"m" = { input = 3.0, output = 5.0 }\n')
    used = {
        "prompt_tokens": 100_000,
        "completion_tokens": 10_000,
        "total_tokens": 110_000,
        "cached_tokens": 0,
    }
    path = write_results(tmp_path / "r.jsonl", [{"seconds": 0.5, "usage": {"m": used}}] * 2, score_model())

    told = json.loads(run(path, "--format", "json", "--config", config).output)
    text = run(path, "--config", config).output

    assert told["cost"] == pytest.approx(0.7)
    assert "tokens       m: 200,000 in, 20,000 out, cost 0.7" in text


def test_junit_has_errors_failures_and_gates(tmp_path: Path) -> None:
    """A failed row is an error, one below the threshold a failure, and so is a gate that is not met; any text is XML."""
    rows: list[dict[str, Any]] = [
        {"id": "good \x00 <&>", "reward": 1.0, "seconds": 0.5},
        {"id": "low", "reward": 0.0},
        {"id": "failed", "reward": None, "flags": ["other_error"], "errors": ["why \ufffe\x1b"]},
    ]
    found = report_of(write_results(tmp_path / "r.jsonl", rows), fail_under=0.9)

    suite = ElementTree.fromstring(junit(found))

    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "2", "1")
    cases = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert cases == {
        "mean reward": ["failure"],
        "good ␀ <&>": [],
        "low": ["failure"],
        "failed": ["error"],
    }
    assert [error.get("message") for error in suite.iter("error")] == ["other_error; why \ufffd␛"]


ENDINGS = [
    ("page.html", "<!doctype html>"),
    ("a.md", "## "),
    ("a.json", "{"),
    ("a.xml", "<?xml"),
    ("a.txt", "check "),
]


@pytest.mark.parametrize(("name", "start"), ENDINGS)
def test_the_format_follows_the_ending(name: str, start: str, tmp_path: Path) -> None:
    """The format follows the file's ending; the file is written whole, with no other beside it."""
    path = write_results(tmp_path / "r.jsonl", [{}])

    out = run(path, "-o", tmp_path / name)

    assert out.return_value == 0
    assert (tmp_path / name).read_text().startswith(start)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "r.jsonl"])


REFUSED = [
    (["-o", "a.pdf"], "its ending does not say which format"),
    (["-o", "r.jsonl", "--format", "html"], "is the results file itself"),
    (["-o", "no/such/a.html"], "cannot write .*No such file or directory"),
    (["--label", "nothing"], "has a field 'nothing'"),
    (["--label-threshold", "3"], "--label-threshold needs --label"),
]


@pytest.mark.parametrize(("options", "says"), REFUSED)
def test_usage_errors_leave_the_results_alone(
    options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A usage error names the mistake and does not change the results."""
    monkeypatch.chdir(tmp_path)
    path = write_results(tmp_path / "r.jsonl", [{"row": {"sample": "x"}}])
    before = path.read_bytes()

    out = run(path, *options)

    assert re.search(says, str(out.exception))
    assert path.read_bytes() == before


ROW: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "a#2", "a#3", "b", "b#2", "c", "d"]),
        "reward": st.one_of(
            st.none(), st.sampled_from([0.0, 1.0, 0.1, 1e300, -1e300, 5e-324]), st.floats(-9, 9)
        ),
        "sub_rewards": st.fixed_dictionaries({"a": st.floats(0, 1), "b": st.just(0.0)}),
        "row": st.fixed_dictionaries(
            {"sample": st.sampled_from(["x", None, 5, []]), "right": st.sampled_from([None, True, 0])}
        ),
    }
)
ROWS = st.lists(ROW, max_size=7, unique_by=lambda row: row["id"])
SPECS = [
    string_check(),
    text_similarity(pass_threshold=0.5),
    multi("a / b", {"a": string_check(), "b": text_similarity()}),
]


@given(ROWS, ROWS, st.sampled_from(SPECS))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("error")
def test_every_form_shows_any_results(one: list[Any], other: list[Any], spec: dict[str, Any]) -> None:
    """Few rows, failed rows, equal, tiny and huge rewards: no form breaks, or writes a number that JSON lacks."""
    with TemporaryDirectory() as folder:
        a, b = write_results(Path(folder, "a"), one, spec), write_results(Path(folder, "b"), other, spec)
        labelled = any(row["reward"] is not None and row["row"]["right"] is not None for row in one)
        found = report_of(a, label="right" if labelled else None, fail_under=0.5, min_coverage=0.5)
        compared = compare(a, b)

    assert data_of(page(found))["rows"] or not one
    assert len(ElementTree.fromstring(junit(found)).findall("testcase")) == len(one) + 2
    json.dumps([found.to_json(), compared.to_json()], allow_nan=False)
    for text in (
        summary_text(found.summary, found.gates, found.agreement),
        summary_markdown(found.summary, found.gates, found.agreement),
        comparison_text(compared),
        comparison_markdown(compared),
    ):
        assert not re.search(r"\b(nan|inf)\b", text)


EMPTY = [
    pytest.param([], "There are no rows.", id="no rows"),
    pytest.param(
        [{"reward": None}, {"reward": None}], "No row could be scored: all 2 failed.", id="all failed"
    ),
]


@pytest.mark.parametrize(("rows", "verdict"), EMPTY)
def test_every_form_shows_that_nothing_was_scored(rows: list[Any], verdict: str, tmp_path: Path) -> None:
    """Every form can say so."""
    found = report_of(write_results(tmp_path / "r.jsonl", rows))

    assert verdict in page(found)
    assert verdict in summary_markdown(found.summary)
    assert f"{len(rows)}: 0 scored" in summary_text(found.summary)
    assert ElementTree.fromstring(junit(found)).get("errors") == str(len(rows))
