"""The line between host and jail, as the imports show it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import graders_sandbox

HOME = Path(graders_sandbox.__file__).parent
#: dataclasses and typing would be a megabyte and a half more in what every sample is a fork of.
TOO_LARGE = {"dataclasses", "typing", "socket", "random", "inspect"}


def imported(statements: list[ast.stmt]) -> Iterator[str]:
    """Modules that a file imports when it runs: all but those for type checkers."""
    for statement in statements:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", sorted((HOME / "jail").rglob("*.py")), ids=lambda path: path.stem)
def test_the_jail_imports_nothing_of_the_host(path: Path) -> None:
    """Modules of the jail import none of the host, and none that every sample would have to copy."""
    found = set(imported(ast.parse(path.read_text()).body))

    assert not {name for name in found if "host" in name.split(".")}
    assert not found & TOO_LARGE


@pytest.mark.parametrize("path", sorted((HOME / "host").rglob("*.py")), ids=lambda path: path.stem)
def test_the_host_imports_nothing_of_the_jail(path: Path) -> None:
    """Host and jail share frames, limits and kernel calls; the host starts the jail's modules as programs."""
    found = set(imported(ast.parse(path.read_text()).body))

    assert not {name for name in found if "jail" in name.split(".")}
