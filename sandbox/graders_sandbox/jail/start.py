"""What the host starts as a server: it loads what samples run first, onto pages of its own (packing.py)."""

from __future__ import annotations

# What the modules below need of the standard library lies elsewhere: few of its objects are touched by samples.
import ctypes  # noqa: F401  # loaded before the fork, for every sample
import gc  # noqa: F401  # loaded before the fork, for every sample
import importlib  # noqa: F401  # loaded before the fork, for every sample
import io  # noqa: F401  # loaded before the fork, for every sample
import json  # noqa: F401  # loaded before the fork, for every sample
import resource  # noqa: F401  # loaded before the fork, for every sample
import traceback  # noqa: F401  # loaded before the fork, for every sample

from .packing import fill_holes


def main() -> None:
    """Be a server: host/start.py has the arguments."""
    fill_holes()
    from . import template  # noqa: F401  # with all that runs in samples

    fill_holes()
    from . import server

    server.main()
