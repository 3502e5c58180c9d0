"""Moved to `graders.results.read` in 0.2; documented in 0.1, so it is forwarded for one more minor version."""

from __future__ import annotations

import warnings
from typing import Any

from graders.results import read


def __getattr__(name: str) -> Any:
    value = getattr(read, name)
    message = f"graders.batch.results.{name} is now graders.results.read.{name}; this path goes in 0.3"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return value
