"""The engine's version. It changes whenever a score could change (see CONTRIBUTING.md)."""

__version__ = "0.1.0"
