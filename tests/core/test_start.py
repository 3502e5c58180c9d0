"""What a newcomer and a repository need: examples, completion, hooks, an action, a schema for editors."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from graders.cli import group
from graders.cli.completion import SHELLS
from graders.kinds import KINDS
from graders.kinds.schema import json_schema
from tests.specs import string_check

ROOT = Path(__file__).parents[2]


def grader(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(group, arguments, standalone_mode=False)
    return done.return_value, done.output


README = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
#: Type -> its section of the examples' README.
SECTIONS = dict(re.findall(r"^## (\w+): [^\n]*\n(.*?)(?=^## |\Z)", README, re.M | re.S))
EXAMPLES = {json.loads(file.read_text())["type"]: file for file in (ROOT / "examples").glob("*.grader.json")}


def test_each_type_has_an_example() -> None:
    assert set(SECTIONS) == set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_commented_specs_are_the_examples(kind: str) -> None:
    """JSON has no comments: they are beside a copy, which is the same spec."""
    (block,) = re.findall(r"^```jsonc\n(.*?)^```", SECTIONS[kind], re.M | re.S)

    commented = json.loads(re.sub(r" +// .*", "", block))

    spec = json.loads(EXAMPLES[kind].read_text())
    if kind == "python":
        assert spec["source"] == (ROOT / "examples" / "number.py").read_text()
        commented["source"] = spec["source"]
    assert commented == spec


@pytest.mark.parametrize("kind", KINDS)
def test_init_writes_examples_that_work(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of a type's section, as it stands there, in the folder that was written: no row fails, none leaves the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert grader("init", "here")[0] == 0
    monkeypatch.chdir("here")
    commands = [
        shlex.split(line)[1:]
        for block in re.findall(r"^```sh\n(.*?)^```", SECTIONS[kind], re.M | re.S)
        for line in block.splitlines()
    ]
    with remote_grader() if kind == "endpoint" else nullcontext():
        for command in commands:
            arguments = command[: command.index(">")] if ">" in command else command

            code, said = grader(*arguments)

            assert code == 0, said
            if command[0] == "batch":
                assert " 0 failed" in said
    assert commands


@contextmanager
def remote_grader() -> Iterator[None]:
    """The example's server on a free port, which the example's spec and configuration are given."""
    process = subprocess.Popen([sys.executable, "grade_server.py", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        port = process.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0]
        for name in ("remote.grader.json", "remote.toml"):
            Path(name).write_text(Path(name).read_text().replace("8322", port))
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("suite", "passed"), [("graders.toml", 3), ("recorded.toml", 2)])
def test_the_suites_of_the_examples_pass(
    suite: str, passed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suites run from the folder above, since their paths are relative to their file."""
    monkeypatch.chdir(tmp_path)
    grader("init", "here")

    code, said = grader("test", f"here/{suite}")

    assert (code, f"{passed} passed" in said) == (0, True)


def test_the_recorded_judge_has_the_examples_questions(tmp_path: Path) -> None:
    """The file is what its script writes, so that a change of a spec does not leave it behind."""
    script = runpy.run_path(str(ROOT / "scripts" / "record_judge.py"))

    script["record"](tmp_path / "recorded.jsonl")

    recorded = (ROOT / "examples" / "recorded_judge.jsonl").read_bytes()
    assert (tmp_path / "recorded.jsonl").read_bytes() == recorded


def test_init_overwrites_nothing_unasked(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("mine")

    code, said = grader("init", str(tmp_path))
    assert (code, "answers.jsonl already; --force" in said) == (1, True)
    assert [file.name for file in tmp_path.iterdir()] == ["answers.jsonl"]
    assert grader("init", str(tmp_path), "--force")[0] == 0
    assert (tmp_path / "answers.jsonl").read_text() != "mine"


def test_the_examples_are_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {
        "examples": "graders/examples"
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    code, script = grader("completion", shell)

    assert code == 0
    assert "_GRADER_COMPLETE" in script


def test_completion_answers_the_shell() -> None:
    """The bash script's question, the words so far and the index of the current one, is answered."""
    asks = {"_GRADER_COMPLETE": "bash_complete", "COMP_WORDS": "grader val", "COMP_CWORD": "1"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "grader")],
        env={**os.environ, **asks},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == ["plain,validate"]


def test_the_hook_validates_spec_files() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))

    assert hook["entry"].split() == ["grader", "validate"]
    names = {file.name: bool(re.search(hook["files"], file.name)) for file in (ROOT / "examples").iterdir()}
    assert names == {name: name.endswith(".grader.json") for name in names}


def test_editor_settings_match_the_examples() -> None:
    """docs/editors.md: both snippets of JSON are JSON, and their patterns fit every example of a spec and nothing else."""
    text = (ROOT / "docs" / "editors.md").read_text(encoding="utf-8")
    settings, entry = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", text, re.M | re.S))

    for patterns in (settings["json.schemas"][0]["fileMatch"], entry["fileMatch"]):
        names = {file.name: any(map(file.match, patterns)) for file in (ROOT / "examples").iterdir()}
        assert names == {name: name.endswith(".grader.json") for name in names}


def test_the_documented_workflows_use_existing_inputs() -> None:
    """docs/editors.md: the hook's id and the action's inputs."""
    text = (ROOT / "docs" / "editors.md").read_text(encoding="utf-8")
    hook, action = (yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S))

    defined = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [one["id"] for one in hook["repos"][0]["hooks"]] == [one["id"] for one in defined]
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    assert set(action["jobs"]["grade"]["steps"][-1]["with"]) <= set(inputs)


def test_the_action_grades(tmp_path: Path) -> None:
    """Its last step in bash, as a runner runs it: inputs by the environment."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    step = action["runs"]["steps"][-1]
    given = {
        "spec": "examples/exact.grader.json",
        "data": "examples/answers.jsonl",
        "output": str(tmp_path / "r.jsonl"),
        "arguments": "--limit 2 --fail-under 0",
    }
    environment = {name: given[text.split()[1].removeprefix("inputs.")] for name, text in step["env"].items()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    summary = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=ROOT,
        env={**os.environ, **environment, **summary, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("more", [{"$schema": "./grader.schema.json"}, {"id": "g-1", "grdr_id": "g-1"}])
def test_the_schema_accepts_valid_specs(more: dict[str, Any]) -> None:
    """Finding M5: the help says to name the schema in the spec, and the schema refused the key."""
    jsonschema.validate({**string_check(), **more}, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**string_check(), "refrence": "x"}, json_schema())


def test_files_that_help_names_are_there() -> None:
    """`grader doctor --help` named examples/judge.grader.json, which never was."""
    named = set(
        re.findall(r"examples/[\w.-]+\w", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"))
    )

    assert len(named) > 3
    assert [name for name in named if not (ROOT / name).exists()] == []
