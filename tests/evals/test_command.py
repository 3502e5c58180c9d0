"""grader evals: the store's evals from the command line, with and without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from graders.cli.evals import command
from graders.evals.comparison import compare_runs
from graders.judges.scripted import ScriptedJudge, say
from graders.store import Store
from tests.evals.support import custom, equals

ROWS = [{"item": {"answer": str(n % 2)}, "sample": {"output_text": "0"}} for n in range(10)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("GRADERS_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "eval.json").write_text(
        json.dumps({"name": "e", "data_source_config": custom("answer"), "testing_criteria": [equals()]})
    )
    return home


def evals(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def run_id(done: Result) -> str:
    return done.stderr.split()[0]


def test_a_run_without_a_server(tmp_path: Path) -> None:
    """Without a server a run is executed by the command, then listed, shown with its items, and deleted."""
    done = evals("run", "eval.json", "rows.jsonl", "--name", "first")
    run = run_id(done)

    assert done.return_value == 0, done.output
    assert "completed: 5 passed, 5 failed of 10" in done.stdout
    assert "equal: 5 passed, 5 failed" in done.stdout
    listed = evals("ls").stdout
    eval_id = listed.split()[0]
    assert "5 passed, 5 failed of 10" in listed
    assert run in evals("ls", eval_id).stdout
    assert json.loads(evals("ls", "--json").stdout)["id"] == eval_id
    assert json.loads(evals("show", eval_id).stdout)["name"] == "e"
    assert json.loads(evals("show", run, "--json").stdout)["result_counts"]["passed"] == 5
    lines = evals("show", run, "--items").stdout.splitlines()
    assert [json.loads(line)["datasource_item_id"] for line in lines] == list(range(10))
    assert evals("rm", run).return_value == 0
    assert evals("ls", eval_id).stdout == ""
    assert evals("rm", eval_id).return_value == 0
    assert evals("ls").stdout == ""


GATES = [
    # arguments, exit code
    ((), 0),
    (("--fail-under", "0.5"), 0),
    (("--fail-under", "0.51"), 1),
]


@pytest.mark.parametrize(("arguments", "code"), GATES)
def test_gates(arguments: tuple[str, ...], code: int) -> None:
    assert evals("run", "eval.json", "rows.jsonl", *arguments).return_value == code


def test_an_errored_item_exits_with_1(tmp_path: Path) -> None:
    """Exit 1 with an errored item, 3 when nothing could be run."""
    (tmp_path / "rows.jsonl").write_text('{"item": {"answer": "a"}}\n')
    assert evals("run", "eval.json", "rows.jsonl").return_value == 1
    (tmp_path / "rows.jsonl").write_text("")
    done = evals("run", "eval.json", "rows.jsonl")
    assert done.return_value == 3
    assert "no rows" in done.stdout


def test_a_model_is_asked_with_a_prompt_from_a_file(tmp_path: Path) -> None:
    """`--model` names a model of graders.toml, and `--prompt` a file."""
    prompt = {"type": "template", "template": [{"role": "user", "content": "{{item.answer}}"}]}
    (tmp_path / "prompt.json").write_text(json.dumps(prompt))
    (tmp_path / "rows.jsonl").write_text('{"item": {"answer": "yes"}}\n')
    with ScriptedJudge() as model:
        model.default = say("yes")
        (tmp_path / "graders.toml").write_text(
            f'[models."*"]\nbase_url = "{model.base_url}"\napi_key_env = ""\n'
        )

        done = evals(
            "run",
            "eval.json",
            "rows.jsonl",
            "--model",
            "any",
            "--prompt",
            "@prompt.json",
            "--sampling",
            '{"temperature": 0}',
            "--config",
            "graders.toml",
        )

        assert done.return_value == 0, done.output
        assert "sampler any: 1 calls, 15 tokens" in done.stdout
        assert model.received[0].json["temperature"] == 0


def test_compare_lists_the_flips(tmp_path: Path) -> None:
    """Paired by the items' content, whatever their order."""
    a = run_id(evals("run", "eval.json", "rows.jsonl"))
    better = [{**row, "sample": {"output_text": "1"}} for row in ROWS[:3]] + ROWS[3:]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in better[::-1]))
    b = run_id(evals("run", "eval.json", "rows.jsonl"))

    done = evals("compare", a, b)

    # items are "0" and "1" only, so equal items are paired in their order
    assert done.return_value == 0
    assert "10 items in both, 2 different ones" in done.stdout
    assert "sign-flip p =" in done.stdout
    assert evals("compare", a, a).stdout.count("0 up, 0 down") == 2


