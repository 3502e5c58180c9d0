"""How large modules, classes, functions and rooms may be, and which are larger for a reason."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("graders", "sandbox/graders_sandbox", "trainer/graders_train")

MODULE_LINES, MEDIAN_LINES, ROOM_LINES = 300, 130, 3000
CLASS_LINES, FUNCTION_LINES = 300, 60

#: Modules that are longer, and why no cut through them would help a reader.
LONG_MODULES = {
}
#: Packages that are larger.
LARGE_ROOMS = {}
#: Functions that are longer.
LONG_FUNCTIONS = {
}


def modules() -> dict[str, str]:
    """Path from the root -> text."""
    files = (file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


MODULES = modules()


def length(text: str) -> int:
    return len(text.splitlines())


def test_modules() -> None:
    """None is over 300 lines but those of LONG_MODULES, and the median is at most 130."""
    long = {path for path, text in MODULES.items() if length(text) > MODULE_LINES}

    assert long - LONG_MODULES.keys() == set()
    assert statistics.median(map(length, MODULES.values())) <= MEDIAN_LINES


@pytest.mark.parametrize(
    "room", sorted({str(Path(path).parent) for path in MODULES if path.startswith("graders")})
)
def test_rooms(room: str) -> None:
    """A package's own modules, those of the packages inside of it apart, have fewer than 3,000 lines in all."""
    own = (length(text) for path, text in MODULES.items() if str(Path(path).parent) == room)

    assert sum(own) < ROOM_LINES or room in LARGE_ROOMS


@cache
def definitions() -> tuple[tuple[str, int, int], ...]:
    """Every class and function: its place, its lines without its own docstring, and how many it may have."""
    return tuple(_definitions())


def _definitions() -> Iterator[tuple[str, int, int]]:
    for path, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            assert node.end_lineno is not None
            docstring = ast.get_docstring(node, clean=False) or ""
            lines = node.end_lineno - node.lineno + 1 - length(docstring)
            yield (
                f"{path}:{node.name}",
                lines,
                CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES,
            )


def is_command(place: str) -> bool:
    """Whether a function is a command line's: its arguments are the options, one a line."""
    return place.startswith("graders/cli/") and place.endswith(":command")


def test_classes_and_functions() -> None:
    """No class over 300 lines and no function over 60, docstrings apart; commands have as many lines as options."""
    found = {place: lines for place, lines, most in definitions() if lines > most and not is_command(place)}

    assert found.keys() - LONG_FUNCTIONS.keys() == set()


def test_what_is_larger_is_larger() -> None:
    """A row goes when its module, package or function is gone, or is no longer larger."""
    rooms = {
        room: sum(length(text) for path, text in MODULES.items() if str(Path(path).parent) == room)
        for room in LARGE_ROOMS
    }
    larger = {place for place, lines, most in definitions() if lines > most}

    assert [path for path in LONG_MODULES if length(MODULES.get(path, "")) <= MODULE_LINES] == []
    assert [room for room, lines in rooms.items() if lines < ROOM_LINES] == []
    assert LONG_FUNCTIONS.keys() - larger == set()
