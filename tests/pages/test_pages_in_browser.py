"""The pages in a real browser: what they show, by keyboard, in light, dark and on a phone, with texts that attack them.

    GRADERS_SCREENSHOTS=docs/img python -m pytest -m slow tests/pages/test_pages_in_browser.py

writes the documents' pictures anew; without the variable the tests only look.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import graders
from graders.store import JobRecord, NewEvent, Store
from graders.tuning.rollouts import write_rollouts
from tests.pages.seeded import HOSTILE, N_ITEMS, seeded_server, write_claims
from tests.server.chromium import BINARY, Page, chromium
from tests.server.support import RunningServer
from tests.tuning.support import tuning_server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BINARY, reason="there is no chromium")]
IMAGES = Path(__file__).parents[2] / "docs" / "img"
# axe.min.js of the npm package axe-core
AXE = os.environ.get("AXE_CORE")


@pytest.fixture(scope="module")
def seeded() -> Iterator[tuple[RunningServer, str, list[str]]]:
    with seeded_server() as made:
        yield made


def is_safe(page: Page) -> bool:
    """Nothing of the data has become markup or has run, and nothing was asked of another server."""
    foreign = [
        url for url in page.asked_for() if not url.startswith(("http://127.0.0.1:", "data:", "about:"))
    ]
    images = page.look(
        "[...document.images].every(one => one.src.startsWith('data:image/')) && !document.querySelector('main script')"
    )
    return (
        page.look("document.title") == "local-graders" and images and not foreign and page.complaints() == []
    )


def violations(page: Page) -> list[str]:
    """What axe-core finds, where AXE_CORE names it."""
    if AXE is None:
        return []
    page.look(Path(AXE).read_text(encoding="utf-8") + "; 0")
    found = "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))"
    return list(
        page.send("Runtime.evaluate", expression=found, returnByValue=True, awaitPromise=True)["result"][
            "value"
        ]
    )


ADDRESSES = {
    # name: address, what is there once it has been drawn
    "evals": ("/", "tbody th a"),
    "runs": ("/evals/{eval}", "tbody th a"),
    "run": ("/evals/{eval}?run_id={a}", ".opener"),
    "item": ("/evals/{eval}?run_id={a}&status=fail&item={item}", ".item"),
    "compare": ("/compare?run_id={a}&run_id={b}", ".pair-row"),
    "jobs": ("/jobs", "main .none"),
    "row": ("/row", "#problems .fine"),
}


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize(("dark", "width"), [(False, 1240), (True, 1240), (False, 390)])
def test_every_page_is_drawn_safely(
    seeded: tuple[RunningServer, str, list[str]], name: str, dark: bool, width: int
) -> None:
    """Drawn without an error, nothing of the data runs, no sideways scrolling, and no finding of axe-core."""
    server, eval_id, (a, b) = seeded
    path, drawn = ADDRESSES[name]
    item = server.ask("GET", f"/v1/evals/{eval_id}/runs/{a}/output_items?limit=4").json()["data"][3]["id"]
    address = server.url + path.format(eval=eval_id, a=a, b=b, item=item)

    with chromium(address, dark=dark, width=width) as page:
        page.wait(f"document.querySelector('{drawn}')")
        for opened in (".opener", ".pair-row > summary", "details > summary"):
            page.look(f"document.querySelector('{opened}')?.click()")
        page.wait("!/reading…|comparing…/.test(document.body.innerText)")

        # jobs are refused by a server that does not tune, which the browser logs
        assert is_safe(page) or name == "jobs"
        assert page.look("document.documentElement.scrollWidth <= window.innerWidth")
        assert violations(page) == []


def test_from_the_list_to_an_item_by_keyboard(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """Links, j and k, Enter, Esc and Back; an open item is an address."""
    server, eval_id, (a, _) = seeded
    with chromium(server.url + "/") as page:
        page.wait("document.querySelector('tbody th a')")
        page.look("document.querySelector('tbody th a').focus()")
        page.key("Enter")
        page.wait(
            f"location.pathname === '/evals/{eval_id}' && document.querySelectorAll('tbody th a').length === 2"
        )
        page.look("document.querySelectorAll('tbody th a')[1].focus()")
        page.key("Enter")
        page.wait("document.querySelectorAll('.opener').length === 50")
        for key in ("j", "j", "j", "k", "Enter"):
            page.key(key)
        page.wait("document.querySelector('.item')")
        assert page.look("document.querySelector('.item .message pre').textContent").startswith("#1 ")
        address = page.look("location.href")
        page.look("document.querySelector('.opener[aria-expanded=true]').focus()")
        page.key("Escape")
        page.wait("!document.querySelector('.item')")
        page.look("history.back()")
        page.wait(f"location.pathname === '/evals/{eval_id}' && !document.querySelector('.opener')")

    assert f"run_id={a}&item=outputitem_" in address


def choose(page: Page, name: str, value: str) -> None:
    page.look(
        f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event(e.tagName === 'INPUT' ? 'input' : 'change')); }})"
        f"(document.getElementById('{name}'))"
    )


def test_items_are_narrowed_down(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """Items are filtered by status, verdict, score and words; the address keeps the filter."""
    server, eval_id, (a, _) = seeded
    n_rows = "document.querySelectorAll('.opener').length"
    with chromium(f"{server.url}/evals/{eval_id}?run_id={a}") as page:
        page.wait(f"{n_rows} === 50")
        choose(page, "search", "lyon")
        page.wait(f"{n_rows} === 19")
        choose(page, "search", "")
        page.wait(f"{n_rows} === 50")
        choose(page, "status", "error")
        page.wait(f"{n_rows} === 11")
        choose(page, "status", "")
        choose(page, "criterion", "1")
        choose(page, "high", "0.5")
        page.wait(f"{n_rows} === 19")
        address = page.look("location.href")
        page.look("window.isOld = true; location.reload()")
        page.wait(f"!window.isOld && {n_rows} === 19 && document.getElementById('high')?.value === '0.5'")
        choose(page, "high", "")
        page.wait(f"{n_rows} === 50")
        page.look("[...document.querySelectorAll('.pager button')].at(-1).click()")
        page.wait("document.querySelector('.opener')?.textContent === '50'")
        page.look("[...document.querySelectorAll('.pager button')][0].click()")
        page.wait("document.querySelector('.opener')?.textContent === '0'")

    assert "criterion=1" in address
    assert "high=0.5" in address


def test_an_item_shows_each_criterion(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """Score and threshold, the judge's steps, an error with its reason, and the picture that is in the data."""
    server, eval_id, (a, _) = seeded
    items = server.ask("GET", f"/v1/evals/{eval_id}/runs/{a}/output_items?limit=5").json()["data"]
    with chromium(f"{server.url}/evals/{eval_id}?run_id={a}&item={items[4]['id']}") as page:
        page.wait("document.querySelector('.item')")
        text = page.look("document.querySelector('.item').innerText")
        steps = page.look("document.querySelector('.steps li').innerText")
        picture = page.look("document.querySelector('.picture').naturalWidth")

    assert "score 0.9000, passes from 0.5" in text
    assert "invalid_variable_error" in text
    assert "It names a city." in steps
    assert picture == 10