def test_equal_items_are_repeats_of_one(tmp_path: Path) -> None:
    """Five rows of each of eight items, and of forty: the same figures, with intervals and p over items."""
    found = []
    for n_items in (8, 40):
        runs = []
        for shift in (0, 1):
            data = [
                {
                    "item": {"answer": "1", "n": n % n_items},
                    "sample": {"output_text": str(int(n % 8 > 2 * shift))},
                }
                for n in range(40)
            ]
            (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
            runs.append(run_id(evals("run", "eval.json", "rows.jsonl")))
        with Store() as store:
            a, b = (store.runs.get(run) for run in runs)
            assert a is not None
            assert b is not None
            compared = compare_runs(store, a, b)
        assert (compared.n_pairs, compared.n_items, compared.repeats) == (40, n_items, n_items == 8)
        found.append(compared.criteria[1])

    clustered, independent = found
    assert independent.down == 10
    assert independent.p_value == pytest.approx(2 * 0.5**10)
    # two of eight items went down: all signs of two numbers give as large a sum in two of four cases
    assert (clustered.down, clustered.p_value) == (10, 0.5)
    for name in ("rate_a", "rate_b", "difference", "agreement"):
        one, other = getattr(clustered, name), getattr(independent, name)
        assert (one.value, one.n, one.items, other.items) == (other.value, 40, 8, 40)
        assert one.width > 1.8 * other.width, name


def test_regrade_keeps_the_samples(tmp_path: Path) -> None:
    """A run is graded again under other criteria or the same, with both verdicts and their agreement."""
    run = run_id(evals("run", "eval.json", "rows.jsonl"))

    same = evals("regrade", run)
    (tmp_path / "other.json").write_text(json.dumps([equals("1", operation="ne"), equals(name="more")]))
    other = evals("regrade", run, "--criteria", "@other.json")

    assert "agreement on equal: 100.0% of 10" in same.stdout
    assert "agreement on equal: 50.0% of 10" in other.stdout
    assert "kappa 0.00, 95 % interval" in other.stdout
    assert "5 up, 0 down" in other.stdout
    assert "item 1: fail -> pass" in other.stdout


def test_agreement_has_an_interval_over_items(tmp_path: Path) -> None:
    """Ten rows of two items, and of ten: the figure is the same, and two items say less."""
    widths = []
    (tmp_path / "other.json").write_text(json.dumps([equals("1", operation="ne", name="equal")]))
    for data in (ROWS, [{**row, "item": {**row["item"], "n": n}} for n, row in enumerate(ROWS)]):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
        done = evals(
            "regrade", run_id(evals("run", "eval.json", "rows.jsonl")), "--criteria", "@other.json", "--json"
        )
        assert done.return_value == 0, done.output
        answer = json.loads(done.stdout)
        assert (answer["run"]["object"], answer["run"]["status"]) == ("eval.run", "completed")
        one = next(found for found in answer["criteria"] if found["name"] == "equal")
        agreed = one["agreement"]
        assert (one["n"], agreed["value"], one["kappa"]["value"]) == (10, 0.5, 0.0)
        assert one["flips"][0] == {"n_a": 1, "n_b": 1, "passed_a": False}
        assert agreed["items"] == len({json.dumps(row["item"]) for row in data})
        widths.append(agreed["high"] - agreed["low"])

    # Wilson's interval of 5 in 10
    assert (agreed["low"], agreed["high"]) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert widths[0] > widths[1]


def test_a_run_beside_a_server_is_executed_by_it(tmp_path: Path, home: Path) -> None:
    """`run` queues it and waits; `wait` waits for one."""
    from graders.engine.backends import Backends
    from graders.evals.runner import Runner
    from tests.server.support import load_config_of

    with Store(home) as store, store.claim(), Backends(config=load_config_of("")) as backends:
        runner = Runner(store, backends)
        try:
            done = evals("run", "eval.json", "rows.jsonl")
            again = evals("wait", run_id(done))
        finally:
            runner.close()

    assert (done.return_value, again.return_value) == (0, 0)
    assert "5 passed" in again.stdout


UNKNOWN = [
    ("show", "x"),
    ("wait", "evalrun_x"),
    ("regrade", "evalrun_x"),
    ("rm", "x"),
    ("compare", "a", "b"),
    ("ls", "eval_x"),
]


@pytest.mark.parametrize("arguments", UNKNOWN)
def test_missing_objects_are_reported(arguments: tuple[str, ...]) -> None:
    done = evals(*arguments)

    assert done.return_value == 1
    assert "in the store" in done.stderr


def test_a_bad_eval_is_explained(tmp_path: Path) -> None:
    bad: Any = {"data_source_config": custom("answer"), "testing_criteria": [{"type": "string_chek"}]}
    (tmp_path / "eval.json").write_text(json.dumps(bad))

    done = evals("run", "eval.json", "rows.jsonl")

    assert done.return_value == 1
    assert "string_check" in done.stderr


def test_old_runs_are_removed() -> None:
    run = run_id(evals("run", "eval.json", "rows.jsonl"))

    assert "deleted 0 runs" in evals("rm", "--older-than", "1").stderr
    assert evals("show", run).return_value == 0
