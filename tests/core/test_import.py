"""Starting is light: what `import graders` and the first commands load and cost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def modules_after(statement: str, *flags: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(out.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    ["import graders", "import graders.metrics", "import graders_sandbox", "import graders.models"],
)
def test_import_brings_in_no_third_party_module(statement: str) -> None:
    """Only the standard library and our own modules are loaded."""
    new = {name.partition(".")[0] for name in modules_after(statement) - modules_after("pass")}

    assert new <= set(sys.stdlib_module_names) | {"graders", "graders_sandbox"}


def test_import_brings_in_no_heavy_standard_module() -> None:
    """The modules that cost milliseconds come with the function that needs them."""
    new = modules_after("import graders") - modules_after("pass")

    assert not new & {
        "asyncio",
        "socket",
        "ssl",
        "http.client",
        "email",
        "subprocess",
        "sqlite3",
        "importlib.metadata",
        "pathlib",
    }


def test_import_loads_at_most_20_modules() -> None:
    """Each costs about a millisecond; benchmarks/per_call.py measures the time, which depends on the machine."""
    assert len(modules_after("import graders") - modules_after("pass")) <= 20


COMMAND = """
import sys, graders.cli
sys.argv = ['grader', {}]
try:
    graders.cli.main()
except SystemExit:
    pass
sys.stdout.write('\\n')
"""
PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
COMMANDS = [
    # arguments, modules at most, third-party packages
    pytest.param("'--version'", 150, {"click"}, id="version"),
    pytest.param("'validate', 'spec.json'", 330, {"click", "orjson", *PYDANTIC}, id="validate"),
]


@pytest.mark.parametrize(("arguments", "modules", "packages"), COMMANDS)
def test_commands_load_what_they_need(
    arguments: str, modules: int, packages: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command's first 100 ms are its imports: no network, no numpy, no database before they are used."""
    monkeypatch.chdir(tmp_path)
    Path("spec.json").write_text(
        '{"type": "string_check", "operation": "eq", "input": "a", "reference": "b"}'
    )
    loaded = modules_after(COMMAND.format(arguments)) - modules_after("pass")

    own = {"graders", "graders_sandbox"}
    third = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - own
    assert {name for name in third if not name.startswith("_")} <= packages
    assert not loaded & {"asyncio", "ssl", "sqlite3"}
    assert len(loaded) <= modules


@pytest.mark.parametrize("stranger", ["sandbox.py", "sandbox/__init__.py"])
def test_a_strangers_sandbox_is_not_ours(stranger: str, tmp_path: Path) -> None:
    """A module called sandbox in the working directory neither replaces ours nor is run."""
    file = tmp_path / stranger
    file.parent.mkdir(exist_ok=True)
    file.write_text("raise SystemExit('the stranger was imported')")

    code = "import graders, graders_sandbox; graders.compile; print(graders_sandbox.Sandbox.__name__)"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert out.stdout.strip() == "Sandbox"


def test_all_is_sorted_and_there() -> None:
    """__all__ names what can be had, in order."""
    import graders

    names = [name for name in graders.__all__ if not name.startswith("__")]
    assert names == sorted(names)
    assert all(getattr(graders, name) is not None for name in graders.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        graders.nothing  # noqa: B018  # reading it is the test
