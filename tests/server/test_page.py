"""The page on which a row is graded: what it may load, and that it works by keyboard in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.chromium import BINARY, CTRL, Page, chromium
from tests.server.support import RunningServer, serving

BROWSER = [pytest.mark.slow, pytest.mark.skipif(not BINARY, reason="there is no chromium")]
SECRET = "a secret"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving() as running:
        yield running


def test_the_page_loads_nothing(server: RunningServer) -> None:
    """One file; its policy names its own script and style, and nothing of it points away from the server."""
    answer = server.ask("GET", "/row")
    html = answer.body.decode()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))

    assert answer.headers["content-type"].startswith("text/html")
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", policy["style-src"])
    # the name of SVG's namespace, in the icon
    assert set(re.findall(r"https?://[\w.]+", html)) == {"http://www.w3.org"}
    markup = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"<[^>]+ (?:style|on\w+)=", markup), "the policy blocks attributes that style or run"


def labelled(page: Page) -> list[str]:
    """Controls that have no name for those who do not see them."""
    found: list[str] = page.look(
        "[...document.querySelectorAll('textarea, select, input, button')].filter(e => !e.hidden && e.offsetParent"
        " && !(e.labels && e.labels.length) && !e.textContent.trim()).map(e => e.id)"
    )
    return found


class TestInABrowser:
    pytestmark = BROWSER

    @pytest.mark.parametrize("dark", [False, True])
    def test_problems_show_while_a_spec_is_typed(
        self, server: RunningServer, tmp_path: Path, dark: bool
    ) -> None:
        """Typed by keyboard alone: a mistake shows with its line, goes when mended, and Ctrl-Enter runs."""
        with chromium(f"{server.url}/row", dark=dark) as page:
            page.wait("document.querySelector('#problems .fine')")
            assert labelled(page) == []
            page.key("Tab")
            assert page.look("document.activeElement.className") == "skip"
            page.key("Enter")
            page.wait("document.activeElement.id === 'page'")
            page.key("Tab")
            page.key("Tab")
            assert page.look("document.activeElement.id") == "spec"

            page.select_all()
            page.type(
                '{"type": "string_check", "operation": "eqq",\n "input": "{{sample.output_text}}", "reference": "{{item.a}}"}'
            )
            page.wait("document.querySelector('#problems .error')")
            problem = page.look("document.querySelector('#problems .error').innerText")
            assert "Did you mean 'eq'" in problem
            assert "line 1" in problem
            assert page.look("document.querySelector('#gutter .error').textContent.trim()") == "1"

            page.select_all()
            page.type(
                '{"type": "string_check", "operation": "eq",\n "input": "{{sample.output_text}}", "reference": "{{item.a}}"}'
            )
            page.wait("document.querySelector('#problems .fine')")
            page.look("document.getElementById('item').focus()")
            page.select_all()
            page.type('{"a": "The capital is Paris."}')
            page.key("Enter", CTRL)
            page.wait("document.querySelector('.reward')")
            assert page.look("document.querySelector('.reward').textContent") == "1"
            assert page.look("document.querySelector('.badge').textContent") == "graded"
            page.wait("/rows\\s+[1-9]/.test(document.getElementById('state').innerText)")

            page.select_all()
            page.type("{}")
            page.key("Enter", CTRL)
            page.wait("document.querySelector('.failed')")
            assert "invalid_variable_error" in page.look("document.getElementById('result').innerText")

            shot = tmp_path / "page.png"
            page.screenshot(shot)
            assert shot.stat().st_size > 10_000
            assert page.complaints() == []
            assert {url.removeprefix(server.url) for url in page.asked_for()} <= {
                "/row",
                "/state",
                "/v1/graders/problems",
                "/v1/fine_tuning/alpha/graders/run",
            }

    def test_a_small_window_does_not_scroll_sideways(self, server: RunningServer) -> None:
        """The page fits a telephone's width."""
        with chromium(f"{server.url}/row", width=390, height=800) as page:
            page.wait("document.querySelector('#problems .fine')")
            assert page.look("document.documentElement.scrollWidth <= window.innerWidth")

    def test_a_spec_is_text_and_never_markup(self, server: RunningServer) -> None:
        """Specs, samples and errors are shown as text."""
        evil = '{"type": "<img src=x onerror=document.title=1>", "<b>": 1}'
        with chromium(f"{server.url}/row") as page:
            page.wait("document.querySelector('#problems .fine')")
            page.look("document.getElementById('spec').focus()")
            page.select_all()
            page.type(evil)
            page.wait("document.querySelector('#problems .error')")
            page.key("Enter", CTRL)
            page.wait("/refused/.test(document.getElementById('result').innerText)")
            assert page.look("document.querySelectorAll('main img, .problems b b').length") == 0
            assert page.look("document.title") == "local-graders"

    def test_a_token_is_asked_for(self) -> None:
        """The page of a server with a token asks for the token, and works once it has it."""
        with serving(token=SECRET) as server, chromium(f"{server.url}/row") as page:
            page.wait("!document.getElementById('token-form').hidden")
            page.look("document.getElementById('token').focus()")
            page.type(SECRET)
            page.key("Enter")
            page.wait("document.querySelector('#problems .fine')")
            page.wait("/ready/.test(document.getElementById('state').innerText)")

    @pytest.mark.skipif(
        "AXE_CORE" not in os.environ, reason="AXE_CORE does not name axe.min.js of the npm package axe-core"
    )
    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize("width", [1240, 390])
    def test_axe_finds_nothing(self, server: RunningServer, dark: bool, width: int) -> None:
        """M10: light and dark, on a desk and a phone, after a run."""
        with chromium(f"{server.url}/row", width=width, dark=dark) as page:
            page.wait("document.querySelector('#problems .fine')")
            page.key("Enter", CTRL)

            assert page.axe() == []
