"""Numbers and names as people read them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from graders.report.format import figure, percent, seconds
from graders.report.markdown import summary_markdown
from graders.report.terminal import summary_text
from graders.stats.gather import gather
from graders.stats.summary import summarise
from tests.report.handmade import write_results
from tests.specs import string_check

FIGURES = [
    (0.5, "0.5000"),
    (-0.25, "-0.2500"),
    (9.99999, "10.0000"),
    (10.0, "10.000"),
    (123.456, "123.46"),
    (1234567.8, "1,234,568"),
    (math.nan, "–"),
]


@pytest.mark.parametrize(("value", "text"), FIGURES)
def test_numbers_have_five_digits(value: float, text: str) -> None:
    """Five digits, at most four of them decimals."""
    assert figure(value) == text


def test_shares_and_times_do_not_round_to_nothing() -> None:
    """One of a million failed is not 0 %."""
    assert [percent(part).replace("\xa0", " ") for part in (0, 1e-6, 0.034, 1 - 1e-6, 1)] == [
        "0.0 %",
        "< 0.1 %",
        "3.4 %",
        "> 99.9 %",
        "100.0 %",
    ]
    assert [seconds(value) for value in (0.0012, 0.5, 1.6, 12, 4000)] == [
        "1.20 ms",
        "500 ms",
        "1.60 s",
        "12.0 s",
        "4,000 s",
    ]


def test_hostile_names_stay_on_their_line(tmp_path: Path) -> None:
    """Escape sequences, line ends and direction marks of a name do not reach the terminal; Markdown's marks are escaped."""
    spec = string_check(name="a\x1b[31m|b\n# c\u202e<script>")
    found = summarise(gather(write_results(tmp_path / "r.jsonl", [{}], spec)))

    text, markdown = summary_text(found), summary_markdown(found)

    assert not set(text + markdown) & set("\x1b\u202e\r")
    assert text.startswith("a [31m|b # c <script> (string_check) on")
    assert markdown.startswith("## a \\[31m\\|b \\# c \\<script\\>\n")
