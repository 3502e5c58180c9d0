"""Runs untrusted Python programs as graders: grade(sample, item) -> a number. See README.md."""

from __future__ import annotations

from importlib import import_module

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host.sandbox import Sandbox
    from .host.sources.reading import SourceFacts, read_source
    from .jail.untrusted import UntrustedResult, run_untrusted
    from .limits import TIERS, Job, Limits, Outcome, SandboxUnavailable

#: Names that are loaded when first used: the fork server imports parts of this package, and its pages cost every fork.
_HOMES = {
    "TIERS": "limits",
    "Job": "limits",
    "Limits": "limits",
    "Outcome": "limits",
    "Sandbox": "host.sandbox",
    "SandboxUnavailable": "limits",
    "SourceFacts": "host.sources.reading",
    "UntrustedResult": "jail.untrusted",
    "read_source": "host.sources.reading",
    "run_untrusted": "jail.untrusted",
}

__all__ = [
    "TIERS",
    "Job",
    "Limits",
    "Outcome",
    "Sandbox",
    "SandboxUnavailable",
    "SourceFacts",
    "UntrustedResult",
    "read_source",
    "run_untrusted",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
