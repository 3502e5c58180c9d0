"""JSON for the pages: figures of evals and runs, filtered items, comparisons, imports, grading again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from graders.stats.estimates import wilson_of_few
from tests.evals.support import client_of, ended
from tests.pages.seeded import N_ITEMS, seeded_server, write_claims
from tests.server.support import RunningServer, serving


@pytest.fixture(scope="module")
def seeded() -> Iterator[tuple[RunningServer, str, list[str]]]:
    with seeded_server(config='[prices]\n"m" = { input = 1.0, output = 2.0 }\n') as made:
        yield made


def items_of(server: RunningServer, run_id: str, **query: Any) -> Any:
    return server.ask("GET", f"/pages/runs/{run_id}/items?{urlencode(query)}").json()


def test_an_eval_is_listed_with_its_last_rates(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """The newest run first; a rate leaves errors out, and has Wilson's interval."""
    server, eval_id, runs = seeded

    found = server.ask("GET", "/pages/evals").json()["data"]

    assert [one["id"] for one in found] == [eval_id]
    assert [run["id"] for run in found[0]["runs"]] == runs[::-1]
    last = found[0]["runs"][0]
    n = last["passed"] + last["failed"]
    assert last["errored"] > 0
    assert last["rate"] == pytest.approx([last["passed"] / n, *wilson_of_few(last["passed"], n)])


def test_a_run_has_a_rate_for_each_criterion(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """Its errors are counted apart; tokens stand by model and role, with a cost where the model has a price."""
    server, eval_id, runs = seeded

    found = server.ask("GET", f"/pages/evals/{eval_id}").json()

    run = found["data"][1]
    assert [one["id"] for one in found["data"]] == runs[::-1]
    assert [one["name"] for one in run["criteria"]] == ["equal", "helpful", "unknown field"]
    assert [one["errored"] for one in run["criteria"]] == [0, 0, 12]
    assert all(one["passed"] + one["failed"] + one["errored"] == N_ITEMS for one in run["criteria"])
    used = {(one["model"], one["role"]): one for one in run["usage"]}
    assert run["cost"] == pytest.approx(N_ITEMS * (10 * 1.0 + 5 * 2.0) / 1e6)
    assert used["judge", "grader"]["cost"] is None


FILTERS: list[Any] = [
    # query, what every item found is like, how many
    pytest.param({}, lambda one: True, N_ITEMS, id="none"),
    pytest.param({"status": "error"}, lambda one: one["status"] == "error", 11, id="status"),
    pytest.param({"criterion": 0, "verdict": "fail"}, lambda one: not one["scores"][0][2], 19, id="failed"),
    pytest.param({"criterion": 2, "verdict": "error"}, lambda one: one["scores"][2][3], 12, id="errored"),
    pytest.param({"criterion": 1, "high": 0.5}, lambda one: one["scores"][1][1] <= 0.5, 19, id="score"),
    pytest.param({"q": "lyon"}, lambda one: "Lyon" in one["output"], 19, id="word of the output"),
    pytest.param({"q": "capi* 17"}, lambda one: one["n"] == 17, 1, id="beginning, and word of the item"),
    pytest.param({"q": '"lyon OR (* nothing'}, None, 0, id="no syntax but the star"),
    pytest.param({"q": "lyon", "status": "error"}, lambda one: one["status"] == "error", 0, id="two"),
    pytest.param({"q": "capital", "status": "error"}, lambda one: one["status"] == "error", 11, id="word, status"),
    pytest.param({"q": "capital", "criterion": 2, "verdict": "error"}, lambda one: one["scores"][2][3], 12, id="word, verdict"),
    pytest.param({"q": "statusfail"}, None, 0, id="a mark is no word"),
    pytest.param({"q": "lyon", "criterion": 0, "high": 0}, lambda one: one["scores"][0][1] == 0, 19, id="word, score"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "like", "n"), FILTERS)
@pytest.mark.parametrize("limit", [7, 100])
def test_items_are_filtered(
    seeded: tuple[RunningServer, str, list[str]], query: dict[str, Any], like: Any, n: int, limit: int
) -> None:
    """Page after page gives each item that is like that once."""
    server, _, (run_id, _) = seeded

    page = items_of(server, run_id, **query, limit=limit)
    found = page["data"]
    while page["next"]:
        page = items_of(server, run_id, **query, limit=limit, after=page["next"])
        found += page["data"]

    assert len({one["n"] for one in found}) == len(found) == n
    assert all(like(one) for one in found)


def test_items_by_score(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """The lowest first, those with the same score in the data's order."""
    server, _, (run_id, _) = seeded

    found = items_of(server, run_id, sort="score", criterion=1, limit=100)["data"]

    order = [(one["scores"][1][1], one["n"]) for one in found]
    assert order == sorted(order)
    assert order[0][0] < order[-1][0]


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("runs/{run}/items?status=odd", 400, "status"),
        ("runs/{run}/items?low=x", 400, "low"),
        ("runs/{run}/items?criterion=-1", 400, "criterion"),
        ("runs/{run}/items?after=7", 400, "after"),
        ("runs/{run}/items?after=[[]]", 400, "after"),
        ("runs/evalrun_0/items", 404, None),
        ("evals/eval_0", 404, None),
        ("comparison?run_id={run}", 400, "run_id"),
        ("comparison?run_id={run}&run_id={run}", 400, "run_id"),
        ("comparison?run_id={run}&run_id=evalrun_0", 404, None),
    ],
)
def test_invalid_queries_are_refused(
    seeded: tuple[RunningServer, str, list[str]], path: str, status: int, param: str | None
) -> None:
    """With the parameter that is wrong."""
    server, _, (run_id, _) = seeded

    answer = server.ask("GET", "/pages/" + path.format(run=run_id))

    assert (answer.status, answer.error["param"]) == (status, param)


