"""Runs Python programs that nobody trusts, as graders: grade(sample, item) -> a number. See README.md."""

from __future__ import annotations

from .limits import TIERS, Job, Limits, Outcome, SandboxUnavailable
from .pool import Sandbox

__all__ = ["TIERS", "Job", "Limits", "Outcome", "Sandbox", "SandboxUnavailable"]
