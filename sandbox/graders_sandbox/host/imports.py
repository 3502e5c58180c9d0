"""What a program imports and which patterns it writes down, so that the server can load and compile them once instead of
every sample again."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import all_suffixes
from importlib.util import find_spec
from itertools import takewhile

from graders_sandbox.jail.program import MODULES

#: The packages of the hosted image (OpenAI graders guide, image 2025-05-08): import names. Those installed are loaded.
HOSTED = frozenset(
    ("numpy", "scipy", "sympy", "pandas", "rapidfuzz", "sklearn", "rouge_score", "deepdiff", "jsonschema", "pydantic",
     "yaml", "nltk", "sqlparse", "rdkit", "skbio", "ast_grep_py")
)  # fmt: skip

#: Standard modules that do something when imported, want a screen, or are no use inside.
_LEFT_OUT = frozenset(
    ("antigravity", "this", "idlelib", "lib2to3", "tkinter", "turtle", "turtledemo", "test", "ensurepip", "venv", "pip",
     "webbrowser", "__future__", "multiprocessing", "site", "sitecustomize", "usercustomize")
)  # fmt: skip

#: Parts of a module's name that are never loaded ahead: command lines that parse arguments and leave, and test suites.
_NEVER_AHEAD = frozenset(("__main__", "conftest", "setup", "test", "tests", "benchmark", "benchmarks"))

#: What a module loads only when it is used, so that no program names it.
_LATE = {"asyncio": "concurrent.futures.thread", "concurrent.futures": "concurrent.futures.thread"}
#: numpy loads it when it is first touched. Only where that may be: it has ninety mappings of memory, copied for each sample.
NUMPY_RANDOM = "numpy.random"

#: Where functions of re take their flags; the pattern comes first.
_FLAGS_AT = {
    "compile": 1,
    "search": 2,
    "match": 2,
    "fullmatch": 2,
    "findall": 2,
    "finditer": 2,
    "split": 3,
    "sub": 4,
    "subn": 4,
}
_FLAGS = {name: int(flag) for name, flag in re.RegexFlag.__members__.items() if flag is not re.DEBUG}
PATTERNS_BYTES = 16_000  # of all patterns together, as they are sent to a server


@dataclass(frozen=True, slots=True)
class Named:
    """What to load before the fork.

    Attributes:
        packages: Modules of installed packages; a server is kept for each such set.
        standard: Modules of the standard library, and numpy.random; any server loads them when first asked.
        untrusted: Whether it runs other people's code (`run_untrusted`).
        patterns: Regular expressions that the program gives to functions of re as literals, with their flags.
    """

    packages: frozenset[str] = frozenset()
    standard: frozenset[str] = frozenset()
    untrusted: bool = False
    patterns: tuple[tuple[str, int], ...] = ()


@lru_cache(maxsize=1024)
def named(source: str) -> Named:
    """What the source imports anywhere, functions included, if it is known. A source that does not parse names nothing."""
    if "import" not in source:
        return Named()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Named()
    names: set[str] = set()
    patterns: dict[tuple[str, int], None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and (pattern := _pattern(node)) is not None:
            patterns[pattern] = None
    untrusted = "graders_sandbox" in names
    names = {ahead for name in names if (ahead := _loadable(name))}
    names |= {late for name, late in _LATE.items() if name in names}
    standard = {
        n for n in names if n.partition(".")[0] in sys.stdlib_module_names - _LEFT_OUT and _is_module(n)
    }
    if untrusted:
        standard |= set(MODULES)  # for the tests' text, which nobody has read yet
    packages = {name for name in names if name.partition(".")[0] in HOSTED and _is_module(name)}
    if "numpy" in packages and (
        "random" in source or any(name.partition(".")[0] != "numpy" for name in packages)
    ):
        standard.add(NUMPY_RANDOM)
    few = len(json.dumps([*patterns])) <= PATTERNS_BYTES
    return Named(frozenset(packages), frozenset(standard), untrusted, tuple(patterns) if few else ())


def _loadable(name: str) -> str:
    """The part of a module's name that may be loaded ahead: up to the first that must not be."""
    return ".".join(takewhile(lambda part: part not in _NEVER_AHEAD, name.split(".")))


def _pattern(call: ast.Call) -> tuple[str, int] | None:
    """The literal pattern and flags of a call such as re.search(r"...", text, re.I); None for any other call."""
    match call:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="re"), attr=name), args=[ast.Constant(value=str(text)), *_]
        ) if name in _FLAGS_AT:
            at = _FLAGS_AT[name]
            said = [call.args[at]] if len(call.args) > at else []
            said += [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
            flags = _flags(said[0]) if said else 0
            return None if flags is None else (text, flags)
    return None


def _flags(node: ast.expr) -> int | None:
    """Of re.I, re.I | re.M, 0; None for what is not known before it runs."""
    match node:
        case ast.Attribute(value=ast.Name(id="re"), attr=name):
            return _FLAGS.get(name)
        case ast.BinOp(op=ast.BitOr()):
            left, right = _flags(node.left), _flags(node.right)
            return None if left is None or right is None else left | right
        case ast.Constant(value=0):
            return 0
    return None


@lru_cache(maxsize=4096)
def _is_module(name: str) -> bool:
    """Whether there is a module of this name, found without importing anything."""
    top, *parts = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    folders = list(spec.submodule_search_locations or ())
    for part in parts:
        if not part.isidentifier():
            return False
        bases = [os.path.join(folder, part) for folder in folders]
        folders = [base for base in bases if os.path.isdir(base)]
        if not folders and not any(
            os.path.exists(base + suffix) for base in bases for suffix in all_suffixes()
        ):
            return False
    return True
