"""Every conformance case, three ways: run, run_batch, and the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import graders
from graders import Backends
from graders.ask import ModelAsk, ModelReply
from graders.kinds.reading import read
from graders.spec.reading import load
from tests.judge import Judge, judge_server

FILES = sorted(Path(__file__).parent.joinpath("conformance").glob("*.json"))

#: The recorded numbers are those of Python 3.11; since 3.12 `sum` rounds once, and the reference's last bits with it.
#: tests/metrics holds metrics equal to the bit with the reference on the same Python.
LAST_BIT = 1e-15


def resolve(spec: Any, specs: dict[str, Any]) -> Any:
    """The spec with its {"$use": name, ...} filled in."""
    if not (isinstance(spec, dict) and "$use" in spec):
        return spec
    return {**specs[spec["$use"]], **{key: value for key, value in spec.items() if key != "$use"}}


def cases() -> Iterator[Any]:
    for file in FILES:
        data = json.loads(file.read_text(encoding="utf-8"))
        for case in data["cases"]:
            spec = resolve(case["spec"], data["specs"])
            yield pytest.param({**case, "spec": spec}, id=f"{file.stem}: {case['about']}"[:90])


ALL = list(cases())
REFUSED = [case for case in ALL if "problems" in case.values[0]]
GRADED = [case for case in ALL if "problems" not in case.values[0]]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with judge_server() as judge:
        yield judge


@pytest.fixture(scope="module")
def backends(judge: Judge) -> Iterator[Backends]:
    with Backends(config=str(judge.config)) as backends:
        yield backends


def test_there_are_enough() -> None:
    """Every case says where its expectation comes from, and has a name of its own."""
    assert len(ALL) >= 200
    assert len({case.id for case in ALL}) == len(ALL)
    assert all(case.values[0]["source"] for case in ALL)


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_specs_are_refused_with_their_problems(case: dict[str, Any], backends: Backends) -> None:
    """The spec is refused with the problems named, in the words named."""
    strict = case.get("strict", False)
    read_it = partial(graders.compile, backends=backends) if case.get("compile") else graders.validate

    with pytest.raises(graders.SpecError) as caught:
        read_it(case["spec"], strict=strict)

    problems = caught.value.problems
    found = {(problem.path, problem.code) for problem in problems if problem.severity == "error"}
    assert {(wanted["path"], wanted["code"]) for wanted in case["problems"]} <= found
    if "message" in case:
        assert case["message"] in [problem.message for problem in problems]
    if "hint" in case:
        assert any(case["hint"] in problem.suggestion for problem in problems)


@pytest.mark.parametrize("case", REFUSED)
def test_invalid_specs_are_refused_on_the_command_line(
    case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`grader validate --json` exits 1 and lists the same problems."""
    if case.get("compile"):
        pytest.skip("a matter of configuration, which validate does not look at")
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(case["spec"]))

    code = command("validate", "--json", *(["--strict"] if case.get("strict") else []), str(file))

    listed = json.loads(capsys.readouterr().out)["problems"]
    assert code == 1
    assert {(p["path"], p["code"]) for p in case["problems"]} <= {(p["path"], p["code"]) for p in listed}


@pytest.mark.parametrize("case", GRADED)
def test_warnings_are_those_named(case: dict[str, Any]) -> None:
    """The warnings are those named, and no others."""
    warnings = read(load(case["spec"])).warnings

    assert sorted(warning.code for warning in warnings) == sorted(case.get("warnings", []))


@pytest.mark.parametrize("case", GRADED)
def test_run_gives_the_expected_result(case: dict[str, Any], backends: Backends, judge: Judge) -> None:
    """One row through Grader.run."""
    judge.answer(case.get("judge", ""))
    grader = graders.compile(case["spec"], backends=backends)

    result = grader.run(case["sample"], case["item"], timeout_s=case.get("timeout_s"))

    expect(case, result.to_wire())
    if "asked" in case:
        assert judge.messages() == case["asked"]


@pytest.mark.parametrize("case", [case for case in GRADED if "timeout_s" not in case.values[0]])
def test_run_batch_gives_the_expected_result(case: dict[str, Any], backends: Backends, judge: Judge) -> None:
    """The same row three times through run_batch."""
    judge.answer(case.get("judge", ""))
    grader = graders.compile(case["spec"], backends=backends)
    row = {"sample": case["sample"], "item": case["item"]}

    results = list(grader.run_batch([{**row, "id": f"r{n}"} for n in range(3)]))

    assert [result.id for result in results] == ["r0", "r1", "r2"]
    for result in results:
        expect(case, result.to_wire())


@pytest.mark.parametrize("case", [case for case in GRADED if "timeout_s" not in case.values[0]])
def test_the_command_gives_the_expected_result(
    case: dict[str, Any], judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same row through `grader run`."""
    if case["spec"]["type"] == "python":
        pytest.skip("one sandbox a call is slow; `grader batch` on the python examples covers the command")
    judge.answer(case.get("judge", ""))
    spec, sample, item = (tmp_path / name for name in ("spec.json", "sample.json", "item.json"))
    for file, value in ((spec, case["spec"]), (sample, case["sample"]), (item, case["item"])):
        file.write_text(json.dumps(value), encoding="utf-8")

    code = command(
        "run",
        str(spec),
        "--sample",
        f"@{sample}",
        "--sample-json",
        "--item",
        f"@{item}",
        "--config",
        str(judge.config),
    )

    expect(case, json.loads(capsys.readouterr().out))
    assert code == (1 if case.get("flags") else 0)


def command(*arguments: str) -> int:
    """Run a `grader` command in this process; its exit code."""
    from graders.cli import main

    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def expect(case: dict[str, Any], wire: dict[str, Any]) -> None:
    """The wire's JSON says what the case says."""
    raised = {name for name, value in wire["metadata"]["errors"].items() if value is True}
    assert raised == set(case.get("flags", [])), wire["metadata"]["errors"]
    if "reward" in case:
        assert wire["reward"] == pytest.approx(case["reward"], rel=LAST_BIT, abs=0)
    if "sub_rewards" in case:
        assert wire["sub_rewards"] == pytest.approx(case["sub_rewards"], rel=LAST_BIT, abs=0)
    if "name" in case:
        assert re.fullmatch(case["name"], wire["metadata"]["name"])


def test_any_object_with_answer_is_a_client() -> None:
    """Any object with `answer` stands in for the model client."""

    class Scripted:
        async def answer(self, ask: ModelAsk, *, deadline: float | None = None) -> ModelReply:
            return ModelReply(ask.verdict.read({"result": 0.5}), '{"result": 0.5}', "scripted")

        async def aclose(self) -> None:
            return None

    from tests.specs import score_model

    with Backends(models=Scripted()) as backends:
        assert graders.run(score_model(), "x", backends=backends).reward == 0.5