def test_runs_side_by_side(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """Every pair of what flipped, paired by item; the figures count the same flips."""
    server, _, runs = seeded
    asked = "/pages/comparison?" + urlencode([("run_id", run) for run in runs])

    found = server.ask("GET", f"{asked}&criterion=equal&only=flips").json()
    rest = server.ask("GET", f"{asked}&criterion=equal&only=flips&start=50&figures=no").json()
    every = server.ask("GET", f"{asked}&figures=no").json()

    equal = next(one for one in found["comparisons"][0]["criteria"] if one["name"] == "equal")
    verdicts = [pair["verdicts"] for pair in found["data"] + rest["data"]]
    assert found["n_shown"] == len(verdicts) == equal["up"] + equal["down"]
    assert sum(not a for a, _ in verdicts) == equal["up"]
    assert equal["p_adjusted"] >= equal["p_value"]
    assert all(pair["items"][0]["item"] == pair["items"][1]["item"] for pair in found["data"])
    assert (every["n_shown"], every["n_items"]) == (N_ITEMS, N_ITEMS)
    assert "comparisons" not in every
    figures = server.ask("GET", f"{asked}&figures=only").json()
    assert set(figures) == {"runs", "comparisons"}
    assert figures["comparisons"] == found["comparisons"]


def test_a_run_is_graded_again(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """Other criteria over the same samples: a new eval, no model is asked for a sample, and the runs are comparable."""
    server, eval_id, (run_id, other_id) = seeded
    criteria = [
        {
            "type": "string_check",
            "name": "paris",
            "operation": "like",
            "input": "{{sample.output_text}}",
            "reference": "Paris",
        }
    ]

    answer = server.post(f"/v1/evals/{eval_id}/runs/{run_id}/regrade", {"testing_criteria": criteria})

    assert answer.status == 201
    client = client_of(server)
    run = ended(client, client.evals.runs.retrieve(answer.json()["id"], eval_id=answer.json()["eval_id"]))
    assert run.eval_id != eval_id
    assert (run.result_counts.passed, run.result_counts.failed) == (N_ITEMS - 19, 19)
    assert not [one for one in run.per_model_usage or [] if one.invocation_count]
    three = [("run_id", one) for one in (run_id, run.id, other_id)]
    compared = server.ask("GET", f"/pages/comparison?{urlencode(three)}").json()
    assert [one["run_id"] for one in compared["comparisons"]] == [run.id, other_id]
    assert all(len(pair["verdicts"]) == 3 for pair in compared["data"])


def test_claims_stand_beside_the_rates_that_they_qualify(tmp_path: Path) -> None:
    """Those that hold for a criterion, and expired ones of a grader of its name; a run's rate is corrected by them."""
    path = tmp_path / "claims.json"
    write_claims(path)
    with seeded_server(claims=[str(path)]) as (server, eval_id, (run_id, _)):
        of_eval = server.ask("GET", f"/pages/evals/{eval_id}").json()["claims"]
        of_run = server.ask("GET", f"/pages/runs/{run_id}").json()["claims"]
        path.write_text("{")
        broken = server.ask("GET", f"/pages/runs/{run_id}").json()["claims"]

    assert [[(one["name"], one["expired"]) for one in some] for some in of_eval] == [
        [("attack", True)],
        [("calibration", False)],
        [],
    ]
    assert of_eval[0][0]["text"].startswith("expired, since it was made with another 'operation' of the spec")
    assert of_eval[1][0]["text"].startswith("calibrated: kappa 0.81 [0.74, 0.87] on 240 labels")
    assert "corrected" not in of_eval[1][0]["text"]
    # 111 of 130 pass: (111 / 130 + 0.8 - 1) / (0.9 + 0.8 - 1), as Rogan and Gladen have it
    assert "pass rate corrected for the grader's errors 0.934" in of_run[1][0]["text"]
    assert [len(some) for some in broken] == [1, 1, 1]
    assert "no claims file" in broken[0][0]["text"]


def test_report_url_is_a_page(seeded: tuple[RunningServer, str, list[str]]) -> None:
    """The address that a run names as its report is a page."""
    server, eval_id, (run_id, _) = seeded
    run = client_of(server).evals.runs.retrieve(run_id, eval_id=eval_id)

    answer = server.ask("GET", run.report_url.removeprefix(server.url))

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_a_file_is_imported() -> None:
    """The page imports the files of `grader evals import`; others are refused and leave no file."""
    row = '{"run_id": "r1", "data_source_idx": 0, "item": {"q": "a"}, "grades": {"g": 1.0}, "passes": {"g": true}}\n'
    boundary = "x" * 20

    def send(server: RunningServer, content: str) -> Any:
        form = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="history.jsonl"\r\n\r\n'
            f"{content}\r\n--{boundary}--\r\n"
        )
        kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
        return server.ask("POST", "/pages/imports", form.encode(), kind)

    with seeded_server() as (server, _, _):
        taken, refused = send(server, row), send(server, "no JSON")
        left = [path.name for path in (server.home / "files").rglob("*") if path.is_file()]

    assert (taken.status, taken.json()["runs"], taken.json()["items"]) == (200, 1, 1)
    assert (refused.status, refused.error["param"]) == (400, "file")
    assert left == []


def test_pages_need_no_token_and_their_data_does() -> None:
    """A page holds nobody's data: its script asks for it with the token."""
    with serving(token="secret") as server:
        for path in ("/", "/evals/eval_1", "/compare", "/jobs", "/jobs/x", "/row"):
            assert server.ask("GET", path).status == 200, path
        for path in ("/pages/evals", "/pages/comparison", "/evals/a/b", "/evals", "/row/"):
            assert server.ask("GET", path).status == 401, path
