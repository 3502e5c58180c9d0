"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# An example that takes long says that the machine is busy, not that something is wrong.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
