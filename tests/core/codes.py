"""The codes of problems and findings, read out of the sources: each is promised as a stable word for programs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "graders"
#: Function or class -> which positional argument is the code.
CODE_AT = {
    "error": 1,
    "warn": 1,
    "lenient": 1,
    "Problem": 2,
    "Mistake": 2,
    "add": 1,
    "_error": 0,
    "ReferenceMistake": 0,
    "Fault": 0,
}
ROOMS = (
    "spec",
    "kinds",
    "metrics",
    "engine",
    "preflight",
    "documents",
    "evals",
    "training_files",
    "tuning",
    "testing",
    "template",
)


def codes() -> dict[str, str]:
    """Code -> the file that it was first seen in."""
    found: dict[str, str] = {}
    for room in ROOMS:
        path = ROOT / room
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for code in _codes_of(ast.parse(file.read_text(encoding="utf-8"))):
                found.setdefault(code, str(file.relative_to(ROOT)))
    return found


def _codes_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            at = CODE_AT.get(name, 99)
            code = node.args[at] if len(node.args) > at else None
            if isinstance(code, ast.Constant) and isinstance(code.value, str) and code.value.isidentifier():
                yield code.value
        elif isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Dict):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if getattr(target, "id", "") == "_TEXTS":
                yield from (
                    key.value
                    for key in node.value.keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                )
