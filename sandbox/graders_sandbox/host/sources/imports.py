"""Which of the modules that a program imports are loaded before the fork, once instead of by every sample again."""

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


@dataclass(frozen=True, slots=True)
class ToLoad:
    """What to load before the fork.

    Attributes:
        packages: Modules of installed packages; a server is kept for each such set.
        standard: Modules of the standard library, and numpy.random; any server loads them when first asked.
        untrusted: Whether it runs other people's code (`run_untrusted`).
    """

    packages: frozenset[str] = frozenset()
    standard: frozenset[str] = frozenset()
    untrusted: bool = False


NOTHING_TO_LOAD = ToLoad()


def to_load(imported: Iterable[str], source: str) -> ToLoad:
    """Of the modules that a source imports anywhere, functions included, those that are known and may be loaded ahead."""
    names = {ahead for name in imported if (ahead := _loadable(name))}
    names |= {late for name, late in _LATE.items() if name in names}
    untrusted = "graders_sandbox" in names
    standard = {
        n for n in names if n.partition(".")[0] in sys.stdlib_module_names - _LEFT_OUT and is_module(n)
    }
    if untrusted:
        standard |= set(MODULES)  # for the tests' text, which nobody has read yet
    packages = {name for name in names if name.partition(".")[0] in HOSTED and is_module(name)}
    if "numpy" in packages and (
        "random" in source or any(name.partition(".")[0] != "numpy" for name in packages)
    ):
        standard.add(NUMPY_RANDOM)
    return ToLoad(frozenset(packages), frozenset(standard), untrusted)


def not_installed(imported: Iterable[str]) -> tuple[str, ...]:
    """The modules, by their first names, that are not there: no row whose program needs one can be graded."""
    first = sorted({name.partition(".")[0] for name in imported})
    return tuple(name for name in first if name not in sys.stdlib_module_names and not is_module(name))


def _loadable(name: str) -> str:
    """The part of a module's name that may be loaded ahead: up to the first that must not be."""
    return ".".join(takewhile(lambda part: part not in _NEVER_AHEAD, name.split(".")))


@lru_cache(maxsize=4096)
def is_module(name: str) -> bool:
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
