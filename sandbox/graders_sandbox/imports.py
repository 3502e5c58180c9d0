"""What a program imports, so that the server can load it once instead of every sample again."""

from __future__ import annotations

import ast
import sys
import warnings
from functools import lru_cache
from importlib.util import find_spec

#: The packages of the hosted image (OpenAI graders guide, image 2025-05-08): import names. Those installed are loaded.
HOSTED = frozenset(
    ("numpy", "scipy", "sympy", "pandas", "rapidfuzz", "sklearn", "rouge_score", "deepdiff", "jsonschema", "pydantic",
     "yaml", "nltk", "sqlparse", "rdkit", "skbio", "ast_grep_py")
)  # fmt: skip

#: Standard modules that do something when imported, want a screen, or are no use inside.
_LEFT_OUT = frozenset(
    ("antigravity", "this", "idlelib", "lib2to3", "tkinter", "turtle", "turtledemo", "test", "ensurepip", "venv", "pip",
     "webbrowser", "__main__", "__future__", "multiprocessing", "graders_sandbox", "site", "sitecustomize", "usercustomize")
)  # fmt: skip


@lru_cache(maxsize=1024)
def named(source: str) -> frozenset[str]:
    """The modules to load before the fork: what the source imports anywhere, functions included, if it is known.

    Submodules count (`scipy.stats`). A source that does not parse names none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if _loadable(name))


def _loadable(name: str) -> bool:
    top = name.partition(".")[0]
    if top in _LEFT_OUT or not all(part.isidentifier() for part in name.split(".")):
        return False
    return top in sys.stdlib_module_names or (top in HOSTED and _installed(top))


@lru_cache(maxsize=64)
def _installed(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False
