"""Selects the modules that are loaded once before the fork, and not again by every sample."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import all_suffixes
from importlib.util import find_spec
from itertools import takewhile

from graders_sandbox.modules import MODULES

#: The packages of the hosted image (OpenAI graders guide, image 2025-05-08): import names. Those installed are loaded.
HOSTED = frozenset(
    ("numpy", "scipy", "sympy", "pandas", "rapidfuzz", "sklearn", "rouge_score", "deepdiff", "jsonschema", "pydantic",
     "yaml", "nltk", "sqlparse", "rdkit", "skbio", "ast_grep_py")
)  # fmt: skip

#: Standard modules that have side effects when imported, need a display, or are useless inside.
_LEFT_OUT = frozenset(
    ("antigravity", "this", "idlelib", "lib2to3", "tkinter", "turtle", "turtledemo", "test", "ensurepip", "venv", "pip",
     "webbrowser", "__future__", "multiprocessing", "site", "sitecustomize", "usercustomize")
)  # fmt: skip

#: Parts of modules' names that are never preloaded: command lines, which may exit, and test suites.
_NEVER_AHEAD = frozenset(("__main__", "conftest", "setup", "test", "tests", "benchmark", "benchmarks"))

#: Module -> a module that it loads lazily, which no program names.
_LATE = {"asyncio": "concurrent.futures.thread", "concurrent.futures": "concurrent.futures.thread"}
#: Loaded lazily by numpy. Preloaded only for programs that may use it, since its ninety memory mappings cost each fork.
NUMPY_RANDOM = "numpy.random"


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The modules to load before the fork.

    Attributes:
        packages: Modules of installed packages; each distinct set has its own servers.
        standard: Modules of the standard library, and numpy.random, which any server loads on demand.
        untrusted: Whether the program uses `run_untrusted`.
    """

    packages: frozenset[str] = frozenset()
    standard: frozenset[str] = frozenset()
    untrusted: bool = False


NOTHING_TO_LOAD = ImportPlan()


def to_load(imported: Iterable[str], source: str) -> ImportPlan:
    """The modules to preload for a source, among those that it imports anywhere, functions included."""
    names = {ahead for name in imported if (ahead := _loadable(name))}
    names |= {late for name, late in _LATE.items() if name in names}
    untrusted = "graders_sandbox" in names
    standard = {
        n for n in names if n.partition(".")[0] in sys.stdlib_module_names - _LEFT_OUT and is_module(n)
    }
    if untrusted:
        # for the text of tests, which is unknown
        standard |= set(MODULES)
    packages = {name for name in names if name.partition(".")[0] in HOSTED and is_module(name)}
    if "numpy" in packages and (
        "random" in source or any(name.partition(".")[0] != "numpy" for name in packages)
    ):
        standard.add(NUMPY_RANDOM)
    return ImportPlan(frozenset(packages), frozenset(standard), untrusted)


def not_installed(imported: Iterable[str]) -> tuple[str, ...]:
    """The top-level modules that are not installed, so that rows of programs that need them cannot be graded."""
    first = sorted({name.partition(".")[0] for name in imported})
    return tuple(name for name in first if name not in sys.stdlib_module_names and not is_module(name))


def _loadable(name: str) -> str:
    """The prefix of a module's name that may be preloaded."""
    return ".".join(takewhile(lambda part: part not in _NEVER_AHEAD, name.split(".")))


@lru_cache(maxsize=4096)
def is_module(name: str) -> bool:
    """Whether a module of this name exists, without importing anything."""
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