def test_claims_stand_beside_the_rates(tmp_path: Path) -> None:
    """Under a criterion's rate, and above the table of an eval's runs; what they say is text."""
    claims = tmp_path / "claims.json"
    write_claims(claims)
    rows = "[...document.querySelectorAll('.figures tbody tr')].map(row => [...row.querySelectorAll('.claim')].map(one => one.textContent))"
    with seeded_server(claims=[str(claims)]) as (server, eval_id, (a, _)):
        with chromium(f"{server.url}/evals/{eval_id}?run_id={a}") as page:
            page.wait("document.querySelector('.figures .claim')")
            beside = page.look(rows)
            expired = page.look("[...document.querySelectorAll('.claim.bad')].map(one => one.textContent)")
            assert is_safe(page)
            assert violations(page) == []
        with chromium(f"{server.url}/evals/{eval_id}") as page:
            page.wait("document.querySelector('.cautions .claim')")
            listed = page.look("[...document.querySelectorAll('.cautions li')].map(one => one.innerText)")
            assert is_safe(page)
            assert violations(page) == []

    attack, calibration, none = beside
    assert attack == expired
    assert attack[0].startswith("attack: expired")
    assert calibration[0].startswith(
        "calibration: calibrated: kappa 0.81 [0.74, 0.87] on 240 labels <img src=x"
    )
    assert none == []
    assert [one.splitlines()[0] for one in listed] == ["equal", "helpful"]


