"""How large modules, classes, functions and rooms may be, and that each room says what it holds. There are no exceptions."""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("graders", "sandbox/graders_sandbox", "trainer/graders_train")

MODULE_LINES, MEDIAN_LINES, ROOM_LINES = 300, 130, 3000
CLASS_LINES, FUNCTION_LINES = 300, 60


def modules() -> dict[str, str]:
    """Path from the root -> text."""
    files = (file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


MODULES = modules()
MAP = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def length(text: str) -> int:
    return len(text.splitlines())


def rooms() -> dict[str, dict[str, str]]:
    """Package -> its own modules; a package inside of it is a room of its own."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path, text in MODULES.items():
        found[str(Path(path).parent)][path] = text
    return found


ROOMS = rooms()


def test_modules_are_bounded() -> None:
    """None is over 300 lines, and the median is at most 130."""
    assert [path for path, text in MODULES.items() if length(text) > MODULE_LINES] == []
    assert statistics.median(map(length, MODULES.values())) <= MEDIAN_LINES


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_rooms_are_bounded_and_described(room: str) -> None:
    """A room has fewer than 3,000 lines, a docstring, and a line in the map."""
    assert sum(map(length, ROOMS[room].values())) < ROOM_LINES
    assert ast.get_docstring(ast.parse(ROOMS[room][f"{room}/__init__.py"]))
    name = room.removeprefix("graders/").removeprefix("sandbox/graders_sandbox/")
    assert room == "graders" or f"`{name}/`" in MAP, f"docs/architecture.md does not say what {room} holds"


def definitions() -> Iterator[tuple[str, int, int]]:
    """Every class and function: its place, its lines without its own docstring, and how many it may have."""
    for path, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            assert node.end_lineno is not None
            docstring = ast.get_docstring(node, clean=False) or ""
            lines = node.end_lineno - node.lineno + 1 - length(docstring)
            most = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            yield f"{path}:{node.name}", lines, most


def is_command(place: str) -> bool:
    """Whether a function is a command line's: its arguments are the options, one a line."""
    return place.startswith("graders/cli/") and place.endswith(":command")


def test_classes_and_functions_are_bounded() -> None:
    """No class over 300 lines and no function over 60, docstrings apart; commands have as many lines as options."""
    assert [place for place, lines, most in definitions() if lines > most and not is_command(place)] == []
