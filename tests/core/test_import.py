"""Starting is light: what `import graders` and the first commands load and cost."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

LOADED = "import json, sys; {}; print(json.dumps(sorted(sys.modules)))"


def modules_after(statement: str, *flags: str) -> set[str]:
    out = subprocess.run(
        [sys.executable, *flags, "-c", LOADED.format(statement)], capture_output=True, text=True, check=True
    )
    return set(json.loads(out.stdout))


@pytest.mark.parametrize(
    "statement",
    ["import graders", "import graders.metrics", "import graders_sandbox", "import graders.models"],
)
def test_brings_in_no_third_party_module(statement: str) -> None:
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


def cpu_ms(command: list[str], repeats: int) -> float:
    """The smallest user + system time of a few runs, in ms: noise only adds."""
    best = float("inf")
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best * 1000


def test_import_costs_at_most_30_ms() -> None:
    """Over a bare interpreter."""
    bare = cpu_ms([sys.executable, "-c", "pass"], 5)

    assert cpu_ms([sys.executable, "-c", "import graders"], 5) - bare <= 30


def test_commands_answer_soon(tmp_path: Path) -> None:
    """--version within 150 ms of CPU, validate within 500."""
    spec = tmp_path / "spec.json"
    spec.write_text('{"type": "string_check", "operation": "eq", "input": "a", "reference": "b"}')
    grader = [sys.executable, "-m", "graders.cli"]

    assert cpu_ms([*grader, "--version"], 5) <= 150
    assert cpu_ms([*grader, "validate", str(spec)], 5) <= 500


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