def test_runs_are_chosen_and_compared(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """Two are ticked; what flipped is listed, and the words that differ are marked."""
    server, eval_id, _ = seeded
    with chromium(f"{server.url}/evals/{eval_id}") as page:
        page.wait("document.querySelectorAll('tbody th a').length === 2")
        page.look("document.querySelectorAll('input[type=checkbox]').forEach(one => one.click())")
        page.look(
            "[...document.querySelectorAll('button')].find(one => one.textContent === 'Compare 2 runs').click()"
        )
        page.wait("document.querySelector('.pair-row')")
        flipped = page.look("document.querySelectorAll('.pair-row').length")
        page.look("document.querySelector('.pair-row > summary').click()")
        page.wait("document.querySelector('ins')")
        words = page.look(
            "[...document.querySelectorAll('ins, del')].map(one => one.textContent).sort().join(' ')"
        )
        page.wait("/McNemar/.test(document.body.innerText)")
        choose(page, "only", "all")
        page.wait(f"document.querySelector('.pager')?.innerText.includes('1–50 of {N_ITEMS}')")

    assert 0 < flipped <= 50
    assert words == "Lyon. Paris."


def test_criteria_are_edited_and_graded_again(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """The new run's page opens; criteria that are refused say why."""
    server, eval_id, (a, _) = seeded
    criteria = [
        {
            "type": "string_check",
            "name": "city",
            "operation": "like",
            "input": "{{sample.output_text}}",
            "reference": "Paris",
        }
    ]
    with chromium(f"{server.url}/evals/{eval_id}?run_id={a}") as page:
        page.wait("document.querySelector('#criteria')")
        press = (
            "[...document.querySelectorAll('button')].find(one => one.textContent === 'Grade again').click()"
        )
        choose(page, "criteria", '[{"type": "nothing"}]')
        page.look(press)
        page.wait("document.querySelector('form [role=alert]')?.textContent.includes('nothing')")
        choose(page, "criteria", json.dumps(criteria))
        page.look(press)
        page.wait("document.querySelector('.figures')?.innerText.includes('city')")
        page.wait("document.querySelectorAll('.opener').length === 50")
        assert a not in page.look("location.href")


def give(page: Page, file: Path) -> None:
    """Choose a file, as a person would."""
    root = page.send("DOM.getDocument")["root"]["nodeId"]
    found = page.send("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
    page.send("DOM.setFileInputFiles", files=[str(file)], nodeId=found)


def test_files_are_imported_and_graded(seeded: tuple[RunningServer, str, list[str]], tmp_path: Path) -> None:
    """An export becomes an eval with its runs; rows with samples become a run of the eval on whose page they are given."""
    server, eval_id, _ = seeded
    export, rows, broken = (tmp_path / name for name in ("history.jsonl", "rows.jsonl", "broken.jsonl"))
    row = {
        "run_id": "r1",
        "data_source_idx": 0,
        "item": {"q": "a"},
        "grades": {"g": 1.0},
        "passes": {"g": True},
    }
    export.write_text(json.dumps(row) + "\n")
    item = {"question": "#1 ?", "answer": "Paris", "extra": "Paris"}
    rows.write_text(json.dumps({"item": item, "sample": {"output_text": "Paris"}}) + "\n")
    broken.write_text("no JSON\n")
    with chromium(server.url + "/") as page:
        page.wait("document.querySelector('.drop')")
        give(page, broken)
        page.wait("/line 1/.test(document.querySelector('.drop .bad')?.textContent)")
        give(page, export)
        page.wait("location.pathname !== '/' && document.querySelectorAll('tbody th a').length === 1")
        page.look(f"location.href = '/evals/{eval_id}'")
        page.wait("document.querySelectorAll('tbody th a').length >= 2")
        give(page, rows)
        page.wait("location.search.includes('run_id') && document.querySelectorAll('.opener').length === 1")
        assert "rows.jsonl" in page.look("document.querySelector('h1').textContent")


STARTS_WELL = {
    "type": "string_check",
    "name": "starts well",
    "operation": "like",
    "input": "{{sample.output_text}}",
    "reference": "good",
}


def test_a_job_has_curves_samples_checkpoints_and_events() -> None:
    """Loss and reward of each grader as pictures with their ends in words; hostile names are texts, and new samples appear."""
    method = '{"type":"supervised","supervised":{}}'
    job = JobRecord(
        "ftjob-1", 1, "running", "tiny", "file-1", None, HOSTILE[:60], 1, method, "{}", None, None
    )
    steps = [
        NewEvent(
            f"Step {n}/900 {HOSTILE}",
            type="metrics",
            data={
                "step": n,
                "train_loss": 2 / n,
                "valid_loss": 3 / n,
                "scores": {"graders": [{"name": HOSTILE, "train_reward_mean": n / 900}]},
            },
            step=n,
        )
        for n in range(1, 901)
    ]
    with tuning_server() as (server, _):
        with Store(server.home) as store:
            store.jobs.add(job, steps)
            store.jobs.add_checkpoint(
                job.id, 900, "ft:tiny:local::abc:ckpt-step-900", '{"step":900,"train_loss":0.002}'
            )
        with chromium(server.url + "/jobs") as page:
            page.wait("document.querySelector('tbody th a')")
            page.look("document.querySelector('tbody th a').click()")
            page.wait("document.querySelector('.curve')")
            said = page.look("[...document.querySelectorAll('.curve')].map(one => one.ariaLabel)")
            folder = server.home / "jobs" / job.id
            folder.mkdir(parents=True)
            for step in (1, 2):
                batch = [
                    {"sample": f"{sample} {HOSTILE}", "item": {"q": HOSTILE}} for sample in ("good", "bad")
                ]
                write_rollouts(
                    folder, "train", step, batch, list(graders.compile(STARTS_WELL).run_batch(batch))
                )
                page.wait(
                    f"/step {step}$/.test(document.querySelector('.samples')?.closest('section').querySelector('h2').innerText)"
                )
            samples = page.look(
                "[...document.querySelectorAll('.samples tbody tr')].map(one => one.innerText)"
            )
            points = page.look(
                "document.querySelector('.curve polyline').getAttribute('points').split(' ').length"
            )
            text = page.look("document.body.innerText")
            assert is_safe(page)
            assert violations(page) == []

    assert said[0] == "Loss: training from 2.0000 to 0.0022, validation from 3.0000 to 0.0033"
    assert said[1].endswith("training from 0.0011 to 1.0000")
    assert points <= 501
    assert [line.split("\t")[-1] for line in samples] == ["1.0000", "0.0000"]
    assert HOSTILE[:20] in samples[0]
    assert "ckpt-step-900" in text
    assert "Step 900/900" in text


PICTURES = {
    # name: address, what is there once it has been drawn, what is opened, height
    "run-page": ("/evals/{eval}?run_id={a}&status=fail", ".opener", ".opener", 1250),
    "compare-page": ("/compare?run_id={a}&run_id={b}", ".pair-row", ".pair-row > summary", 820),
    "server-page": ("/row", "#problems .fine", "#run", 780),
}


def test_the_pictures_of_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures in docs/img have the size of the pages, which are drawn without an error."""
    monkeypatch.setattr("tests.pages.seeded.HOSTILE", "")
    folder = Path(os.environ.get("GRADERS_SCREENSHOTS", tmp_path))
    with seeded_server() as (server, eval_id, (a, b)):
        for name, (path, drawn, opened, height) in PICTURES.items():
            address = server.url + path.format(eval=eval_id, a=a, b=b)
            with chromium(address, height=height) as page:
                page.wait(f"document.querySelector('{drawn}')")
                page.look(f"document.querySelector('{opened}').click()")
                page.wait(
                    "document.querySelector('.item, .reward') && !document.querySelector('[aria-busy]')"
                )
                page.screenshot(folder / f"{name}.png")
                assert is_safe(page)

    for name in PICTURES:
        # width and height of a PNG
        header = slice(16, 24)
        made, shown = (folder / f"{name}.png", IMAGES / f"{name}.png")
        assert made.read_bytes()[header] == shown.read_bytes()[header]


def test_the_token_is_asked_for_once() -> None:
    """A wrong one is asked for again; with it the page is drawn, and the next page needs none."""
    with seeded_server(token="a secret") as (server, eval_id, _), chromium(server.url + "/") as page:
        page.wait("document.getElementById('token-form')?.hidden === false")
        for token in ("wrong", "a secret"):
            page.look(f"document.getElementById('token').value = {json.dumps(token)}")
            page.look("document.querySelector('#token-form button').click()")
            if token == "wrong":
                page.wait("/not its token/.test(document.getElementById('token-hint')?.textContent)")
        page.wait("document.querySelector('tbody th a')")
        page.look(f"window.isOld = true; location.href = '/evals/{eval_id}'")
        page.wait("!window.isOld && document.querySelectorAll('tbody th a').length === 2")
