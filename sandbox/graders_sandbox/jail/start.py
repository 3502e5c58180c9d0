"""The server's entry point: it first loads the modules that samples run, onto separate pages (packing.py)."""

from __future__ import annotations

# Standard-library modules are loaded before packing, since samples touch few of their objects.
import ctypes  # noqa: F401  # loaded before the fork, for every sample
import gc  # noqa: F401  # loaded before the fork, for every sample
import importlib  # noqa: F401  # loaded before the fork, for every sample
import io  # noqa: F401  # loaded before the fork, for every sample
import json  # noqa: F401  # loaded before the fork, for every sample
import resource  # noqa: F401  # loaded before the fork, for every sample
import traceback  # noqa: F401  # loaded before the fork, for every sample

from .packing import fill_holes


def main() -> None:
    """Run a server; host/start.py has the arguments."""
    fill_holes()
    from . import template  # noqa: F401  # with all that runs in samples

    fill_holes()
    from . import server

    server.main()
